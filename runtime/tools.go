package runtime

import (
	"errors"
	goruntime "runtime"
	"slices"
	"strings"

	"holdfast/edge"
	"holdfast/runtime/oneshot"
)

// newTools makes what keeps the containers of tools that are no servers; nil where the
// driver makes none.
func (s *Supervisor) newTools() (*oneshot.Keeper, error) {
	driver, can := s.opts.Driver.(oneshot.Driver)
	if !can {
		return nil, nil
	}
	return oneshot.New(oneshot.Options{
		Driver: driver, Log: s.opts.Log, Name: newID, Jitter: s.opts.Jitter,
		Changed: func() { s.inbox.post(func(*loop) {}) }, // a turn looks at them
		Idle:    func(atWork int) bool { return s.runs.count()+atWork < goruntime.NumCPU() },
	})
}

// Abandon ends a task of a one-shot tool that nobody waits for any more; one of a server goes
// on, for its server would. It does not wait.
func (s *Supervisor) Abandon(t edge.Task) {
	if s.tools != nil {
		s.tools.Abandon(t)
	}
}

// count is how many tasks are under way.
func (s *runs) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.under)
}

var errNoTools = errors.New("the driver runs no one-shot tools")

// applyTools takes the tools out of what is wanted and hands them on. The last usable spec
// of one that is refused stays in force.
func (l *loop) applyTools(wanted map[string]edge.Workload, refused map[string]error) {
	next := make(map[string]edge.Workload)
	for key, w := range wanted {
		switch {
		case !w.IsOneShot():
		case l.s.tools == nil:
			refused[key] = errNoTools
			delete(wanted, key)
		default:
			next[key] = w
			delete(wanted, key)
		}
	}
	for key, w := range l.wantedTools {
		if refused[key] != nil {
			next[key] = w
		}
	}
	l.wantedTools = next
	if l.s.tools == nil {
		return
	}
	list := make([]edge.Workload, 0, len(next))
	for _, w := range next {
		list = append(list, w)
	}
	l.s.tools.Apply(list)
}

// seeTools takes down what is to be said of the tools in this turn.
func (l *loop) seeTools() {
	if l.s.tools != nil {
		l.tools = l.s.tools.Tools()
	}
}

// toolPools are the tools as pools. A task has a lane for each replica, which cannot be
// halted.
func (l *loop) toolPools() []edge.Pool {
	var pools []edge.Pool
	for _, tool := range l.tools {
		serve := tool.Workload.Serve
		pool := edge.Pool{Name: tool.Workload.Key(), Fixed: true, Models: []edge.ModelCost{{Model: serve.Model, Cost: serve.Cost}}}
		if tool.Ready {
			pool.Lanes = tool.Workload.Replicas
		}
		pools = append(pools, pool)
	}
	return pools
}

// withTools adds the tools to a list of workloads. What was a server a moment ago, and runs
// still, is listed with what it is now.
func (s *Supervisor) withTools(views []edge.WorkloadView) []edge.WorkloadView {
	if s.tools == nil {
		return views
	}
	tools := s.tools.Views()
	if len(tools) == 0 {
		return views
	}
	views = slices.Clone(views)
	for _, tool := range tools {
		i, there := slices.BinarySearchFunc(views, tool.Workload.Key(), func(v edge.WorkloadView, key string) int {
			return strings.Compare(v.Workload.Key(), key)
		})
		if there && tool.Workload.Replicas == 0 { // it was a tool, and is not any more
			views[i].Instances = slices.Concat(views[i].Instances, tool.Instances)
			continue
		}
		if there {
			tool.Instances = append(tool.Instances, views[i].Instances...)
			views[i] = tool
			continue
		}
		views = slices.Insert(views, i, tool)
	}
	return views
}
