package scheduler

import (
	"slices"

	"holdfast/edge"
)

// govern puts other rules in force and rechecks the queue by them. What runs goes on
// to its end. What waits and is still allowed keeps its place, whatever became of the
// quota it was let in by or of the bound of its line; what is not is told at once.
func (c *core) govern(now instant, rules *Rules) {
	c.catchUp(now)
	for _, class := range edge.Classes {
		said := rules.Classes[class]
		if c.limits[class] = said.Queue; said.Queue <= 0 {
			c.limits[class] = c.configured[class]
		}
		if c.firm[class] = firmByDefault[class]; said.Firm != nil {
			c.firm[class] = *said.Firm
		}
	}
	c.tenants.replace(now, rules)
	for _, it := range slices.Concat(c.runners, c.parked) {
		it.tenant = c.tenants.of(it.task.Tenant)
	}
	c.travels.follow(rules)
	c.preferSmall = rules.PreferSmall
	c.reassess()
	c.evictDenied(now)
	c.evictDeniedAway(now)
	c.settleDown(now)
}

// reassess counts what waits as the rules have it now. The order of the queue is no
// matter of theirs.
func (c *core) reassess() {
	entries := c.queue.entries()
	for i := range entries {
		e := &entries[i]
		e.firm = c.firm[e.class] && !e.outside
		e.item.firm, e.item.tenant = e.firm, c.tenants.of(e.item.task.Tenant)
	}
}

func (c *core) evictDenied(now instant) {
	denied := func(e *entry) bool { return !e.item.tenant.allows(&e.item.task) }
	c.queue.take(denied, func(it *item) {
		it.tenant.refused(edge.ReasonDenied)
		c.settle(now, it, edge.Evicted, c.tenants.denied(it.tenant, &it.task))
	})
}
