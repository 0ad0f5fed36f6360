package scheduler

import (
	"context"
	"slices"

	"holdfast/edge"
)

// Suspender is what an Executor may also be: one that can halt a task it executes, and let
// it go on. With it the plan is preemptive; without it nothing that runs gives way.
//
// Both are called from one goroutine, in the order of the decisions, for tasks whose Execute
// has been called; it may have returned meanwhile, and then there is nothing to do. They
// should take a few milliseconds at the most: what takes the place of a suspended task
// is started at the same time.
type Suspender interface {
	// Suspend halts the task. An error means that it goes on; it will not be asked again.
	Suspend(ctx context.Context, t edge.Task) error
	// Resume lets it go on. It cannot be refused: where an instance can not go on it is to be
	// ended, so that Execute returns an error.
	Resume(ctx context.Context, t edge.Task)
}

// suspendedBeyondSlots is how many tasks more than there are slots may be suspended at once
// where Options do not say: as many as run, and some that wait for idle time. Each holds the memory of
// its instance. Simulated, fewer cost on-time tasks in bursts and more gain nothing.
const suspendedBeyondSlots = 4

// change is a suspension or resumption to be carried out.
type change struct {
	item   *item
	resume bool
}

// change hands a suspension or resumption over, and takes in what could not be suspended
// while it waits for that.
func (s *Scheduler) change(c change) {
	for {
		select {
		case s.changes <- c:
			return
		case it := <-s.stuck:
			s.core.stuck(it)
		}
	}
}

// switchOver carries suspensions and resumptions out, one after another.
func (s *Scheduler) switchOver(ctx context.Context, suspender Suspender) {
	for c := range s.changes {
		if c.resume {
			suspender.Resume(ctx, c.item.order())
		} else if suspender.Suspend(ctx, c.item.order()) != nil {
			s.stuck <- c.item
		}
	}
	close(s.stuck)
}

// stuck takes back a suspension that could not be. For a while more runs than there are slots.
func (c *core) stuck(it *item) {
	it.fixed = true
	if !slices.Contains(c.parked, it) {
		return // it was resumed, or has ended
	}
	c.unpark(it)
	it.expected, it.slot = it.since+instant(it.left), c.seats.take()
	c.runners = append(c.runners, it)
}
