package upstream

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// Route leads the tasks of a model to an upstream.
type Route struct {
	Upstream string // its name
	Model    string // as the upstream calls it; empty: the same
}

// Router knows which upstream is asked for which model.
type Router struct {
	table atomic.Pointer[table]
	news  chan struct{} // capacity 1: the table has changed

	mu sync.Mutex // guards what is kept of the last table
}

// table is what a router goes by. It never changes.
type table struct {
	routes    map[string]Route
	upstreams map[string]*entry
}

// entry is an upstream with what it was made from: all of Options but who reads and is told.
type entry struct {
	made string
	*Upstream
}

// NewRouter makes a router without routes.
func NewRouter() *Router {
	r := &Router{news: make(chan struct{}, 1)}
	r.table.Store(&table{})
	return r
}

// Follow replaces the routes and the upstreams they lead to. An upstream that stays as it was keeps its
// connections and what is known of it; of all others Dropped is told before anything of those in their
// place. An error names what is wrong, and nothing has changed then.
func (r *Router) Follow(routes map[string]Route, upstreams []Options) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.table.Load().upstreams
	next := &table{routes: map[string]Route{}, upstreams: map[string]*entry{}}
	for _, o := range upstreams {
		made := fmt.Sprintf("%q %q %q %v %+v", o.URL, o.CA, o.Token, o.Timeout, o.Breaker)
		if old := known[o.Name]; old != nil && old.made == made {
			next.upstreams[o.Name] = old
			continue
		}
		u, err := New(o)
		if err != nil {
			return err
		}
		next.upstreams[o.Name] = &entry{made: made, Upstream: u}
	}
	for model, route := range routes {
		if next.upstreams[route.Upstream] == nil {
			return fmt.Errorf("route of model %q leads to upstream %q, which is not named: %w", model, route.Upstream, edge.ErrInvalid)
		}
		if route.Model == "" {
			route.Model = model
		}
		next.routes[model] = route
	}
	for name, old := range known {
		if next.upstreams[name] != old {
			old.drop()
		}
	}
	r.table.Store(next)
	select {
	case r.news <- struct{}{}:
	default:
	}
	return nil
}

// Ask has the upstream of the task's model answer it.
func (r *Router) Ask(ctx context.Context, t edge.Task) (edge.Answer, error) {
	now := r.table.Load()
	route, routed := now.routes[t.Model]
	if !routed {
		return edge.Answer{}, fmt.Errorf("no route leads to model %q any more: %w", t.Model, edge.ErrNotFound)
	}
	return now.upstreams[route.Upstream].Ask(ctx, t, route.Model)
}

// Model is what a routed model's upstream says of it, under the name it has here, and whether the
// upstream is asked now. known: a route leads there.
func (r *Router) Model(name string) (meta oip.ModelMetadata, up, known bool) {
	now := r.table.Load()
	route, known := now.routes[name]
	if !known {
		return meta, false, false
	}
	meta, up = now.upstreams[route.Upstream].Model(route.Model)
	if meta.Name != "" {
		meta.Name = name
	}
	return meta, up, true
}

// Models are the routed ones, by name.
func (r *Router) Models() []string { return slices.Sorted(maps.Keys(r.table.Load().routes)) }

// Reports are all upstreams, by name.
func (r *Router) Reports() []edge.UpstreamReport {
	var reports []edge.UpstreamReport
	for _, u := range r.table.Load().upstreams {
		reports = append(reports, u.Report())
	}
	edge.SortStable(reports, func(a, b edge.UpstreamReport) int { return strings.Compare(a.Name, b.Name) })
	return reports
}

// Run runs the upstreams there are, until ctx ends.
func (r *Router) Run(ctx context.Context) error {
	running := map[*entry]context.CancelFunc{}
	var ended sync.WaitGroup
	defer ended.Wait()
	for {
		now := r.table.Load().upstreams
		for e, stop := range running {
			if now[e.options.Name] != e {
				stop()
				delete(running, e)
			}
		}
		for _, e := range now {
			if running[e] == nil {
				own, stop := context.WithCancel(ctx)
				running[e] = stop
				ended.Go(func() { _ = e.Run(own) }) // returns nil
			}
		}
		select {
		case <-ctx.Done():
			for _, stop := range running {
				stop()
			}
			return nil
		case <-r.news:
		}
	}
}
