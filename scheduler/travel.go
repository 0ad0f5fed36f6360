package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"holdfast/edge"
)

// Remote has tasks answered elsewhere.
//
// Ask returns when it has an answer, when there will be none, or when ctx ends: because of
// edge.ErrDeadline at the task's deadline, or when the node's own answer came first; because of edge.ErrCancelled
// when nobody waits any more. A task without a deadline it must bound itself.
type Remote interface {
	Ask(ctx context.Context, t edge.Task) (edge.Answer, error)
}

// A task of a model with a route may travel: it is asked of the upstream, once. Meanwhile
//
//	held   it waits in its place of the queue like any other, so the plan keeps its time, but it
//	       is not begun before the attempt has failed, takes longer than attempts do, or the plan
//	       would not hold much longer;
//	away   it has no place, because the route gives it none or the node had no time for it.
//
// The first answer counts, wherever it comes from.

// travels is what the core knows of all that do.
type travels struct {
	routes    map[string]RouteRule
	localOnly bool
	most      int              // attempts at once; 0: nothing can be asked of anybody
	trips     map[string]*trip // by model, of those with a route
	attempts  int              // under way, also for tasks that have settled
	held      int
	away      int
}

// defaultAttempts bounds the attempts under way where Options do not say: of each the input is kept.
const defaultAttempts = 256

// A held task is let go when the slack is down to recallAhead, or to an eighth of the time it was given: for what its
// attempt might still bring no deadline is risked. Suspending what runs takes some milliseconds, and a run
// that falls into a hiccup of the machine some tens.
const recallAhead = instant(15 * time.Millisecond)

func (it *item) recallAhead() instant {
	if it.deadline == forever {
		return recallAhead
	}
	return max(recallAhead, (it.deadline-it.arrived)/8)
}

// route is where the task may be answered, and why only here where a route leads elsewhere.
func (t *travels) route(task *edge.Task) (mode edge.RouteMode, why edge.Why) {
	rule, routed := t.routes[task.Model]
	switch tenant := cmp.Or(task.Tenant, edge.DefaultTenant); {
	case !routed:
		return edge.RouteLocal, ""
	case t.localOnly:
		return edge.RouteLocal, edge.WhyOffline
	case len(rule.Tenants) > 0 && !slices.Contains(rule.Tenants, tenant):
		return edge.RouteLocal, edge.WhyTenant
	}
	return rule.Mode, edge.WhyRoute
}

func (t *travels) mode(task *edge.Task) edge.RouteMode {
	mode, _ := t.route(task)
	return mode
}

// crowded tells whether as many are being asked as may be. Batch tasks, which may take long, leave half of
// the places to others.
func (t *travels) crowded(class edge.Class) bool {
	most := t.most
	if class == edge.Batch {
		most = (most + 1) / 2
	}
	return t.attempts >= most
}

// mayAsk tells whether the task can be asked of the upstream now.
func (c *core) mayAsk(it *item) bool {
	return !it.asked && !c.travels.crowded(it.task.Class) && c.travels.mode(&it.task).Travels()
}

// elsewhere decides about a task that the node itself does not take in: nil has it asked
// of the upstream.
func (c *core) elsewhere(now instant, it *item, refusal *edge.Refusal) *edge.Refusal {
	switch refusal.Reason {
	case edge.ReasonUnknownModel, edge.ReasonModelNotReady, edge.ReasonQueueFull, edge.ReasonDeadlineUnreachable:
	default: // it is nobody's to answer
		return refusal
	}
	route := c.travels.mode(&it.task)
	wait := it.tenant.wait(now)
	switch {
	case !route.Travels():
		return refusal
	case it.deadline <= now:
		return c.passed(now, it)
	case wait > 0:
		return c.tenants.overQuota(it.tenant, wait)
	case c.travels.crowded(it.task.Class) && route == edge.RouteUpstream:
		return &edge.Refusal{
			Reason: edge.ReasonQueueFull, RetryAfter: readyAfter,
			Detail: fmt.Sprintf("%d tasks are being asked of upstreams already", c.travels.attempts),
		}
	case c.travels.crowded(it.task.Class):
		return refusal
	case c.tooFar(now, it):
		refusal.Detail += fmt.Sprintf("; and its upstream takes %v", rounded(c.travels.trips[it.task.Model].usual()))
		return refusal
	}
	return nil
}

// upstreamAlone is why the node itself does not even look at a task.
func upstreamAlone(it *item) *edge.Refusal {
	return &edge.Refusal{Reason: edge.ReasonModelNotReady, Detail: fmt.Sprintf("the route of %q leads to its upstream alone", it.task.Model)}
}

// hold has a task that was let in be asked of the upstream first, where its route says so.
func (c *core) hold(now instant, it *item) {
	mode, why := c.travels.route(&it.task)
	it.here = why
	switch {
	case mode != edge.RouteUpstreamElseLocal:
	case !c.mayAsk(it):
		it.here = edge.WhyTooManyAsked
	default:
		it.held = true
		c.travels.held++
		c.ask(now, it, why)
		it.until = now + c.travels.patience(it.task.Model, min(it.deadline-now, instant(maxCost)))
		it.usual = it.task.Class != edge.Urgent || c.travels.knows(it.task.Model)
	}
}

func (c *core) ask(now instant, it *item, why edge.Why) {
	it.asked, it.asking, it.departed, it.there = true, true, now, why
	c.travels.depart(now, it)
	c.travels.attempts++
	c.out = append(c.out, decision{ask, it})
}

// goAway has a task that has no place here, or has just lost it, wait for the upstream alone. What
// the node would have said is kept for the case that no answer comes.
func (c *core) goAway(now instant, it *item, refusal *edge.Refusal) {
	if it.used(now, 0); it.trial {
		it.model.untried(now)
		it.trial = false
	}
	c.unhold(it)
	it.phase, it.fell = away, refusal
	c.travels.away++
	if !it.asking {
		c.ask(now, it, c.whyAway(it, refusal))
	}
}

func (c *core) unhold(it *item) {
	if it.held {
		it.held = false
		c.travels.held--
	}
}

// letGo has a held task take its turn like any other.
func (c *core) letGo(it *item, why edge.Why) {
	it.here = why
	e := it.entry()
	c.queue.entries()[c.queue.position(&e)].held = false
	c.unhold(it)
}

// leave takes leave of a task that has lost its place in the queue.
func (c *core) leave(now instant, it *item, refusal *edge.Refusal) {
	if it.asking || c.mayAsk(it) && !c.tooFar(now, it) {
		c.goAway(now, it, refusal)
		return
	}
	c.leaving = append(c.leaving, leaver{it, refusal})
}

// returned takes in how an attempt ended, at the instant at ≤ now.
func (c *core) returned(now instant, it *item, at instant, answer edge.Answer, err error) {
	c.travels.attempts--
	it.asking = false
	c.travels.back(it, at, err)
	switch {
	case it.phase == settled:
	case err == nil && at <= it.deadline:
		c.answered(at, it, answer)
	case it.phase == away && at >= it.deadline:
		c.settle(at, it, edge.Missed, missed(at, it))
	case it.phase == away:
		c.strand(at, it, err)
	case it.held:
		c.letGo(it, whyFailed(err))
	}
	c.settleDown(now)
}

// answered settles a task by what came from upstream. Where the node has begun it too, that work
// goes on for nobody.
func (c *core) answered(at instant, it *item, answer edge.Answer) {
	if it.phase == waiting {
		e := it.entry()
		c.queue.remove(c.queue.position(&e))
	}
	it.settlement.Answer, it.abroad = answer, true
	c.settle(at, it, edge.Completed, nil)
}

// strand settles a task that had no place here when the upstream has failed it.
func (c *core) strand(at instant, it *item, err error) {
	refusal, isRefusal := edge.AsRefusal(err)
	switch {
	case it.fell != nil && c.travels.mode(&it.task) != edge.RouteUpstream:
		told := *it.fell
		told.Detail += fmt.Sprintf("; and its upstream was asked in vain (%s)", whyFailed(err))
		c.settle(at, it, edge.Evicted, &told)
	case isRefusal:
		c.settle(at, it, edge.Evicted, refusal)
	default:
		c.settle(at, it, edge.Failed, err)
	}
}

// whyRecalled is why the attempt of a task that has settled is not waited for. Where the node
// answered in its place, it took too long only if it took longer than it usually does: a task that is
// more urgent than the way is long says nothing about the upstream.
func (it *item) whyRecalled() error {
	switch it.settlement.Outcome {
	case edge.Missed:
		return edge.ErrDeadline
	case edge.Completed:
		if it.overdue {
			return edge.ErrDeadline
		}
	}
	return edge.ErrCancelled
}

// evictDeniedAway tells those that are away and not allowed any more.
func (c *core) evictDeniedAway(now instant) {
	for _, it := range c.awayInOrder() {
		if it.tenant = c.tenants.of(it.task.Tenant); !it.tenant.allows(&it.task) {
			it.tenant.refused(edge.ReasonDenied)
			c.settle(now, it, edge.Evicted, c.tenants.denied(it.tenant, &it.task))
		}
	}
}

// awayInOrder are the tasks that are away, as they were submitted.
func (c *core) awayInOrder() (all []*item) {
	if c.travels.away == 0 {
		return nil
	}
	for _, it := range c.open {
		if it.phase == away {
			all = append(all, it)
		}
	}
	slices.SortFunc(all, func(a, b *item) int { return cmp.Compare(a.seq, b.seq) })
	return all
}
