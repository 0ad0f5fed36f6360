package scheduler

import (
	"slices"

	"holdfast/edge"
)

// plan says who is let in and who runs next. It reads the core's state and changes
// nothing but its own scratch.
//
// It is earliest deadline first with admission over the whole queue, without
// preemption: the queue is walked as a list schedule over slots and lanes, and a
// newcomer is let in when it, and everybody it pushes back, still ends in time.
type plan struct {
	core *core

	base   walk                // the schedule under construction
	trial  walk                // a copy of it with the newcomer placed
	spare  walk                // the schedule without the newcomer
	single [1]entry            // the newcomer, where others give way for it
	gone   [mostVictims]*entry // who does
	marked bool                // entry.late is worked out for this question

	// searchSteps is how many placements the search for the earliest acceptable
	// deadline spends on looking at every position; after that it skips those
	// that fail for the same reason. About 150 µs here, a millisecond on armv7.
	searchSteps int
}

const defaultSearchSteps = 16384

// resize fits the scratch to the slots and lanes of the core.
func (p *plan) resize(length, slots int) {
	for _, w := range []*walk{&p.base, &p.trial, &p.spare} {
		w.free, w.slots = make([]instant, length), slots
	}
}

// admits tells whether the newcomer and everybody behind it end in time. A task
// without a deadline stands last and harms nobody, so it is let in.
func (p *plan) admits(now instant, newcomer *entry) bool {
	if newcomer.deadline == forever {
		return true
	}
	p.marked = false
	pos := p.core.queue.position(newcomer)
	p.base.begin(now, p.core.runners)
	for i := range p.core.queue.entries()[:pos] {
		p.placeBase(i)
	}
	if p.base.place(newcomer.size.pool, newcomer.cost()) > newcomer.deadline {
		return false
	}
	broken, _ := p.broken(&p.base, now, pos)
	return broken < 0
}

const (
	// mostVictims is how many tasks may give way for one.
	mostVictims = 8
	// mostSteps is how many may be answered by smaller variants for one.
	mostSteps = 16
)

// roomFor tells whether the newcomer can be let in when others give way: it marks them as
// out. Each time, among the tasks up to the first that would be late, the one that frees the
// most for the least promised is left out. Those whose going turns out not to be needed stay.
func (p *plan) roomFor(now instant, newcomer *entry) bool {
	entries := p.core.queue.entries()
	for i := range entries {
		entries[i].out = false
	}
	p.marked = false
	p.single[0] = *newcomer
	gone, steps := p.gone[:0], 0
	defer func() { clear(gone) }()
	for len(gone) < mostVictims {
		broken := p.brokenWith(now)
		if broken < 0 {
			p.takeBack(now, gone)
			return true
		}
		if steps++; steps <= mostSteps {
			if s, _ := p.core.stepDown(entries[:min(broken+1, len(entries))], p.single[:]); s != nil {
				continue
			}
		}
		v := p.core.worst(entries[:min(broken+1, len(entries))], p.single[:], newcomer.item, nil)
		if v == nil || v.item == newcomer.item {
			return false
		}
		v.out = true
		gone = append(gone, v)
	}
	return false
}

// takeBack takes back who need not go, first who went last.
func (p *plan) takeBack(now instant, gone []*entry) {
	for _, e := range slices.Backward(gone) {
		if e.out = false; p.brokenWith(now) >= 0 {
			e.out = true
		}
	}
}

// brokenWith is the first task that would be late with the newcomer and without those that are
// out, and would not be otherwise; the newcomer counts as the one before its place. -1 for none.
func (p *plan) brokenWith(now instant) int {
	newcomer := &p.single[0]
	entries, pos := p.core.queue.entries(), p.core.queue.position(newcomer)
	p.base.begin(now, p.core.runners)
	for i := 0; i <= len(entries); i++ {
		if i == pos && p.base.place(newcomer.size.pool, newcomer.cost()) > newcomer.deadline {
			return i
		}
		if i == len(entries) || entries[i].deadline == forever && i >= pos {
			break
		}
		e := &entries[i]
		if !e.out && p.base.place(e.size.pool, e.cost()) > e.deadline && !p.lateAnyway(now, e) {
			return i
		}
	}
	return -1
}

func (p *plan) placeBase(i int) instant {
	e := &p.core.queue.entries()[i]
	return p.base.place(e.size.pool, e.cost())
}

// broken walks on from pos and returns the first task that now misses and would
// not have without the newcomer, or -1, and how many it placed.
func (p *plan) broken(w *walk, now instant, pos int) (index, steps int) {
	entries := p.core.queue.entries()
	for i := pos; i < len(entries); i++ {
		e := &entries[i]
		if e.deadline == forever {
			return -1, i - pos
		}
		if w.place(e.size.pool, e.cost()) > e.deadline && !p.lateAnyway(now, e) {
			return i, i - pos
		}
	}
	return -1, len(entries) - pos
}

// lateAnyway tells whether the entry misses without the newcomer too. Most
// questions never come here, so the schedule without it is made on demand.
func (p *plan) lateAnyway(now instant, e *entry) bool {
	if !p.marked {
		p.marked = true
		p.spare.begin(now, p.core.runners)
		entries := p.core.queue.entries()
		for i := range entries {
			other := &entries[i]
			other.late = p.spare.place(other.size.pool, other.cost()) > other.deadline
		}
	}
	return e.late
}

// earliest is the first deadline with which the newcomer would be let in. It
// tries the places in the queue from the front; at each one the deadline must
// reach the newcomer's end there and sort it to just that place.
//
// While the budget lasts every place is tried, and the answer is exact. After
// that, when the newcomer breaks a task further back, the places up to that task
// are skipped: with one slot it would break it from all of them, with several
// nearly always. What is returned has been walked to the end in any case.
func (p *plan) earliest(now instant, newcomer *entry) instant {
	p.marked = false
	p.base.begin(now, p.core.runners)
	trial, budget := *newcomer, p.searchSteps
	for pos, resume := 0, 0; ; pos++ {
		if pos >= resume && p.sortsTo(pos, &trial) {
			copy(p.trial.free, p.base.free)
			p.trial.place(trial.size.pool, trial.cost())
			broken, steps := p.broken(&p.trial, now, pos)
			if broken < 0 {
				return trial.deadline
			}
			if budget -= steps; budget < 0 {
				resume = broken + 1
			}
		}
		p.placeBase(pos)
	}
}

// sortsTo gives the newcomer the first deadline it could keep at the place pos,
// with everything before it in base, and tells whether that sorts it there. The
// place before the first task without a deadline always qualifies, so a search
// over all places ends.
func (p *plan) sortsTo(pos int, newcomer *entry) bool {
	entries := p.core.queue.entries()
	start, _ := p.base.start(newcomer.size.pool)
	newcomer.deadline = start + instant(newcomer.cost())
	if pos > 0 {
		previous := &entries[pos-1]
		newcomer.deadline = max(newcomer.deadline, previous.deadline)
		if newcomer.before(previous) {
			newcomer.deadline++
		}
	}
	return pos == len(entries) || newcomer.before(&entries[pos])
}

// next is the waiting task to start now: the first whose pool has a free lane.
func (p *plan) next() (pos int, ok bool) {
	if len(p.core.runners) >= p.core.slots {
		return 0, false
	}
	entries := p.core.queue.entries()
	for i := range entries {
		if at := entries[i].size.pool; at.busy < at.lanes && !entries[i].held {
			return i, true
		}
	}
	return 0, false
}

// opens is when the waiting task of the class that stands behind so many others of it
// is planned to start, and so a place in its line comes free; forever when none is
// planned at all.
func (p *plan) opens(now instant, class edge.Class, behind int) instant {
	p.base.begin(now, p.core.runners)
	entries := p.core.queue.entries()
	for i := range entries {
		e := &entries[i]
		if e.size.pool.lanes > 0 && e.class == class {
			if behind == 0 {
				start, _ := p.base.start(e.size.pool)
				return start
			}
			behind--
		}
		p.placeBase(i)
	}
	return forever
}
