package scheduler

import (
	"slices"
	"time"
)

// pressing is the slack below which a task is not kept waiting for what runs: suspending
// takes some milliseconds, and estimates are not exact.
const pressing = 100 * time.Millisecond

// arrange has the first of the plan run. What runs and is not among them is suspended where
// a slot is needed: at once when something before it in the plan has little slack, and
// otherwise not before, as it may end by itself. It returns when to look again.
func (c *core) arrange(now instant) instant {
	o := &c.outlook
	o.walk(now, nil)
	c.keepSteps(nil)
	c.takeSteps()
	next := o.recall(now, &c.recalls)
	o.choose()
	for _, it := range o.run {
		if it.phase != waiting && !it.suspended {
			continue
		}
		if len(c.runners) >= c.slots {
			victim := o.victim()
			if victim == nil || !c.roomToSuspend(it) {
				continue
			}
			if slack := o.slackBefore(now, victim); slack >= pressing {
				next = min(next, now+instant(slack-pressing)+1)
				continue
			}
			c.suspend(now, victim)
		}
		c.proceed(now, it)
	}
	return next
}

func (c *core) roomToSuspend(instead *item) bool {
	parked := len(c.parked)
	if instead.suspended {
		parked--
	}
	return parked < c.room
}

// proceed starts or resumes.
func (c *core) proceed(now instant, it *item) {
	if it.suspended {
		c.resume(now, it)
		return
	}
	e := it.entry()
	pos := c.queue.position(&e)
	e = c.queue.entries()[pos]
	c.queue.remove(pos)
	c.start(now, &e)
}

func (c *core) suspend(now instant, it *item) {
	at := slices.Index(c.runners, it)
	c.runners = slices.Delete(c.runners, at, at+1)
	it.left = max(time.Duration(it.expected-now), minCost)
	c.seats.leave(it.slot)
	it.suspended, it.since = true, now
	c.parked = append(c.parked, it)
	c.out = append(c.out, decision{suspend, it})
}

func (c *core) resume(now instant, it *item) {
	c.unpark(it)
	it.idle += time.Duration(now - it.since)
	it.expected, it.slot = now+instant(it.left), c.seats.take()
	c.runners = append(c.runners, it)
	c.out = append(c.out, decision{resume, it})
}

func (c *core) unpark(it *item) {
	at := slices.Index(c.parked, it)
	c.parked = slices.Delete(c.parked, at, at+1)
	it.suspended = false
}

// choose fills run with the first of the plan, as many as there are slots. Where a task
// waits for a lane, whoever will give one back soonest goes in its place. What is left out of
// the plan runs when nothing in it could.
func (o *outlook) choose() {
	clear(o.run)
	o.run = o.run[:0]
	for _, it := range o.core.runners {
		if it.stays() {
			o.run = append(o.run, it)
		}
	}
	for _, p := range o.core.pools {
		p.claimed = 0
	}
	crowded := len(o.core.parked)+o.core.slots > o.core.room
	if crowded { // then finish what has begun first, or nothing could make way for firm tasks
		o.chooseAmong(func(e *entry) bool { return !e.out && (e.started || e.firm) })
	}
	strict := !o.core.busyness.lends(o.core.slots)
	o.chooseAmong(func(e *entry) bool { return !e.out && !(crowded && (e.started || e.firm)) && !(strict && e.outside) })
	if strict {
		o.chooseAmong(func(e *entry) bool { return !e.out && !(crowded && (e.started || e.firm)) && e.outside })
	}
	o.chooseAmong(func(e *entry) bool { return e.out })
}

func (o *outlook) chooseAmong(which func(*entry) bool) {
	m := o.merged()
	for e := m.next(); e != nil && len(o.run) < o.core.slots; e = m.next() {
		if which(e) && !e.held {
			o.add(e)
		}
	}
}

// add has the task of the entry run, or whoever holds the lane it waits for.
func (o *outlook) add(e *entry) {
	if !e.started {
		p := e.size.pool
		if p.busy+p.claimed < p.lanes {
			p.claimed++
			o.run = append(o.run, e.item)
			return
		}
		if e = o.soonest(p); e == nil {
			return
		}
	}
	if !o.runs(e.item) {
		o.run = append(o.run, e.item)
	}
}

// soonest is the started task of the pool that ends first and is not chosen yet.
func (o *outlook) soonest(p *pool) *entry {
	var first *entry
	for i := range o.others {
		e := &o.others[i]
		if e.started && e.item.pool == p && !o.runs(e.item) && (first == nil || e.left < first.left) {
			first = e
		}
	}
	return first
}

func (o *outlook) runs(it *item) bool { return slices.Contains(o.run, it) }

// victim is what runs and gives way first: the last in order of those that are not
// chosen to run.
func (o *outlook) victim() *item {
	for i := len(o.others) - 1; i >= 0; i-- {
		it := o.others[i].item
		if !it.suspended && !o.runs(it) && slices.Contains(o.core.runners, it) {
			return it
		}
	}
	return nil
}

// slackBefore is how long the plan for what comes before the running task holds while that
// goes on.
func (o *outlook) slackBefore(now instant, victim *item) time.Duration {
	m, far := o.merged(), now+o.farthest()
	least, sum := o.farthest(), instant(0)
	for e := m.next(); e != nil; e = m.next() {
		if e.deadline >= far || e.item == victim && !e.out {
			break
		}
		if e.out || e.ghost || e.idles() {
			continue
		}
		cost := instant(e.work())
		n, taken := o.slots(e.deadline - now)
		if n <= 0 {
			return 0
		}
		least = min(least, (n*(e.deadline-now-cost)-sum-taken)/n)
		sum += cost
	}
	return time.Duration(least)
}

// pressedGhost is the ghost that must come to its end because few more can be suspended: the one
// that is done soonest.
func (c *core) pressedGhost(now instant) *item {
	if len(c.parked)+c.slots < c.room {
		return nil
	}
	var best *item
	var least time.Duration
	for _, held := range [...][]*item{c.runners, c.parked} {
		for _, it := range held {
			if left := it.remainder(now).left; it.phase == settled && !it.stays() && (best == nil || left < least) {
				best, least = it, left
			}
		}
	}
	return best
}
