package scheduler

import "time"

// admits tells whether the newcomer is let in, and notes in victims who has to give
// way for it, and in steps who is to be answered by a smaller variant.
func (c *core) admits(now instant, it *item) bool {
	c.victims, c.steps = c.victims[:0], c.steps[:0]
	defer func() { c.plan.single[0] = entry{} }()
	e := it.entry()
	switch {
	case !c.rule.judges, c.room == 0 && c.plan.admits(now, &e):
		return true
	case !c.rule.yields, c.room == 0 && !c.plan.roomFor(now, &e), c.room > 0 && !c.outlook.walk(now, it):
		c.unstep(0)
		return false
	}
	c.keepSteps(it)
	entries := c.queue.entries()
	for i := range entries {
		if entries[i].out {
			c.victims = append(c.victims, entries[i].item)
		}
	}
	return true
}

// makeWay puts the newcomer in the place of those who give way for it.
func (c *core) makeWay(now instant, newcomer *item) {
	for _, it := range c.victims {
		e := it.entry()
		c.queue.remove(c.queue.position(&e))
	}
	c.queue.insert(newcomer.entry())
	for _, it := range c.victims {
		c.leave(now, it, c.gaveWay(it, newcomer))
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
		defer c.unstep(0)
		return c.outlook.walk(now, it)
	}
	low := min(e.cost(), it.size.least())
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
