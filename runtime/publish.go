package runtime

import (
	"cmp"
	"maps"
	"slices"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// publish shows the state to the readers and tells what has changed of it.
func (l *loop) publish() {
	l.seeTools()
	l.publishViews()
	l.publishCatalog()
	l.publishPools()
	l.publishOffer()
	l.publishWarnings()
	l.publishVersions()
}

func (l *loop) sorted() []*workload {
	return slices.SortedFunc(maps.Values(l.workloads), func(a, b *workload) int { return cmp.Compare(a.key, b.key) })
}

// publishCatalog renews what Execute and Model read.
func (l *loop) publishCatalog() {
	next := newCatalog()
	for _, w := range l.sorted() {
		if !w.desired {
			continue
		}
		for _, model := range w.spec.Serve.Models() {
			if _, taken := next.models[model]; taken && w.invalid != "" {
				continue // what it is to be now, if that were usable, serves it no more
			}
			next.models[model] = catalogEntry{
				pool: w.pool, meta: w.metas[model], ready: l.serves(w, model), timeout: requestTimeout(w.spec.Serve),
			}
		}
	}
	for _, tool := range l.tools {
		next.models[tool.Workload.Serve.Model] = catalogEntry{
			tool: true, meta: tool.Meta, ready: tool.Ready, timeout: requestTimeout(tool.Workload.Serve),
		}
	}
	next.names = slices.Sorted(maps.Keys(next.models))
	close(l.s.catalog.Swap(next).replaced)
}

func (l *loop) serves(w *workload, model string) bool {
	for _, inst := range w.running() {
		if inst.phase == phaseReady && inst.ep != nil && inst.ep.metas[model].Name != "" {
			return true
		}
	}
	return false
}

// running lists the instances of a workload that have not ended.
func (w *workload) running() []*instance {
	var running []*instance
	for _, seat := range w.places() {
		if seat.inst != nil {
			running = append(running, seat.inst)
		}
	}
	return append(running, w.extras...)
}

// publishPools tells what the scheduler may count with, when it has changed.
func (l *loop) publishPools() {
	_, can := l.s.opts.Driver.(Suspender)
	var pools []edge.Pool
	for _, w := range l.sorted() {
		if w.desired && w.spec.Serve != nil {
			pool := w.count()
			pool.Fixed = pool.Fixed || !can
			pools = append(pools, pool)
		}
	}
	pools = append(pools, l.toolPools()...)
	same := slices.EqualFunc(pools, l.pools, func(a, b edge.Pool) bool {
		return a.Name == b.Name && a.Lanes == b.Lanes && a.Ladder == b.Ladder && a.Fixed == b.Fixed && slices.Equal(a.Models, b.Models)
	})
	if !same {
		l.pools = pools
		l.s.opts.Pools(slices.Clone(pools))
	}
}

// count is the workload as a pool. The declared cost is that of the main model;
// for its variants, which are smaller, it is a safe bound.
func (w *workload) count() edge.Pool {
	pool := edge.Pool{Name: w.key, Ladder: w.ladder(), Fixed: w.spec.Serve.Fixed}
	proving := 0
	for _, inst := range w.running() {
		if inst.phase != phaseReady || inst.ep == nil {
			continue
		}
		pool.Fixed = pool.Fixed || len(inst.ep.lanes) > 1
		if w.tries(inst) {
			proving = len(inst.ep.lanes)
			continue
		}
		pool.Lanes += len(inst.ep.lanes)
	}
	if pool.Lanes == 0 { // a canary takes its share of the others' tasks, and adds nothing
		pool.Lanes = proving
	}
	for _, model := range w.spec.Serve.Models() {
		pool.Models = append(pool.Models, edge.ModelCost{Model: model, Cost: w.spec.Serve.Cost})
	}
	return pool
}

// ladder tells whether a task for one of the models may be answered by one after it:
// unless the workload asks for exactness, where they take the same inputs and give the
// same outputs by their own words.
func (w *workload) ladder() bool {
	serve := w.spec.Serve
	if serve.Exact || len(serve.Variants) == 0 {
		return false
	}
	main := w.metas[serve.Model]
	for _, variant := range serve.Variants {
		meta := w.metas[variant]
		if meta.Name == "" || !sameTensors(meta.Inputs, main.Inputs) || !sameTensors(meta.Outputs, main.Outputs) {
			return false
		}
	}
	return true
}

func sameTensors(a, b []oip.TensorMetadata) bool {
	return slices.EqualFunc(a, b, func(a, b oip.TensorMetadata) bool {
		return a.Name == b.Name && a.Datatype == b.Datatype && slices.Equal(a.Shape, b.Shape)
	})
}

// publishViews renews what Workloads returns.
func (l *loop) publishViews() {
	views := make([]edge.WorkloadView, 0, len(l.workloads))
	for _, w := range l.sorted() {
		views = append(views, w.view())
	}
	l.s.views.Store(&views)
}

func (w *workload) view() edge.WorkloadView {
	view := edge.WorkloadView{Workload: w.spec, Instances: []edge.InstanceView{}}
	if view.Workload.Name == "" { // running, and no spec known
		view.Workload.App, view.Workload.Name = splitKey(w.key)
	}
	for _, seat := range w.seats {
		view.Instances = append(view.Instances, seat.view(w.awaits))
	}
	for _, inst := range w.extras {
		view.Instances = append(view.Instances, inst.view())
	}
	for _, inst := range view.Instances {
		if inst.State == edge.InstanceReady {
			view.Ready++
		}
	}
	if view.Update = w.updateView(); view.Update != nil && view.Update.Canary != nil {
		view.Instances = append(view.Instances, w.trial.canary.view(w.trial.hash))
	}
	return view
}

func (i *instance) view() edge.InstanceView {
	return edge.InstanceView{Instance: i.Instance, State: phaseStates[i.phase], Detail: i.detail}
}

// view shows a vacant seat as the instance that was in it last, or as what it waits for.
func (s *seat) view(awaits string) edge.InstanceView {
	var view edge.InstanceView
	switch {
	case s.inst != nil:
		view = s.inst.view()
	case s.done:
		view = s.last.view()
		view.State, view.Detail = edge.InstanceEnded, s.detail
	case awaits != "":
		view.State, view.Detail = edge.InstanceWaiting, awaits
	default:
		if s.last != nil {
			view = s.last.view()
		}
		view.State, view.Detail, view.NextTry = edge.InstanceBackoff, s.detail, s.nextTry
	}
	view.Restarts = s.restarts()
	return view
}
