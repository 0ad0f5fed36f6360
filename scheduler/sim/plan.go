package sim

import (
	"fmt"
	"strconv"
	"time"

	"holdfast/edge"
	"holdfast/scheduler"
)

// Options shape the simulated node that the scheduler plans for.
type Options struct {
	// Learn has the scheduler estimate by the runs it has seen, instead of by the
	// estimates that come with the tasks.
	Learn bool
	Rules scheduler.Rules
}

// Plan is the scheduler itself.
func Plan(o Options) Policy {
	return Policy{Name: "plan", Says: "the scheduler", run: func(tasks []Task, cores int) (Result, error) {
		m, err := newMachine(o, tasks, cores)
		if err != nil {
			return Result{}, err
		}
		return m.run()
	}}
}

// machine is the node: it carries the engine's decisions out in virtual time.
type machine struct {
	options Options
	engine  *scheduler.Engine
	tasks   []Task
	running []*run // in the order of their start
	now     time.Duration
	result  Result
	told    []bool
}

// run is a started task.
type run struct {
	index int
	ends  time.Duration
}

// unbounded is more tasks than ever wait: queue limits are no part of the comparison.
const unbounded = 1 << 20

func newMachine(o Options, tasks []Task, cores int) (*machine, error) {
	limits := map[edge.Class]int{edge.Urgent: unbounded, edge.Normal: unbounded, edge.Batch: unbounded}
	engine, err := scheduler.NewEngine(scheduler.EngineOptions{Slots: cores, QueueLimit: limits})
	if err != nil {
		return nil, fmt.Errorf("cannot simulate: %w", err)
	}
	m := &machine{options: o, engine: engine, tasks: tasks, told: make([]bool, len(tasks))}
	engine.Serve(0, poolsOf(tasks, unbounded))
	engine.Govern(0, o.Rules)
	return m, nil
}

// poolsOf serves each model with so many instances; its declared cost is the first
// estimate.
func poolsOf(tasks []Task, lanes int) []edge.Pool {
	var pools []edge.Pool
	known := map[string]bool{}
	for _, t := range tasks {
		if !known[t.Model] {
			known[t.Model] = true
			models := []edge.ModelCost{{Model: t.Model, Cost: t.Estimate}}
			pools = append(pools, edge.Pool{Name: t.Model, Lanes: lanes, Models: models})
		}
	}
	return pools
}

// run lets time pass until nothing is left to happen. At one instant answers come
// first, then what is due, then arrivals.
func (m *machine) run() (Result, error) {
	for next := 0; ; {
		first := m.soonest()
		wake, due := m.engine.Wake()
		switch {
		case first != nil && (!due || first.ends <= wake) && (next == len(m.tasks) || first.ends <= m.tasks[next].Arrives):
			m.now = max(m.now, first.ends)
			m.end(first)
		case due && (next == len(m.tasks) || wake <= m.tasks[next].Arrives):
			m.now = max(m.now, wake)
			m.engine.Tick(m.now)
		case next < len(m.tasks):
			m.now = max(m.now, m.tasks[next].Arrives)
			m.submit(next)
			next++
		default:
			return m.result, m.check()
		}
		m.engine.Acts(m.act)
	}
}

func (m *machine) soonest() *run {
	var first *run
	for _, r := range m.running {
		if first == nil || r.ends < first.ends {
			first = r
		}
	}
	return first
}

func (m *machine) submit(i int) {
	t := &m.tasks[i]
	task := edge.Task{
		ID: strconv.Itoa(i), Model: t.Model, Class: t.Class, Tenant: t.Tenant,
		Arrived: m.engine.At(t.Arrives), Deadline: m.engine.At(t.Deadline),
	}
	estimate := t.Estimate
	if m.options.Learn {
		estimate = 0
	}
	_ = m.engine.Submit(m.now, task, estimate) // a refusal is settled, and counted there
}

func (m *machine) end(r *run) {
	for i := range m.running {
		if m.running[i] == r {
			m.running = append(m.running[:i], m.running[i+1:]...)
			break
		}
	}
	m.engine.Finish(m.now, strconv.Itoa(r.index), nil)
}

func (m *machine) act(a scheduler.Act) {
	i, _ := strconv.Atoi(a.Task.ID) // made by submit
	switch a.Kind {
	case scheduler.Start:
		m.running = append(m.running, &run{index: i, ends: m.now + m.tasks[i].Work})
		m.result.Busy += m.tasks[i].Work
	case scheduler.Settle:
		m.told[i] = true
		m.result.ended(&m.tasks[i], a.Settlement.Outcome)
	}
}

// check tells whether every task has ended and was told.
func (m *machine) check() error {
	if len(m.running) > 0 {
		return fmt.Errorf("simulation ended while %d tasks run", len(m.running))
	}
	for i, told := range m.told {
		if !told {
			return fmt.Errorf("simulation ended without a word to task %d", i)
		}
	}
	return m.engine.Check()
}
