package scheduler

import (
	"fmt"
	"time"

	"holdfast/edge"
)

// admits tells whether the newcomer is let in, and notes in victims who has to give
// way for it.
func (c *core) admits(now instant, it *item) bool {
	c.victims = c.victims[:0]
	e := it.entry()
	switch {
	case !c.rule.judges, c.room == 0 && c.plan.admits(now, &e):
		return true
	case !c.rule.yields, c.room == 0 && !c.plan.roomFor(now, &e), c.room > 0 && !c.outlook.walk(now, it):
		return false
	}
	entries := c.queue.entries()
	for i := range entries {
		if entries[i].out {
			c.victims = append(c.victims, entries[i].item)
		}
	}
	return true
}

// makeWay tells those who give way for the newcomer, with what they would have been
// accepted with.
func (c *core) makeWay(now instant, newcomer *item) {
	for _, it := range c.victims {
		e := it.entry()
		c.queue.remove(c.queue.position(&e))
	}
	for _, it := range c.victims {
		refusal := &edge.Refusal{
			Reason: edge.ReasonDeadlineUnreachable,
			Detail: fmt.Sprintf("gave way to a task of class %v: not all that waits can be in time, and it takes %v",
				newcomer.task.Class, rounded(instant(it.size.figure.plan))),
		}
		c.settle(now, it, edge.Evicted, refusal)
	}
	clear(c.victims)
	c.victims = c.victims[:0]
}

const (
	// earliestDoublings reach from any cost to years.
	earliestDoublings = 32
	// earliestHalvings leave less than a thousandth of the answer open.
	earliestHalvings = 10
)

// earliest is a deadline with which the newcomer would be let in: where nothing can be
// suspended the first there is, and otherwise one that is close to it. forever when it is not
// known.
func (c *core) earliest(now instant, it *item) instant {
	if !c.rule.judges {
		return forever
	}
	e := it.entry()
	if c.room == 0 {
		return c.plan.earliest(now, &e)
	}
	asked := it.deadline
	defer func() { it.deadline = asked }()
	accepted := func(left time.Duration) bool {
		it.deadline = now + instant(left)
		return c.outlook.walk(now, it)
	}
	low := e.cost()
	if accepted(low) {
		return now + instant(low)
	}
	high := 2 * low
	for range earliestDoublings {
		if accepted(high) {
			break
		}
		low, high = high, min(2*high, maxCost*365)
	}
	if !accepted(high) {
		return forever
	}
	for range earliestHalvings {
		if middle := low + (high-low)/2; accepted(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return now + instant(high)
}
