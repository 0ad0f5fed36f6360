package scheduler

import (
	"fmt"
	"slices"

	"holdfast/edge"
)

// serve replaces what may be counted with. Pools keep their busy lanes, models
// their figures. A task waiting for a model nobody serves any more is told so;
// one whose pool merely has no lane now waits on while it has time.
func (c *core) serve(now instant, pools []edge.Pool) {
	c.catchUp(now)
	known := slices.Concat(c.pools, c.retired)
	for _, p := range known {
		p.lanes = 0
	}
	c.pools, c.served = nil, nil
	for _, m := range c.models {
		m.pool = nil
	}
	for _, given := range pools {
		c.servePool(given, known)
	}
	c.retired = slices.DeleteFunc(known, func(p *pool) bool {
		return p.busy == 0 || slices.Contains(c.pools, p)
	})
	for _, m := range c.models {
		m.refresh()
	}
	c.link(pools)
	c.layOut()
	c.evictUnserved(now)
	for _, e := range c.queue.entries() {
		e.size.pool = e.item.model.pool // of figures of a task's own, too
	}
	c.settleDown(now)
}

// servePool takes one pool in, with the lanes that are busy in it if it is known.
// Of two with one name the first counts.
func (c *core) servePool(given edge.Pool, known []*pool) {
	named := func(p *pool) bool { return p.name == given.Name }
	if slices.ContainsFunc(c.pools, named) {
		return
	}
	p := &pool{name: given.Name}
	if i := slices.IndexFunc(known, named); i >= 0 {
		p = known[i]
	}
	p.lanes, p.fixed = max(given.Lanes, 0), given.Fixed
	c.pools = append(c.pools, p)
	for _, declared := range given.Models {
		c.serveModel(declared, p)
	}
}

// serveModel assigns a model to a pool. When several pools answer it, the first
// with a lane does.
func (c *core) serveModel(declared edge.ModelCost, p *pool) {
	m := c.models[declared.Model]
	if m == nil {
		m = &model{name: declared.Model, fallback: c.fallback}
		c.models[m.name] = m
	}
	switch {
	case m.pool == nil:
		c.served = append(c.served, m)
	case m.pool.lanes > 0 || p.lanes == 0:
		return
	}
	m.pool, m.declared = p, declared.Cost
}

// layOut gives each pool with fewer lanes than slots its segment in the walks.
func (c *core) layOut() {
	length := c.slots
	for _, p := range c.retired {
		p.segment = 0
	}
	for _, p := range c.pools {
		p.segment = 0
		if p.lanes > 0 && p.lanes < c.slots+c.room { // suspended tasks keep their lanes
			p.segment = length
			length += p.lanes
		}
	}
	c.plan.resize(length, c.slots)
}

func (c *core) evictUnserved(now instant) {
	unserved := func(e *entry) bool { return e.item.model.pool == nil }
	c.queue.take(unserved, func(it *item) {
		c.leave(now, it, &edge.Refusal{
			Reason: edge.ReasonUnknownModel,
			Detail: fmt.Sprintf("no workload serves %q any more", it.task.Model),
		})
	})
}
