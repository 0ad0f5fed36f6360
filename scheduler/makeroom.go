package scheduler

// makeRoom has tasks step down to smaller variants, and when that is not enough leaves tasks out, of those walked so
// far and e itself, until what is over has come free, and returns how much has come free of the work before e. Nobody
// steps down for more than what is really over, without what is kept for tasks to come. Where e itself must
// go, the others stay as they are. Where nothing may go, e stays in though it will be late; false
// means that the newcomer is to blame, or is the one to go.
func (o *outlook) makeRoom(e *entry, m *merged, over, really, n instant) (freed instant, ok bool) {
	queue, others := m.walked()
	o.gone = o.gone[:0]
	marks := len(o.core.marked)
	for over > freed {
		if really > freed {
			if s, frees := o.core.stepDown(queue, others); s == e {
				over, really = over-frees*n, really-frees*n
				continue
			} else if s != nil {
				freed += frees
				continue
			}
		}
		v := o.core.worst(queue, others, o.newcomer, nil)
		if v != nil && v.item == o.newcomer {
			return 0, false
		}
		if v == nil || v == e {
			for _, other := range o.gone {
				other.out = false
			}
			o.core.unstep(marks)
			e.out = v != nil
			return 0, true
		}
		v.out = true
		o.gone = append(o.gone, v)
		freed += instant(v.work())
	}
	return freed, true
}

// worst is, among those still in, who goes first: whoever is outside its tenant's share, unless
// unused shares are lent, then batch before normal, then who has not started,
// then the longest. Firm ones never go; only the newcomer may be turned away, when there is
// nobody else. Among equals the newcomer goes. With a pool, only those who wait for its lanes count.
func (c *core) worst(queue, others []entry, newcomer *item, of *pool) *entry {
	lends := c.busyness.lends(c.slots)
	var worst *entry
	for _, side := range [...][]entry{queue, others} {
		for i := range side {
			e := &side[i]
			if e.out || e.idles() || e.firm && e.item != newcomer || of != nil && (e.size.pool != of || e.started) {
				continue
			}
			if worst == nil || e.worse(worst, lends) {
				worst = e
			}
		}
	}
	return worst
}

func (e *entry) worse(than *entry, lends bool) bool {
	switch {
	case e.firm != than.firm:
		return than.firm
	case e.outside != than.outside && !lends:
		return e.outside
	case e.class != than.class:
		return e.class > than.class
	case e.started != than.started:
		return than.started
	}
	if mine, other := e.work(), than.work(); mine != other {
		return mine > other
	}
	return e.seq > than.seq
}

// place is placeOnLane where lanes are scarce; it is small enough to cost no call elsewhere.
func (o *outlook) place(e *entry, m *merged) verdict {
	if e.started || e.size.pool.segment == 0 {
		return passed
	}
	return o.placeOnLane(e, m)
}

// placeOnLane places a waiting task on a lane of its pool. Where it would be late there,
// one of the pool's tasks walked so far is banned and the walk begins again.
func (o *outlook) placeOnLane(e *entry, m *merged) verdict {
	queue, others := m.walked()
	lanes := o.core.plan.base.lanes(e.size.pool)
	end := lanes[0] + instant(e.work())
	if end > e.deadline && !e.size.doubt {
		v := o.core.worst(queue, others, o.newcomer, e.size.pool)
		if v != nil && v.item == o.newcomer {
			return refused
		}
		if v != nil {
			v.banned, o.bans = true, true
			return again
		}
	}
	raise(lanes, 0, end)
	return passed
}
