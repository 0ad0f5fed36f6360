package scheduler

import "holdfast/edge"

// recalls gathers which held tasks it is time for, while a plan is walked in its order: to begin one later
// delays all that follow, so the least slack from it on counts.
type recalls struct {
	held []*item
	late []*item // whose attempt takes too long
	near []*item // who is alone, and has to begin
	due  int
	// ahead is the slack that is kept; with several held, what the most careful asks for.
	ahead instant
	next  instant // when to look again
}

func (r *recalls) begin() {
	clear(r.held)
	clear(r.late)
	clear(r.near)
	r.held, r.late, r.near, r.due, r.ahead, r.next = r.held[:0], r.late[:0], r.near[:0], 0, recallAhead, forever
}

// pass goes over an entry of the plan with its slack.
func (r *recalls) pass(now instant, e *entry, slack instant) {
	if e.held && e.item.until <= now {
		r.late = append(r.late, e.item)
	} else if e.held {
		r.held = append(r.held, e.item)
		r.next = min(r.next, e.item.until)
		r.ahead = max(r.ahead, e.item.recallAhead())
		slack -= instant(e.size.figure.cost(true) - e.cost()) // nothing else makes up for a slow run
	}
	switch {
	case len(r.held) == 0:
	case slack <= r.ahead:
		r.due = len(r.held)
	default:
		r.next = min(r.next, now+slack-r.ahead)
	}
}

// alone goes over one that the plan keeps no time for: nobody's deadline depends on it but its own.
func (r *recalls) alone(now instant, e *entry) {
	last := forever
	if e.deadline != forever {
		last = e.deadline - instant(e.size.figure.cost(true)) - e.item.recallAhead()
	}
	switch {
	case e.item.until <= now:
		r.late = append(r.late, e.item)
	case last <= now:
		r.near = append(r.near, e.item)
	default:
		r.next = min(r.next, e.item.until, last)
	}
}

// recall lets go what must not be held any longer where nothing can be suspended, and returns when
// to look again.
func (p *plan) recall(now instant, r *recalls) instant {
	c := p.core
	if c.travels.held == 0 {
		return forever
	}
	r.begin()
	p.base.begin(now, c.runners)
	entries := c.queue.entries()
	for i := range entries {
		if e := &entries[i]; !e.idles() {
			r.pass(now, e, e.deadline-p.placeBase(i))
		}
	}
	return c.letGoDue(r)
}

// recall does the same where it can, by the marks of the last walk.
func (o *outlook) recall(now instant, r *recalls) instant {
	if o.core.travels.held == 0 {
		return forever
	}
	r.begin()
	m, far, sum := o.merged(), now+o.farthest(), instant(0)
	for e, held := m.next(), o.core.travels.held; e != nil && (e.deadline < far || held > 0); e = m.next() {
		if e.held {
			held--
		}
		if e.held && !e.idles() && (e.out || e.deadline >= far) {
			r.alone(now, e)
		}
		if e.out || e.ghost || e.deadline >= far || e.idles() {
			continue
		}
		left, cost := e.deadline-now, instant(e.work())
		n, taken := o.slots(left)
		if n <= 0 {
			n, taken = 1, left
		}
		r.pass(now, e, (n*(left-cost)-sum-taken)/n)
		sum += cost
	}
	return o.core.letGoDue(r)
}

func (c *core) letGoDue(r *recalls) instant {
	for _, it := range r.held[:r.due] {
		c.letGo(it, edge.WhyDeadlineNear)
	}
	for _, it := range r.near {
		c.letGo(it, edge.WhyDeadlineNear)
	}
	for _, it := range r.late {
		c.letGo(it, edge.WhyUpstreamSlow)
	}
	return r.next
}
