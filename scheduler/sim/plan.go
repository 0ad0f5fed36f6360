package sim

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"holdfast/edge"
	"holdfast/scheduler"
)

// Options shape the simulated node that the scheduler plans for.
type Options struct {
	// Order is by which rule the scheduler works.
	Order scheduler.Order
	// Learn has the scheduler estimate by the runs it has seen, instead of by the
	// estimates that come with the tasks.
	Learn bool
	// Ladder are the smaller variants each model has, as parts of its work, largest first; with any the
	// scheduler estimates by the runs it has seen.
	Ladder []float64
	// Suspended is how many tasks may be suspended at once; 0: the number of cores and
	// four, below 0: none can be.
	Suspended int
	// Switch is the work it costs to resume.
	Switch time.Duration
	Rules  scheduler.Rules
}

// Plan is the scheduler, by default with its own plan.
func Plan(o Options) Policy {
	return Policy{Name: o.Order.String(), Says: o.Order.Says(), run: func(tasks []Task, cores int) (Result, error) {
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
	halted  map[int]*run
	now     time.Duration
	result  Result
	work    []time.Duration // of each task as it is started; 0 before
	told    []bool
}

// run is a started task.
type run struct {
	index int
	ends  time.Duration // while it runs
	left  time.Duration // while it is suspended
}

// unbounded is more tasks than ever wait: queue limits are no part of the comparison.
const unbounded = 1 << 20

func newMachine(o Options, tasks []Task, cores int) (*machine, error) {
	for _, part := range o.Ladder {
		if part <= 0 || part >= 1 {
			return nil, fmt.Errorf("cannot simulate: a smaller variant takes %v of its model's work: %w", part, edge.ErrInvalid)
		}
	}
	limits := map[edge.Class]int{edge.Urgent: unbounded, edge.Normal: unbounded, edge.Batch: unbounded}
	suspended := max(o.Suspended, 0)
	if o.Suspended == 0 {
		suspended = cores + 4
	}
	engine, err := scheduler.NewEngine(scheduler.EngineOptions{Slots: cores, QueueLimit: limits, Order: o.Order, Suspended: suspended})
	if err != nil {
		return nil, fmt.Errorf("cannot simulate: %w", err)
	}
	m := &machine{options: o, engine: engine, tasks: tasks, halted: map[int]*run{}, work: make([]time.Duration, len(tasks)), told: make([]bool, len(tasks))}
	engine.Serve(0, poolsOf(tasks, unbounded, o.Ladder))
	engine.Govern(0, o.Rules)
	return m, nil
}

// poolsOf serves each model, and its variants, with so many instances; its declared cost is the first
// estimate.
func poolsOf(tasks []Task, lanes int, ladder []float64) []edge.Pool {
	var pools []edge.Pool
	known := map[string]bool{}
	for _, t := range tasks {
		if !known[t.Model] {
			known[t.Model] = true
			models := []edge.ModelCost{{Model: t.Model, Cost: t.Estimate}}
			for i, part := range ladder {
				models = append(models, edge.ModelCost{Model: variant(t.Model, i), Cost: time.Duration(part * float64(t.Estimate))})
			}
			pools = append(pools, edge.Pool{Name: t.Model, Lanes: lanes, Models: models, Ladder: len(ladder) > 0})
		}
	}
	return pools
}

func variant(model string, i int) string { return model + "/" + strconv.Itoa(i) }

// workOf is what the task takes as the model it is started as.
func (m *machine) workOf(t *Task, as string) time.Duration {
	for i, part := range m.options.Ladder {
		if as == variant(t.Model, i) {
			return max(time.Duration(part*float64(t.Work)), 1)
		}
	}
	return t.Work
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
	if m.options.Learn || len(m.options.Ladder) > 0 {
		estimate = 0
	}
	_ = m.engine.Submit(m.now, task, estimate) // a refusal is settled, and counted there
}

func (m *machine) end(r *run) {
	m.take(r.index)
	m.engine.Finish(m.now, strconv.Itoa(r.index), nil)
}

// take removes a run from what runs.
func (m *machine) take(index int) *run {
	i := slices.IndexFunc(m.running, func(r *run) bool { return r.index == index })
	r := m.running[i]
	m.running = slices.Delete(m.running, i, i+1)
	return r
}

func (m *machine) act(a scheduler.Act) {
	i, _ := strconv.Atoi(a.Task.ID) // made by submit
	switch a.Kind {
	case scheduler.Start:
		m.work[i] = m.workOf(&m.tasks[i], a.Task.Model)
		m.running = append(m.running, &run{index: i, ends: m.now + m.work[i]})
		m.result.Busy += m.work[i]
	case scheduler.Suspend:
		r := m.take(i)
		r.left = r.ends - m.now
		m.halted[i] = r
		m.result.Suspensions++
	case scheduler.Resume:
		r := m.halted[i]
		delete(m.halted, i)
		r.ends = m.now + r.left + m.options.Switch
		m.running = append(m.running, r)
	case scheduler.Settle:
		if m.told[i] = true; a.Settlement.Outcome != edge.Completed {
			m.result.Wasted += m.work[i]
		}
		m.result.ended(&m.tasks[i], a.Settlement.Outcome, a.Task.Model != m.tasks[i].Model)
	}
}

// check tells whether every task has ended and was told.
func (m *machine) check() error {
	if len(m.running)+len(m.halted) > 0 {
		return fmt.Errorf("simulation ended while %d tasks run and %d are suspended", len(m.running), len(m.halted))
	}
	for i, told := range m.told {
		if !told {
			return fmt.Errorf("simulation ended without a word to task %d", i)
		}
	}
	return m.engine.Check()
}
