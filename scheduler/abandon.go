package scheduler

import "holdfast/edge"

// Abandoner is what an Executor may also be: one that can end a task which nobody waits for
// any more, so that its capacity is free sooner.
type Abandoner interface {
	// Abandon is told of every task whose caller has given up. It must not block; a task that
	// is not being executed, or cannot be ended, needs nothing. Execute returns as ever.
	Abandon(t edge.Task)
}

// abandon tells of a task that was given up.
func (s *Scheduler) abandon(it *item) {
	if abandoner, can := s.executor.(Abandoner); can && it.settlement.Outcome == edge.Cancelled {
		abandoner.Abandon(it.order())
	}
}
