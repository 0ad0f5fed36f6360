package scheduler

import (
	"fmt"
	"time"

	"holdfast/edge"
)

// What accepted tasks are told that are not answered in time. Others are named by class and model only,
// never by id or tenant.

// outsideShare is said where it counts.
const outsideShare = "its tenant has used up its share of CPU, and the node is busy"

// mostOffers is how many of those given up at one moment are told what would be accepted instead: working
// that out takes some tens of walks over the queue.
const mostOffers = 8

// offer adds, for a task that leaves the queue, what would be accepted if it were asked for again now: the
// shortest deadline, and when to come with the one it had.
func (c *core) offer(now instant, it *item, refusal *edge.Refusal) {
	if !c.rule.judges || c.draining || it.size.pool == nil || it.size.pool.lanes == 0 {
		return
	}
	it.seq = c.seq + 1 // it would stand behind its equals
	earliest := c.earliest(now, it)
	if earliest == forever {
		return
	}
	refusal.Earliest = time.Duration(earliest - now)
	refusal.RetryAfter = max(refusal.Earliest-time.Duration(it.deadline-it.arrived), time.Millisecond)
}

// gaveWay is what a waiting task is told that makes room for a newcomer.
func (c *core) gaveWay(it, newcomer *item) *edge.Refusal {
	why := fmt.Sprintf("it takes longer: %v", rounded(instant(it.size.figure.plan)))
	switch class, other := it.task.Class, newcomer.task.Class; {
	case it.outside && !newcomer.outside && !c.busyness.lends(c.slots):
		why = outsideShare
	case newcomer.firm && class <= other:
		why = fmt.Sprintf("a promise to a task of class %v is firm", other)
	case class > other:
		why = fmt.Sprintf("%v tasks go before %v tasks", other, class)
	}
	return &edge.Refusal{
		Reason: edge.ReasonDeadlineUnreachable,
		Detail: fmt.Sprintf("gave way to a task of class %v for %q: not all that waits can be in time, and %s",
			newcomer.task.Class, newcomer.task.Model, why),
	}
}

// hopeless is what a waiting task is told when the time left for it is too short.
func (c *core) hopeless(now instant, it *item) *edge.Refusal {
	why := "what ran before it took longer than foreseen"
	switch {
	case it.size.pool.lanes == 0:
		why = fmt.Sprintf("no instance of %q has been ready", it.size.pool.name)
	case !c.rule.judges:
		why = "too much was ahead of it"
	case c.room > 0:
		why = "more pressing tasks, or some that took longer than foreseen, were ahead of it"
	}
	return &edge.Refusal{
		Reason: edge.ReasonHopeless,
		Detail: fmt.Sprintf("%s; it takes %v and %v are left", why,
			rounded(instant(it.size.least())), rounded(it.deadline-now)),
	}
}

// givenUp is what a suspended task is told when the time left is too short to finish it.
func givenUp(now instant, it *item) *edge.Refusal {
	return &edge.Refusal{
		Reason: edge.ReasonHopeless,
		Detail: fmt.Sprintf("suspended for more pressing tasks after it had run for %v; it takes %v more and %v are left",
			rounded(instant(it.ran(now))), rounded(instant(it.left)), rounded(it.deadline-now)),
	}
}

// missed is what a task is told at its deadline.
func missed(at instant, it *item) error {
	how := "it never began"
	switch it.phase {
	case away:
		how = "no answer came from its upstream"
	case running:
		how = fmt.Sprintf("it began after %v and has run for %v, where %v were foreseen",
			rounded(it.started-it.arrived), rounded(instant(it.ran(at))), rounded(instant(it.estimate)))
	}
	return fmt.Errorf("task %q was not answered in time: %s: %w", it.task.ID, how, edge.ErrDeadline)
}

// rounded is a duration as people want to read it.
func rounded(d instant) time.Duration {
	switch d := time.Duration(d); {
	case d > time.Second:
		return d.Round(time.Millisecond)
	case d > time.Millisecond:
		return d.Round(10 * time.Microsecond)
	default:
		return d
	}
}
