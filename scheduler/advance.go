package scheduler

import (
	"time"

	"holdfast/edge"
)

// catchUp does what became due before the event at hand, so that it is judged
// against the present.
func (c *core) catchUp(now instant) {
	if now >= c.wake {
		c.settleDown(now)
	}
}

// settleDown brings the state to rest at now: it tells those who are out of time,
// re-estimates runs that take longer, starts what can start, gives up what has
// become hopeless, and works out when to look again.
func (c *core) settleDown(now instant) {
	c.busyness.pass(now, len(c.runners))
	c.expire(now)
	if c.room > 0 {
		c.wake = min(c.sweep(now), c.sweepParked(now))
		c.wake = min(c.wake, c.arrange(now))
	} else {
		recall := c.plan.recall(now, &c.recalls)
		c.dispatch(now)
		c.wake = min(recall, c.sweep(now))
	}
	for _, it := range c.runners {
		c.wake = min(c.wake, it.expected+1)
		if it.phase == running && it.deadline != forever {
			c.wake = min(c.wake, it.deadline+1)
		}
	}
	c.tellLeavers(now)
}

// expire settles started tasks whose deadline has passed, and moves the expected
// end of those that run past it: first to where slow runs end, then each time by
// half more than the time before, so that a task that never ends costs a few
// dozen plans and not thousands.
func (c *core) expire(now instant) {
	for _, it := range c.runners {
		if it.phase == running && now > it.deadline {
			c.settle(now, it, edge.Missed, missed(now, it))
		}
		if now <= it.expected {
			continue
		}
		if it.grace == 0 {
			it.grace = max(it.size.figure.tail-it.ran(now), time.Millisecond)
		} else {
			it.grace = min(it.grace+it.grace/2, maxCost)
		}
		it.expected = now + instant(it.grace)
	}
}

// ran is how long the started item has run by then.
func (it *item) ran(at instant) time.Duration {
	ran := time.Duration(at-it.started) - it.idle
	if it.suspended {
		ran -= time.Duration(at - it.since)
	}
	return ran
}

// sweepParked tells those that are suspended and cannot make it any more, and returns
// when the next one cannot.
func (c *core) sweepParked(now instant) instant {
	next := forever
	for _, it := range c.parked {
		if it.phase == settled || it.deadline == forever {
			continue
		}
		if last := it.deadline - instant(it.left); last < now {
			c.settle(now, it, edge.Evicted, givenUp(now, it))
		} else {
			next = min(next, last+1)
		}
	}
	return next
}

// dispatch starts what the plan wants started.
func (c *core) dispatch(now instant) {
	for {
		pos, ok := c.plan.next()
		if !ok {
			return
		}
		e := c.queue.entries()[pos]
		c.queue.remove(pos)
		for e.frees() > 0 && now+instant(e.size.figure.plan) > e.deadline {
			e.item.become(e.size.smaller, edge.WhyLoad)
			e.size = e.item.size
		}
		if c.rule.lastStart(&e) < now {
			c.lose(now, e.item)
			continue
		}
		c.start(now, &e)
	}
}

func (c *core) start(now instant, e *entry) {
	it := e.item
	it.phase, it.pool, it.started, it.slot = running, it.model.pool, now, c.seats.take()
	it.expected = now + instant(e.cost())
	it.pool.busy++
	c.runners = append(c.runners, it)
	c.out = append(c.out, decision{start, it})
}

// sweep evicts what has lost hope and returns when the next one will.
func (c *core) sweep(now instant) instant {
	next, lost := forever, false
	entries := c.queue.entries()
	for i := range entries {
		last := c.rule.lastStart(&entries[i])
		if last < now {
			lost = true
		} else if last < forever {
			next = min(next, last+1)
		}
	}
	if lost {
		gone := func(e *entry) bool { return c.rule.lastStart(e) < now }
		c.queue.take(gone, func(it *item) { c.lose(now, it) })
	}
	return next
}

// lose gives up a task that has left the queue as it could not be in time any more.
func (c *core) lose(now instant, it *item) {
	if now > it.deadline {
		c.settle(now, it, edge.Missed, missed(now, it))
		return
	}
	c.leave(now, it, c.hopeless(now, it))
}

// tellLeavers settles those that have left the queue, when the state has come to rest and it can
// be said what they would be accepted with.
func (c *core) tellLeavers(now instant) {
	for i, l := range c.leaving {
		if i < mostOffers {
			c.offer(now, l.item, l.refusal)
		}
		c.settle(now, l.item, edge.Evicted, l.refusal)
	}
	clear(c.leaving)
	c.leaving = c.leaving[:0]
}
