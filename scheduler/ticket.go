package scheduler

import (
	"context"
	"time"

	"holdfast/edge"
)

// Ticket stands for one accepted task.
type Ticket struct {
	item item
	done chan struct{}
	// recall ends the attempt to have it answered upstream, if there is one, and says why.
	recall context.CancelCauseFunc
}

// Done is closed when the task has settled.
func (t *Ticket) Done() <-chan struct{} { return t.done }

// Settlement is how the task ended. It may be asked after Done only.
func (t *Ticket) Settlement() edge.Settlement { return t.item.settlement }

// take prepares the item for the core: times become instants. A task arrived when
// it says so, though never in the future; now, when it does not say.
func (it *item) take(epoch time.Time, now instant, t edge.Task) {
	if t.Arrived.IsZero() {
		t.Arrived = epoch.Add(time.Duration(now))
	}
	it.task = t
	it.arrived = min(instant(t.Arrived.Sub(epoch)), now)
	it.deadline = forever
	if t.HasDeadline() {
		it.deadline = min(instant(t.Deadline.Sub(epoch)), forever-1)
	}
}
