package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/edge"
)

// maxUnread is how many instances may close on a task before they have read it
// whole: one may be ending, two have something against the input.
const maxUnread = 2

// perseverance carries a task that no instance has read on to another, or to the
// restarted one as soon as it is ready.
type perseverance struct {
	s      *Supervisor
	began  time.Time
	unread int
	enough <-chan time.Time // nil: the task's deadline says when
}

// persevere tries again until the task's deadline; a task without one waits as
// long as its workload gives one request. err is why the first attempt, with the
// catalog seen, sent nothing.
func (s *Supervisor) persevere(ctx context.Context, r *run, seen *catalog, err error) (edge.Answer, error) {
	t := r.task
	p := perseverance{s: s, began: time.Now()}
	if t.HasDeadline() {
		bounded, cancel := context.WithDeadline(ctx, t.Deadline)
		defer cancel()
		ctx = bounded
	} else {
		timer := time.NewTimer(seen.models[t.Model].timeout)
		defer timer.Stop()
		p.enough = timer.C
	}
	for {
		if over := p.pause(ctx, seen, err); over != nil {
			return edge.Answer{}, over
		}
		seen = s.catalog.Load() // before the attempt: what changes during it is not missed
		entry, known := seen.models[t.Model]
		if !known {
			return edge.Answer{}, fmt.Errorf("model %q is no longer served: %w", t.Model, edge.ErrNotFound)
		}
		var answer edge.Answer
		if answer, err = s.attempt(ctx, entry, r); !errors.Is(err, edge.ErrUnavailable) {
			return answer, err
		}
	}
}

// pause returns when another attempt may do better than the one that ended with
// err, or why there is to be none.
func (p *perseverance) pause(ctx context.Context, seen *catalog, err error) error {
	var failure *wireError
	switch {
	case !errors.As(err, &failure):
		return p.untilChanged(ctx, seen, err)
	case failure.kind == wireUnsent:
		if p.unread++; p.unread == maxUnread {
			return err
		}
	default:
		// Nobody was there. Another instance is asked at once; should all be found
		// ready and then away in turn, an eighth of the time keeps that from spinning.
		pause(ctx, min(time.Since(p.began)/8, 250*time.Millisecond))
	}
	if ctx.Err() != nil {
		return overdue(ctx, err)
	}
	return nil
}

// untilChanged waits until something may have become ready.
func (p *perseverance) untilChanged(ctx context.Context, seen *catalog, err error) error {
	select {
	case <-seen.replaced:
		return nil
	case <-ctx.Done():
		return overdue(ctx, err)
	case <-p.enough:
		return err
	case <-p.s.ended:
		return err
	}
}

// overdue says what the task was waiting for when its time was over. That nothing
// was ready is said in words only: to the caller it is the deadline that passed.
func overdue(ctx context.Context, err error) error {
	sentinel := edge.ErrCancelled
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		sentinel = edge.ErrDeadline
	}
	return fmt.Errorf("nothing could be asked in time (%s): %w", err.Error(), sentinel)
}
