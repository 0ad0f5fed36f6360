package scheduler

import (
	"fmt"
	"time"

	"holdfast/edge"
)

// readyAfter is when to ask again for a model none of whose instances is ready:
// about what an instance needs to start.
const readyAfter = time.Second

// judge asks everything a task must pass, cheapest first, and prepares the item
// for the queue. nil lets it in.
func (c *core) judge(now instant, it *item) *edge.Refusal {
	m := c.models[it.task.Model]
	switch {
	case c.draining:
		return &edge.Refusal{Reason: edge.ReasonDraining, Detail: "the node takes no new tasks"}
	case !it.tenant.allows(&it.task): // before anything is told about the model
		return c.tenants.denied(it.tenant, &it.task)
	case c.travels.mode(&it.task) == edge.RouteUpstream:
		return upstreamAlone(it)
	case m == nil || m.pool == nil:
		return &edge.Refusal{Reason: edge.ReasonUnknownModel, Detail: fmt.Sprintf("no workload serves %q", it.task.Model)}
	case m.pool.lanes == 0:
		return &edge.Refusal{
			Reason: edge.ReasonModelNotReady, RetryAfter: readyAfter,
			Detail: fmt.Sprintf("no instance of %q is ready for %q", m.pool.name, m.name),
		}
	}
	if wait := it.tenant.wait(now); wait > 0 { // before anything that takes long: a flood is cheap to refuse
		return c.tenants.overQuota(it.tenant, wait)
	}
	it.model, it.size = m, it.sizeOf(m)
	for c.preferSmall != "" && it.size.smaller != nil && it.size.smaller.pool.lanes > 0 {
		it.become(it.size.smaller, c.preferSmall)
	}
	it.outside = it.tenant.exceeds(now, it.size.figure.plan)
	it.firm = c.firm[it.task.Class] && !it.outside
	e := it.entry()
	it.estimate = e.cost()
	switch class := it.task.Class; {
	case it.deadline <= now:
		return c.passed(now, it)
	case c.queue.byClass[class] >= c.limits[class]:
		return c.full(now, class)
	case c.admits(now, it):
		e = it.entry() // a variant's, where that is let in in its place
		it.estimate = e.cost()
		return nil
	case c.tries(now, it):
		return nil
	}
	return c.unreachable(now, it)
}

// sizeOf is where the task's figures are: the model's, or its own where it came with an
// estimate. Who asks for a version is answered by that alone, so where there are variants it has its own too.
func (it *item) sizeOf(m *model) *size {
	if it.given > 0 {
		return &size{figure: declaredFigure(it.given, "given"), model: m, pool: m.pool}
	}
	s := it.sized(m)
	if it.task.Version != "" && m.smaller != nil {
		return &size{figure: s.figure, model: m, pool: m.pool}
	}
	return s
}

// sized is where the task's run is learnt from.
func (it *item) sized(m *model) *size { return m.sized(len(it.task.Input.Body)) }

// tries tells whether the task is let in as a trial: where nothing but the model's own figures
// keeps it out, these deserve a doubt, and there is time for it if they are wrong.
func (c *core) tries(now instant, it *item) bool {
	e, left := it.entry(), time.Duration(it.deadline-now)
	if it.given > 0 || e.cost() <= left || !it.model.mayTry(now, left) {
		return false
	}
	known := it.size
	it.trial, it.size = true, known.doubted(left)
	if !c.admits(now, it) {
		it.trial, it.size = false, known
	}
	return it.trial
}

func (c *core) passed(now instant, it *item) *edge.Refusal {
	refusal := &edge.Refusal{
		Reason: edge.ReasonDeadlinePassed,
		Detail: fmt.Sprintf("%v before the task was taken in", rounded(now-it.deadline)),
	}
	if it.size != nil { // the node knows the model
		refusal.Earliest = c.relative(it, c.earliest(now, it))
	}
	return refusal
}

func (c *core) full(now instant, class edge.Class) *edge.Refusal {
	retry := readyAfter
	// Where the bound has shrunk below what waits, more than one must start first.
	first := c.queue.byClass[class] - c.limits[class]
	if opens := c.plan.opens(now, class, first); opens < forever {
		retry = max(time.Duration(opens-now), time.Millisecond)
	}
	return &edge.Refusal{
		Reason: edge.ReasonQueueFull, RetryAfter: retry,
		Detail: fmt.Sprintf("%d tasks of class %v wait already", c.queue.byClass[class], class),
	}
}

// unreachable says why the deadline cannot be kept: because of the others, and
// then waiting helps, or because the model alone takes longer, and then it does not.
func (c *core) unreachable(now instant, it *item) *edge.Refusal {
	e, left := it.entry(), time.Duration(it.deadline-now)
	earliest := c.earliest(now, it)
	refusal := &edge.Refusal{Reason: edge.ReasonDeadlineUnreachable, Earliest: c.relative(it, earliest)}
	if cost := e.cost(); cost > left && it.size.least() > left {
		refusal.Detail = fmt.Sprintf("%q takes %v (%s) and %v are left",
			it.model.name, rounded(instant(cost)), it.size.figure.source, rounded(instant(left)))
		return refusal
	}
	if earliest == forever {
		earliest = it.deadline + instant(readyAfter)
	}
	refusal.RetryAfter = max(time.Duration(earliest-it.deadline), time.Millisecond)
	refusal.Detail = fmt.Sprintf("%d running and %d waiting leave no %v before its deadline",
		len(c.runners)+len(c.parked), c.queue.len(), rounded(instant(e.cost())))
	if it.outside && !c.busyness.lends(c.slots) {
		refusal.Detail += "; " + outsideShare
	}
	return refusal
}

// relative turns an absolute deadline into what the caller would have had to ask
// for, which counts from the arrival of the task.
func (c *core) relative(it *item, deadline instant) time.Duration {
	if deadline == forever {
		return 0
	}
	return time.Duration(deadline - it.arrived)
}
