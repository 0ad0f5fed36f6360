package agent

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"holdfast/edge"
)

const (
	// wishEvery is how often it is looked at what the policy wants, and into the folder.
	wishEvery = 2 * time.Second
	// againAfter is how long after a try in vain the next is: first, and at most. Many nodes
	// may miss the same server.
	againAfter  = time.Minute
	againSeldom = time.Hour
)

// errWithdrawn ends a pursuit that nobody wants any more.
var errWithdrawn = errors.New("it is not wanted any more")

// attempt brings once what is wanted. What can never be is edge.ErrInvalid; any other error is
// of now.
type attempt func(ctx context.Context) error

// pursuer goes after what somebody wants to run here, for as long as that is so, and says
// why while it does not.
type pursuer struct {
	warnings       *warnings
	subject        string             // of the warnings: who wants it
	waits, refused string             // their codes
	hope           string             // remedy of what cannot be had now
	remedy         func(error) string // of what is refused
}

// follow pursues what is wanted, one thing after the other; an empty key is nothing. What is
// not wanted any more is given up.
func (w pursuer) follow(ctx context.Context, wanted func() (key string, try attempt)) error {
	ticker := time.NewTicker(wishEvery)
	defer ticker.Stop()
	pursued, end := "", func() {}
	for {
		if key, try := wanted(); key != pursued {
			end()
			w.clear()
			pursued, end = key, func() {}
			if key != "" {
				end = w.begin(ctx, try)
			}
		}
		select {
		case <-ctx.Done():
			end()
			return nil
		case <-ticker.C:
		}
	}
}

// begin pursues a wish until it is brought or refused. What it returns gives it up, and
// waits for that.
func (w pursuer) begin(ctx context.Context, try attempt) (end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for wait := againAfter; !w.attempt(ctx, try, wait); wait = min(2*wait, againSeldom) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait/2 + rand.N(wait)):
			}
		}
	}()
	return func() {
		cancel(errWithdrawn)
		<-done
	}
}

// attempt tries once, and tells whether that is the end of it.
func (w pursuer) attempt(ctx context.Context, try attempt, wait time.Duration) bool {
	err := try(ctx)
	if ctx.Err() != nil && err != nil {
		return true
	}
	w.clear()
	switch {
	case err == nil:
		return true
	case !isFinal(err):
		w.warnings.Raise(edge.Warning{
			Code: w.waits, Subject: w.subject, Detail: err.Error(),
			Remedy: fmt.Sprintf("%s; it is tried again within %v", remedyOf(err, w.hope), wait*3/2),
		})
		return false
	}
	w.warnings.Raise(edge.Warning{
		Code: w.refused, Subject: w.subject, Detail: err.Error(),
		Remedy: remedyOf(err, w.remedy(err)),
	})
	return true
}

// isFinal tells whether another try would end in the same way.
func isFinal(err error) bool {
	return errors.Is(err, edge.ErrInvalid) && !errors.Is(err, edge.ErrUnavailable)
}

func (w pursuer) clear() {
	w.warnings.Clear(w.waits, w.subject)
	w.warnings.Clear(w.refused, w.subject)
}
