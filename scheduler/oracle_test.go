package scheduler

import (
	"slices"
	"time"
)

// oracle is the dispatcher simulated step by step, written without the walk: time
// goes from end to end, and whenever a slot is free the first task in order whose
// pool has a free lane takes it.
type oracle struct {
	now     instant
	slots   int
	lanes   map[*pool]int
	busy    map[*pool]int
	running []job
	waiting []job
}

type job struct {
	item *item
	pool *pool
	cost time.Duration
	end  instant
}

// oracleOf copies a core's state, with the newcomer, if any, in its place.
func oracleOf(c *core, now instant, newcomer *entry) *oracle {
	o := &oracle{now: now, slots: c.slots, lanes: map[*pool]int{}, busy: map[*pool]int{}}
	for _, p := range c.pools {
		o.lanes[p] = p.lanes
	}
	for _, it := range c.runners {
		o.running = append(o.running, job{item: it, pool: it.pool, end: max(it.expected, now)})
		o.busy[it.pool]++
	}
	entries := slices.Clone(c.queue.entries())
	if newcomer != nil {
		entries = append(entries, *newcomer)
	}
	slices.SortFunc(entries, func(a, b entry) int { // not the order the queue keeps: the order it should keep
		if a.deadline != b.deadline {
			return compare(a.deadline < b.deadline)
		}
		if a.class != b.class && a.deadline != forever {
			return compare(a.class < b.class)
		}
		return compare(a.seq < b.seq)
	})
	for _, e := range entries {
		o.waiting = append(o.waiting, job{item: e.item, pool: e.size.pool, cost: e.cost()})
	}
	return o
}

func compare(less bool) int {
	if less {
		return -1
	}
	return 1
}

// ends runs everything and returns when each waiting task ends; a task whose pool
// has no lanes is missing.
func (o *oracle) ends() map[*item]instant {
	ends := map[*item]instant{}
	for {
		for o.startOne(ends) {
		}
		if len(o.running) == 0 {
			return ends
		}
		soonest := slices.MinFunc(o.running, func(a, b job) int { return compare(a.end < b.end) }).end
		o.now = soonest
		o.running = slices.DeleteFunc(o.running, func(j job) bool {
			if j.end == soonest {
				o.busy[j.pool]--
			}
			return j.end == soonest
		})
	}
}

func (o *oracle) startOne(ends map[*item]instant) bool {
	if len(o.running) >= o.slots {
		return false
	}
	for i, j := range o.waiting {
		if o.busy[j.pool] >= o.lanes[j.pool] {
			continue
		}
		j.end = o.now + instant(j.cost)
		ends[j.item] = j.end
		o.busy[j.pool]++
		o.running = append(o.running, j)
		o.waiting = slices.Delete(o.waiting, i, i+1)
		return true
	}
	return false
}

// lateTasks are those that miss in this schedule.
func lateTasks(ends map[*item]instant) map[*item]bool {
	late := map[*item]bool{}
	for it, end := range ends {
		if end > it.deadline {
			late[it] = true
		}
	}
	return late
}

// feasible is what admission should answer, by exhausting both schedules: the one
// with the newcomer makes nobody late who is not late in the one without.
func feasible(c *core, now instant, newcomer *entry) bool {
	if newcomer.deadline == forever {
		return true
	}
	without := lateTasks(oracleOf(c, now, nil).ends())
	for it := range lateTasks(oracleOf(c, now, newcomer).ends()) {
		if !without[it] {
			return false
		}
	}
	return true
}
