package scheduler

import "holdfast/edge"

// outlook is the plan where what runs can be suspended: what is kept of all that
// waits, runs and is suspended, and which of it is to run now. It changes nothing but
// its own scratch and the marks of the entries.
//
// In deadline order a task is in time when the work before it, spread over the slots, and
// its own end by its deadline. Where that fails, the one task among those so far that frees the most
// for the least promised is left out, until it holds.
//
// A newcomer is judged by what is there. What is to run is chosen as if more pressing classes
// went on asking for what they have asked for of late: a task that would then be given up half way is not
// begun, but it keeps its place in the queue while it has time, and runs where nothing else does.
//
// A task holds its lane from its start to its end, also while it is suspended. So for pools
// with few lanes the tasks are placed on these as well, one after another.
type outlook struct {
	core *core

	// others are, in order, what runs, what is suspended, and the newcomer if there is
	// one: all that does not stand in the queue.
	others   []entry
	stay     []instant // how long each of those will run that cannot be suspended; they are not among others
	newcomer *item
	gone     []*entry // left out for the task at hand
	bans     bool     // some entries are banned

	run []*item // what is to run now, most pressing first
}

// farthest keeps products with the number of slots from overflow: 36 years on 4 slots.
func (o *outlook) farthest() instant { return (1 << 62) / instant(o.core.slots) }

// begin gathers what does not stand in the queue.
func (o *outlook) begin(now instant, newcomer *item) {
	clear(o.others)
	o.others, o.stay, o.newcomer = o.others[:0], o.stay[:0], newcomer
	o.core.plan.base.begin(now, nil)
	press := o.core.pressedGhost(now)
	for _, held := range [...][]*item{o.core.runners, o.core.parked} {
		for _, it := range held {
			e := it.remainder(now)
			if it.pool.segment > 0 {
				raise(o.core.plan.base.lanes(it.pool), 0, now+instant(e.left))
			}
			if it.stays() {
				o.stay = append(o.stay, instant(e.left))
				continue
			}
			if it == press {
				e.deadline = it.deadline
			}
			o.join(e)
		}
	}
	if newcomer != nil {
		o.join(newcomer.entry())
	}
}

// slots are those that are there for what is due in so long a time, and how much of that what cannot be suspended takes
// of them first.
func (o *outlook) slots(left instant) (slots, taken instant) {
	slots = instant(o.core.slots)
	for _, stays := range o.stay {
		if stays >= left {
			slots--
		} else {
			taken += stays
		}
	}
	return slots, taken
}

// join inserts in order; there are few.
func (o *outlook) join(e entry) {
	o.others = append(o.others, e)
	for i := len(o.others) - 1; i > 0 && o.others[i].before(&o.others[i-1]); i-- {
		o.others[i], o.others[i-1] = o.others[i-1], o.others[i]
	}
}

// walk makes the plan anew: it marks what is left out. With a newcomer it tells whether
// that is kept, and nothing that was promised for good breaks because of it.
func (o *outlook) walk(now instant, newcomer *item) bool {
	if o.bans {
		queue := o.core.queue.entries()
		for i := range queue {
			queue[i].banned = false
		}
		o.bans = false
	}
	for {
		o.begin(now, newcomer) // again after each ban: lanes are placed in order
		switch o.pass(now) {
		case passed:
			return true
		case refused:
			return false
		case again:
			o.core.unstep(0)
		}
	}
}

type verdict uint8

const (
	passed verdict = iota
	refused
	again
)

// merged goes over what waits and what does not in one order.
type merged struct {
	queue, others []entry
	qi, oi        int
}

func (o *outlook) merged() merged { return merged{queue: o.core.queue.entries(), others: o.others} }

// next is nil at the end.
func (m *merged) next() *entry {
	if m.qi < len(m.queue) && (m.oi == len(m.others) || m.queue[m.qi].deadline < m.others[m.oi].deadline) { // nearly always
		m.qi++
		return &m.queue[m.qi-1]
	}
	if m.oi == len(m.others) || m.qi < len(m.queue) && m.queue[m.qi].before(&m.others[m.oi]) {
		if m.qi == len(m.queue) {
			return nil
		}
		m.qi++
		return &m.queue[m.qi-1]
	}
	m.oi++
	return &m.others[m.oi-1]
}

// walked are those that came before and the last.
func (m *merged) walked() (queue, others []entry) { return m.queue[:m.qi], m.others[:m.oi] }

// pass walks once over everything in order.
func (o *outlook) pass(now instant) verdict {
	m, far := o.merged(), now+o.farthest()
	var shares [len(edge.Classes)]instant
	if o.newcomer == nil {
		shares = o.core.forecast.share(now, o.core.slots)
	}
	var sum instant // the work kept so far
	for e := m.next(); e != nil; e = m.next() {
		if e.out = e.banned; e.out || e.deadline >= far || e.idles() {
			continue
		}
		if e.ghost {
			sum += instant(e.work()) // nobody's, and in the way unless it is left out for another
			continue
		}
		left := e.deadline - now
		cost := e.counted(left)
		if cost > left {
			cost = o.suited(e, left)
		}
		n, taken := o.slots(left)
		if cost > left || n <= 0 {
			if e.out = true; e.item == o.newcomer {
				return refused
			}
			continue
		}
		planned := e.planned(left, cost, shares[e.class])
		if over := sum + taken + n*(cost-planned); over > 0 {
			freed, ok := o.makeRoom(e, &m, over, over-n*(left-planned), n)
			if !ok {
				return refused
			}
			if sum -= freed; e.out {
				continue
			}
			cost = e.counted(left) // it may have become smaller
		}
		sum += cost
		if v := o.place(e, &m); v != passed {
			return v
		}
	}
	return passed
}

// planned is the time the entry is planned with where tasks yet to come are thought of: what more pressing
// classes will ask for is kept for them.
func (e *entry) planned(left, cost, share instant) instant {
	if share == 0 || e.started || e.size.doubt {
		return left
	}
	return max(left-left>>10*share, cost)
}

// suited is the work the walk counts of the variant for which there is time enough; of the last
// where there is for none.
func (o *outlook) suited(e *entry, left instant) instant {
	for e.counted(left) > left && e.frees() > 0 {
		o.core.step(e)
	}
	return e.counted(left)
}

// counted is the work the walk counts. The figures of a trial are what is being doubted.
func (e *entry) counted(left instant) instant {
	if e.size.doubt {
		return min(instant(e.work()), left)
	}
	return instant(e.work())
}

// idles tells whether no instance is there to run the waiting task.
func (e *entry) idles() bool { return !e.started && e.size.pool.lanes == 0 }
