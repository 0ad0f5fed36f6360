package agent

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"holdfast/edge"
)

// keptTasks is how many settled tasks stay listed.
const keptTasks = 256

// recent remembers how the latest tasks ended, and makes an event of each that
// did not end well.
type recent struct {
	chronicle *chronicle
	tell      func(edge.Settlement) // the fleet; nil: there is none. It does not wait
	count     func(edge.Settlement) // the figures; nil: nobody counts. It does not wait

	mu    sync.Mutex // guards what follows
	tasks ring[edge.TaskView]
	total uint64 // tasks ever
}

func newRecent(j *chronicle) *recent {
	return &recent{chronicle: j, tasks: ring[edge.TaskView]{size: keptTasks}}
}

// Settled takes note of one settlement. It is called on the scheduler's loop, so
// it only copies.
func (r *recent) Settled(s edge.Settlement) {
	view := viewOf(s)
	r.mu.Lock()
	r.tasks.add(view)
	r.total++
	r.mu.Unlock()
	if r.count != nil {
		r.count(s)
	}
	if r.tell != nil {
		r.tell(s)
	}
	if kind, unwell := eventOf(s.Outcome); unwell {
		r.chronicle.Add(edge.Event{
			Kind: kind, Subject: s.Task.ID, Cause: view.Reason,
			Facts: map[string]string{
				"model": s.Task.Model,
				"class": s.Task.Class.String(),
				"slack": s.Slack().Round(time.Microsecond).String(),
				"trace": s.Task.Trace.ID.String(),
			},
		})
	}
}

// All lists the settled tasks, the latest last.
func (r *recent) All() []edge.TaskView {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tasks.all()
}

// Since lists those that settled after the first so many, at most so many and the latest of
// them, oldest first, and how many there have been.
func (r *recent) Since(after uint64, most int) ([]edge.TaskView, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tasks.latest(min(unseen(r.total, after), most)), r.total
}

func viewOf(s edge.Settlement) edge.TaskView {
	view := edge.TaskView{
		ID: s.Task.ID, Model: s.Task.Model, Class: s.Task.Class, Tenant: s.Task.Tenant,
		State: s.Outcome.String(), Slot: s.Slot,
		Arrived: s.Task.Arrived, Deadline: s.Task.Deadline,
		Queue: s.Queue, Compute: s.Compute, Slack: s.Slack(), Estimate: s.Estimate,
		Instance: s.Answer.Instance, Trace: s.Task.Trace.ID,
		Route: s.Answer.Route, RouteWhy: s.RouteWhy,
		Variant: s.Variant(), VariantWhy: s.VariantWhy, Version: s.Answer.Version,
	}
	if s.Compute > 0 {
		view.Started = s.Task.Arrived.Add(s.Queue)
	}
	if s.Err != nil {
		view.Reason = explain(s)
	}
	return view
}

// explain says in words why a task did not end well.
func explain(s edge.Settlement) string {
	refusal, isRefusal := edge.AsRefusal(s.Err)
	switch {
	case isRefusal:
		return refusal.Error()
	case s.Outcome == edge.Missed && s.Compute > 0 && errors.Is(s.Err, edge.ErrDeadline):
		return fmt.Sprintf("started after %v and was still running at its deadline; %v was foreseen",
			s.Queue.Round(time.Microsecond), s.Estimate.Round(time.Microsecond))
	default:
		return s.Err.Error()
	}
}

func eventOf(o edge.Outcome) (edge.EventKind, bool) {
	switch o {
	case edge.Refused:
		return edge.EventTaskRefused, true
	case edge.Evicted:
		return edge.EventTaskEvicted, true
	case edge.Missed:
		return edge.EventTaskMissed, true
	case edge.Failed:
		return edge.EventTaskFailed, true
	}
	return "", false
}
