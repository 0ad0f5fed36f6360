package scheduler

import (
	"slices"

	"holdfast/edge"
)

// step is a waiting task that is to be answered by a smaller variant of its model.
type step struct {
	item *item
	to   *size
}

// mark is an entry that the plan at hand has step down, and what it was before.
type mark struct {
	entry *entry
	was   *size
}

// link says by which models each may be answered in its place, where the order uses that.
func (c *core) link(pools []edge.Pool) {
	c.ladders = false
	for _, m := range c.models {
		m.smaller = nil
	}
	for _, p := range pools {
		for i := 1; i < len(p.Models) && p.Ladder && c.rule.yields; i++ {
			larger, m := c.models[p.Models[i-1].Model], c.models[p.Models[i].Model]
			if larger == nil || m == nil || larger.pool != m.pool || m.pool == nil || m.pool.name != p.Name || listed(p.Models[:i], m.name) {
				continue // another pool answers one of the two, or it stands twice in the ladder
			}
			larger.smaller, c.ladders = m, true
		}
	}
	for _, m := range c.models {
		m.link()
	}
}

func listed(models []edge.ModelCost, name string) bool {
	for _, m := range models {
		if m.Model == name {
			return true
		}
	}
	return false
}

// stepDown has a task that has not started be answered by the next smaller variant, for the plan at
// hand: of those walked so far, whoever would go first, and among these the one that frees the
// most. Firm tasks too, though last: what they were promised is an answer in time.
func (c *core) stepDown(queue, others []entry) (stepped *entry, freed instant) {
	if !c.ladders {
		return nil, 0
	}
	lends := c.busyness.lends(c.slots)
	for _, side := range [...][]entry{queue, others} {
		for i := range side {
			e := &side[i]
			if frees := e.frees(); frees > 0 && !e.out && (stepped == nil || e.stepsBefore(frees, stepped, freed, lends)) {
				stepped, freed = e, frees
			}
		}
	}
	if stepped != nil {
		c.step(stepped)
	}
	return stepped, freed
}

// frees is what the plan gains when the entry steps down; 0 where it cannot.
func (e *entry) frees() instant {
	if s := e.size.smaller; s != nil && !e.started && s.pool.lanes > 0 {
		return instant(e.cost() - s.figure.cost(e.firm))
	}
	return 0
}

func (e *entry) stepsBefore(frees instant, other *entry, itsFrees instant, lends bool) bool {
	switch {
	case e.outside != other.outside && !lends:
		return e.outside
	case e.class != other.class:
		return e.class > other.class
	}
	return frees > itsFrees
}

// step marks the entry as its next smaller variant; its item is still what it was.
func (c *core) step(e *entry) {
	c.marked = append(c.marked, mark{e, e.size})
	e.size = e.size.smaller
}

// unstep takes back all steps but the first so many. It is to be called before the queue changes.
func (c *core) unstep(keep int) {
	for _, m := range slices.Backward(c.marked[keep:]) {
		m.entry.size = m.was
	}
	clear(c.marked[keep:])
	c.marked = c.marked[:keep]
}

// keepSteps turns the marks of a plan into steps to be taken, and has the newcomer be what it is
// let in as.
func (c *core) keepSteps(newcomer *item) {
	c.steps = c.steps[:0]
	for _, m := range c.marked {
		switch e := m.entry; {
		case e.item == newcomer:
			newcomer.become(e.size, edge.WhyLoad)
		case !e.out:
			c.steps = append(c.steps, step{e.item, e.size})
		}
	}
	c.unstep(0)
}

// takeSteps has those that wait be what they are to be. They do not step up again.
func (c *core) takeSteps() {
	for _, s := range c.steps {
		e := s.item.entry()
		at := c.queue.position(&e)
		s.item.become(s.to, edge.WhyLoad)
		c.queue.entries()[at].size = s.to
	}
	clear(c.steps)
	c.steps = c.steps[:0]
}

func (it *item) become(s *size, why edge.Why) { it.model, it.size, it.smaller = s.model, s, why }

// order is the task as it is executed: by the model it is answered by.
func (it *item) order() edge.Task {
	t := it.task
	if it.model != nil {
		t.Model = it.model.name
	}
	return t
}
