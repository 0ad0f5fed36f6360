package containerd

import (
	"context"
	"time"
)

const (
	// stepWithin bounds one step of a start, on a board that is short of everything.
	stepWithin = time.Minute
	// hurryWithin bounds a step, and the cleaning up after it, once the caller has
	// given up: twice this fits the time in which an agent must end. What is cut
	// off bears labelStarting and is removed by the next agent.
	hurryWithin = 4 * time.Second
)

// whole takes a step to its end once it has begun. The daemon would go on with a
// task whose caller hung up, and might finish it after it was cleaned up.
func whole(ctx context.Context, step func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := outlive(ctx, stepWithin, hurryWithin)
	defer cancel()
	return step(ctx)
}

// outlive returns a context that lasts for within, or for after once ctx has ended.
func outlive(ctx context.Context, within, after time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-longer.Done():
		case <-timer.C:
			cancel()
		}
	})
	return longer, func() {
		stop()
		cancel()
	}
}

// undated returns a context that ends when ctx does and says nothing of when that will be.
// The daemon is told of a deadline otherwise, and ends the call by its own clock: a moment
// before ctx ends here, with an error of no kind, which looks like a failure.
func undated(ctx context.Context) (context.Context, context.CancelFunc) {
	plain, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	return plain, func() {
		stop()
		cancel()
	}
}
