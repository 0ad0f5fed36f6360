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
	routes   map[string]RouteRule
	most     int                // attempts at once; 0: nothing can be asked of anybody
	trips    map[string]*window // how long attempts took, by model
	attempts int                // under way, also for tasks that have settled
	held     int
	away     int
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

// How long a held task waits for its attempt: a quarter more than nineteen of twenty took, and a quarter
// of its own time while too few have been seen. An upstream that does not answer costs
// the node idle time no longer than that, and one that answers late is asked in vain, but harms nobody.
const (
	patientPercent = 95
	fewTrips       = 4
)

func (t *travels) patience(model string, left instant) instant {
	if w := t.trips[model]; w != nil && w.count >= fewTrips {
		usual := instant(w.quantile(patientPercent))
		return usual + usual/4
	}
	return left / 4
}

// took remembers how long an attempt took; where the node answered first, how long it had taken by then.
func (t *travels) took(it *item, at instant) {
	w := t.trips[it.task.Model]
	if w == nil {
		if t.trips == nil {
			t.trips = map[string]*window{}
		}
		w = &window{}
		t.trips[it.task.Model] = w
	}
	w.add(time.Duration(at - it.departed))
}

// route is where the task may be answered.
func (t *travels) route(task *edge.Task) edge.RouteMode {
	rule := t.routes[task.Model]
	tenant := cmp.Or(task.Tenant, edge.DefaultTenant)
	if len(rule.Tenants) > 0 && !slices.Contains(rule.Tenants, tenant) {
		return edge.RouteLocal
	}
	return rule.Mode
}

// mayAsk tells whether the task can be asked of the upstream now.
func (c *core) mayAsk(it *item) bool {
	return !it.asked && c.travels.attempts < c.travels.most && c.travels.route(&it.task).Travels()
}

// elsewhere decides about a task that the node itself does not take in: nil has it asked
// of the upstream.
func (c *core) elsewhere(now instant, it *item, refusal *edge.Refusal) *edge.Refusal {
	switch refusal.Reason {
	case edge.ReasonUnknownModel, edge.ReasonModelNotReady, edge.ReasonQueueFull, edge.ReasonDeadlineUnreachable:
	default: // it is nobody's to answer
		return refusal
	}
	route := c.travels.route(&it.task)
	wait := it.tenant.wait(now)
	switch {
	case !route.Travels():
		return refusal
	case it.deadline <= now:
		return c.passed(now, it)
	case wait > 0:
		return c.tenants.overQuota(it.tenant, wait)
	case c.travels.attempts >= c.travels.most && route == edge.RouteUpstream:
		return &edge.Refusal{
			Reason: edge.ReasonQueueFull, RetryAfter: readyAfter,
			Detail: fmt.Sprintf("%d tasks are being asked of upstreams already", c.travels.attempts),
		}
	case c.travels.attempts >= c.travels.most:
		return refusal
	}
	return nil
}

// upstreamAlone is why the node itself does not even look at a task.
func upstreamAlone(it *item) *edge.Refusal {
	return &edge.Refusal{Reason: edge.ReasonModelNotReady, Detail: fmt.Sprintf("the route of %q leads to its upstream alone", it.task.Model)}
}

// hold has a task that was let in be asked of the upstream first.
func (c *core) hold(now instant, it *item) {
	if c.travels.route(&it.task) == edge.RouteUpstreamElseLocal && c.mayAsk(it) {
		it.held = true
		c.travels.held++
		c.ask(now, it)
		it.until = now + c.travels.patience(it.task.Model, min(it.deadline-now, instant(maxCost)))
	}
}

func (c *core) ask(now instant, it *item) {
	it.asked, it.asking, it.departed = true, true, now
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
		c.ask(now, it)
	}
}

func (c *core) unhold(it *item) {
	if it.held {
		it.held = false
		c.travels.held--
	}
}

// letGo has a held task take its turn like any other.
func (c *core) letGo(it *item) {
	e := it.entry()
	c.queue.entries()[c.queue.position(&e)].held = false
	c.unhold(it)
}

// leave takes leave of a task that has lost its place in the queue.
func (c *core) leave(now instant, it *item, refusal *edge.Refusal) {
	if it.asking || c.mayAsk(it) {
		c.goAway(now, it, refusal)
		return
	}
	c.leaving = append(c.leaving, leaver{it, refusal})
}

// returned takes in how an attempt ended, at the instant at ≤ now.
func (c *core) returned(now instant, it *item, at instant, answer edge.Answer, err error) {
	c.travels.attempts--
	it.asking = false
	if err == nil && it.phase != settled {
		c.travels.took(it, at)
	}
	switch {
	case it.phase == settled:
	case err == nil && at <= it.deadline:
		c.answered(at, it, answer)
	case it.phase == away && at >= it.deadline:
		c.settle(at, it, edge.Missed, missed(at, it))
	case it.phase == away:
		c.strand(at, it, err)
	case it.held:
		c.letGo(it)
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
	case it.fell != nil && c.travels.route(&it.task) != edge.RouteUpstream:
		told := *it.fell
		told.Detail += fmt.Sprintf("; and the upstream did not answer: %v", err)
		c.settle(at, it, edge.Evicted, &told)
	case isRefusal:
		c.settle(at, it, edge.Evicted, refusal)
	default:
		c.settle(at, it, edge.Failed, err)
	}
}

// whyRecalled is why the attempt of a task that has settled is not waited for: where the node
// answered in its place, it took too long.
func (it *item) whyRecalled() error {
	if it.settlement.Outcome == edge.Completed || it.settlement.Outcome == edge.Missed {
		return edge.ErrDeadline
	}
	return edge.ErrCancelled
}

// recalls gathers which held tasks it is time for, while a plan is walked in its order: to begin one later
// delays all that follow, so the least slack from it on counts.
type recalls struct {
	held []*item
	late []*item // whose attempt takes too long
	due  int
	// ahead is the slack that is kept; with several held, what the most careful asks for.
	ahead instant
	next  instant // when to look again
}

func (r *recalls) begin() {
	clear(r.held)
	clear(r.late)
	r.held, r.late, r.due, r.ahead, r.next = r.held[:0], r.late[:0], 0, recallAhead, forever
}

// pass goes over an entry of the plan with its slack.
func (r *recalls) pass(now instant, e *entry, slack instant) {
	if e.held && e.item.until <= now {
		r.late = append(r.late, e.item)
	} else if e.held {
		r.held = append(r.held, e.item)
		r.next = min(r.next, e.item.until)
		r.ahead = max(r.ahead, e.item.recallAhead())
		slack -= instant(e.size.figure.cost(true) - e.cost()) // nothing else makes up for a slow run
	}
	switch {
	case len(r.held) == 0:
	case slack <= r.ahead:
		r.due = len(r.held)
	default:
		r.next = min(r.next, now+slack-r.ahead)
	}
}

// recall lets go what must not be held any longer where nothing can be suspended, and returns when
// to look again.
func (p *plan) recall(now instant, r *recalls) instant {
	c := p.core
	if c.travels.held == 0 {
		return forever
	}
	r.begin()
	p.base.begin(now, c.runners)
	entries := c.queue.entries()
	for i := range entries {
		if e := &entries[i]; !e.idles() {
			r.pass(now, e, e.deadline-p.placeBase(i))
		}
	}
	return c.letGoDue(r)
}

// recall does the same where it can, by the marks of the last walk.
func (o *outlook) recall(now instant, r *recalls) instant {
	if o.core.travels.held == 0 {
		return forever
	}
	r.begin()
	m, far, sum := o.merged(), now+o.farthest(), instant(0)
	for e := m.next(); e != nil && e.deadline < far; e = m.next() {
		if e.out || e.ghost || e.idles() {
			continue
		}
		left, cost := e.deadline-now, instant(e.work())
		n, taken := o.slots(left)
		if n <= 0 {
			n, taken = 1, left
		}
		r.pass(now, e, (n*(left-cost)-sum-taken)/n)
		sum += cost
	}
	return o.core.letGoDue(r)
}

func (c *core) letGoDue(r *recalls) instant {
	for _, due := range [...][]*item{r.held[:r.due], r.late} {
		for _, it := range due {
			c.letGo(it)
		}
	}
	return r.next
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
