package sim

import (
	"time"

	"holdfast/edge"
)

// Policy is a way to schedule tasks on cores.
type Policy struct {
	Name string // short, for flags and files
	Says string // for people
	run  func(tasks []Task, cores int) (Result, error)
}

// Run schedules the tasks, which are in the order of their arrival.
func (p Policy) Run(tasks []Task, cores int) (Result, error) { return p.run(tasks, cores) }

// Policies are the baselines, and then the scheduler itself.
func Policies() []Policy {
	return append(Baselines(), Plan(Options{}))
}

// Baselines are simple orders of a queue.
func Baselines() []Policy {
	return []Policy{
		baseline("fifo", "first come, first served", order{}),
		baseline("priority", "three-level priority with timeout", order{before: byClass, drop: late}),
		baseline("edf", "earliest deadline first", order{before: byDeadline}),
		baseline("edf-late", "EDF, drop when already late", order{before: byDeadline, drop: late}),
		baseline("edf-hopeless", "EDF, drop when hopeless", order{before: byDeadline, drop: hopeless}),
		baseline("edf-refuse", "EDF, refuse the newcomer if infeasible", order{before: byDeadline, refuse: true}),
		baseline("latest-start", "latest start first, drop when hopeless", order{before: byLatestStart, drop: hopeless}),
	}
}

func baseline(name, says string, o order) Policy {
	return Policy{Name: name, Says: says, run: func(tasks []Task, cores int) (Result, error) {
		q := queueing{order: o, tasks: tasks, cores: make([]core, cores)}
		return q.run(), nil
	}}
}

// order is a rule for a queue. None of them suspends what runs.
type order struct {
	before func(a, b *Task) bool                 // nil: by arrival
	drop   func(t *Task, now time.Duration) bool // instead of starting it; nil: never
	refuse bool                                  // a newcomer that would be late or make another late
}

func byClass(a, b *Task) bool    { return a.Class < b.Class }
func byDeadline(a, b *Task) bool { return a.Deadline < b.Deadline }
func byLatestStart(a, b *Task) bool {
	return a.Deadline-a.Estimate < b.Deadline-b.Estimate
}
func late(t *Task, now time.Duration) bool     { return now >= t.Deadline }
func hopeless(t *Task, now time.Duration) bool { return now+t.Estimate > t.Deadline }

// core is one core of the simulated machine.
type core struct {
	task *Task // nil: idle
	ends time.Duration
	plan time.Duration // when the estimate has it end
}

// queueing is a queue in front of some cores.
type queueing struct {
	order  order
	tasks  []Task
	cores  []core
	queue  []*Task // in the order's order; equal ones by arrival
	result Result
}

func (q *queueing) run() Result {
	for next := 0; ; {
		now, busy := q.soonest()
		if next < len(q.tasks) && (!busy || q.tasks[next].Arrives < now) {
			now = q.tasks[next].Arrives
			q.arrive(&q.tasks[next], now)
			next++
		} else if !busy {
			return q.result
		}
		q.end(now)
		q.start(now)
	}
}

// soonest is when the next running task ends.
func (q *queueing) soonest() (at time.Duration, busy bool) {
	for _, c := range q.cores {
		if c.task != nil && (!busy || c.ends < at) {
			at, busy = c.ends, true
		}
	}
	return at, busy
}

func (q *queueing) arrive(t *Task, now time.Duration) {
	at := len(q.queue)
	for q.order.before != nil && at > 0 && q.order.before(t, q.queue[at-1]) {
		at--
	}
	if q.order.refuse && !q.fits(t, at, now) {
		q.result.ended(t, edge.Refused)
		return
	}
	q.queue = append(q.queue, nil)
	copy(q.queue[at+1:], q.queue[at:])
	q.queue[at] = t
}

// fits tells whether the newcomer, in the queue at the given place, is in time and makes
// nobody late who would not be without it.
func (q *queueing) fits(t *Task, at int, now time.Duration) bool {
	with, without := q.freeAt(now), q.freeAt(now)
	for _, waiting := range q.queue[:at] {
		place(with, waiting)
		place(without, waiting)
	}
	if place(with, t) > t.Deadline {
		return false
	}
	for _, waiting := range q.queue[at:] {
		if place(with, waiting) > waiting.Deadline && place(without, waiting) <= waiting.Deadline {
			return false
		}
	}
	return true
}

func (q *queueing) freeAt(now time.Duration) []time.Duration {
	free := make([]time.Duration, len(q.cores))
	for i, c := range q.cores {
		free[i] = now
		if c.task != nil {
			free[i] = max(now, c.plan)
		}
	}
	return free
}

// place puts the task on the core that is free first and returns when it ends.
func place(free []time.Duration, t *Task) time.Duration {
	first := 0
	for i := range free {
		if free[i] < free[first] {
			first = i
		}
	}
	free[first] += t.Estimate
	return free[first]
}

func (q *queueing) end(now time.Duration) {
	for i, c := range q.cores {
		if c.task == nil || c.ends > now {
			continue
		}
		outcome := edge.Completed
		if now > c.task.Deadline {
			outcome = edge.Missed
			q.result.Wasted += c.task.Work
		}
		q.result.ended(c.task, outcome)
		q.cores[i] = core{}
	}
}

func (q *queueing) start(now time.Duration) {
	for i := range q.cores {
		for q.cores[i].task == nil && len(q.queue) > 0 {
			t := q.queue[0]
			q.queue = q.queue[1:]
			if q.order.drop != nil && q.order.drop(t, now) {
				q.result.ended(t, edge.Evicted)
				continue
			}
			q.cores[i] = core{task: t, ends: now + t.Work, plan: now + t.Estimate}
			q.result.Busy += t.Work
		}
	}
}
