package scheduler

import (
	"time"

	"holdfast/edge"
)

// tally counts tasks by class. What was submitted is always what has settled and
// what is open.
type tally struct {
	submitted [len(edge.Classes)]uint64
	settled   [len(edge.Classes)][len(edge.Outcomes)]uint64
}

// settle ends the item, exactly once for each. The instant is now, or when the
// answer came, shortly before the core heard of it.
func (c *core) settle(at instant, it *item, outcome edge.Outcome, err error) {
	if it.phase == settled {
		panic("a task is settled twice: " + it.task.ID)
	}
	s := &it.settlement
	s.Task, s.Outcome, s.Err, s.Estimate = it.task, outcome, err, it.estimate
	s.At = c.epoch.Add(time.Duration(at))
	if it.phase == waiting {
		it.used(at, 0)
		if it.trial {
			it.model.untried(at)
		}
	}
	c.unhold(it)
	switch {
	case it.abroad:
		s.Queue, s.Compute = time.Duration(it.departed-it.arrived), time.Duration(at-it.departed)
	case it.phase == running:
		s.Queue = time.Duration(it.started - it.arrived)
		s.Compute, s.Slot = it.ran(at), edge.SlotAt(int(it.slot))
	default:
		s.Queue = time.Duration(at - it.arrived)
	}
	if it.asking && outcome == edge.Completed && !it.abroad {
		c.travels.took(it, at-it.departed)
		it.overdue = it.usual && at >= it.until
	}
	if it.phase == away {
		c.travels.away--
	}
	if outcome == edge.Completed {
		c.explainWay(it)
	}
	it.phase = settled
	delete(c.open, it.task.ID)
	c.tally.settled[it.task.Class][outcome]++
	c.out = append(c.out, decision{settle, it})
}
