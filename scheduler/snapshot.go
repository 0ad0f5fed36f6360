package scheduler

import (
	"math"
	"time"

	"holdfast/edge"
)

// Snapshot is the scheduler at one moment. It belongs to whoever asked.
type Snapshot struct {
	Report edge.QueueReport
	// Waiting is in the order of the queue. Running is in the order of starts, then what
	// is suspended, and includes tasks that have settled while their work goes on: those
	// have their outcome for a state.
	Waiting []edge.TaskView
	Running []edge.TaskView
	// Tenants are the entries of the rules, by name; none while they bound nobody.
	Tenants []edge.TenantReport
}

func (c *core) snapshot(now instant) Snapshot { return c.glance(now, math.MaxInt) }

// glance shows at most so many that wait; whose turn is next comes first.
func (c *core) glance(now instant, most int) Snapshot {
	entries := c.queue.entries()
	entries = entries[:min(len(entries), most)]
	s := Snapshot{
		Report:  c.reportQueue(),
		Waiting: make([]edge.TaskView, 0, len(entries)),
		Running: make([]edge.TaskView, 0, len(c.runners)+len(c.parked)),
		Tenants: c.tenants.report(now),
	}
	for i := range entries {
		s.Waiting = append(s.Waiting, entries[i].item.view(now))
	}
	away := c.awayInOrder()
	for _, it := range away[:min(len(away), most-len(entries))] {
		s.Waiting = append(s.Waiting, it.view(now))
	}
	for _, it := range c.runners {
		s.Running = append(s.Running, it.view(now))
	}
	for _, it := range c.parked {
		s.Running = append(s.Running, it.view(now))
	}
	return s
}

func (it *item) view(now instant) edge.TaskView {
	v := edge.TaskView{
		ID: it.task.ID, Model: it.task.Model, Class: it.task.Class, Tenant: it.task.Tenant,
		State: "waiting", Arrived: it.task.Arrived, Deadline: it.task.Deadline,
		Queue: time.Duration(now - it.arrived), Estimate: it.estimate, Trace: it.task.Trace.ID,
	}
	if it.task.HasDeadline() {
		v.Slack = time.Duration(it.deadline - now)
	}
	if it.held || it.phase == away {
		v.State = "upstream"
	}
	if it.pool != nil {
		v.State = "running"
		v.Started, v.Slot = it.task.Arrived.Add(time.Duration(it.started-it.arrived)), edge.SlotAt(int(it.slot))
		v.Queue = time.Duration(it.started - it.arrived)
		v.Compute = it.ran(now)
	}
	if it.suspended {
		v.State = "suspended"
	}
	if it.phase == settled {
		v.State = it.settlement.Outcome.String()
		if it.settlement.Err != nil { // nil: its upstream has answered what still runs here
			v.Reason = it.settlement.Err.Error()
		}
	}
	return v
}

func (c *core) reportQueue() edge.QueueReport {
	r := edge.QueueReport{
		Slots: c.slots, Order: c.rule.name, Running: len(c.runners), Waiting: c.queue.len(),
		Held: c.travels.held, Away: c.travels.away, Attempts: c.travels.attempts, Draining: c.draining,
		Settled: map[string]uint64{},
	}
	for _, class := range edge.Classes {
		view := edge.ClassReport{
			Class: class, Waiting: c.queue.byClass[class],
			Submitted: c.tally.submitted[class], Settled: map[string]uint64{},
		}
		for _, outcome := range edge.Outcomes {
			n := c.tally.settled[class][outcome]
			view.Settled[outcome.String()] = n
			r.Settled[outcome.String()] += n
		}
		r.Classes = append(r.Classes, view)
	}
	for _, m := range c.served {
		r.Models = append(r.Models, m.report())
	}
	return r
}

func (m *model) report() edge.ModelReport {
	r := edge.ModelReport{
		Model: m.name, Pool: m.pool.name, Lanes: m.pool.lanes,
		Estimate: m.figure.plan, Firm: m.figure.firm, Runs: m.runs.count, Bias: m.bias.ratio(),
	}
	if m.runs.count > 0 {
		r.Median, r.P90, r.P99 = m.runs.quantile(50), m.runs.quantile(90), m.runs.quantile(99)
	}
	return r
}
