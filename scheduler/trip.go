package scheduler

import (
	"errors"
	"time"

	"holdfast/edge"
)

// trip is how long attempts to have a model's tasks answered elsewhere took.
type trip struct {
	window
	asked instant // when the last one departed
}

// How long a held task waits for its attempt: a quarter more than nineteen of twenty took, and a quarter
// of its own time while too few have been seen. An upstream that does not answer costs
// the node idle time no longer than that, and one that answers late is asked in vain, but harms nobody.
const (
	patientPercent = 95
	fewTrips       = 4
)

func (t *travels) patience(model string, left instant) instant {
	if t.knows(model) {
		usual := instant(t.trips[model].quantile(patientPercent))
		return usual + usual/4
	}
	return left / 4
}

// What the node has no time for is asked of an upstream only where there is time for nine of ten trips, as the
// plan counts nine of ten runs. Once nobody has departed for a while somebody does all the same, or it
// would never be known that the way has become shorter.
const (
	usualPercent = 90
	tripAge      = instant(10 * time.Second)
)

func (t *trip) usual() instant { return instant(t.quantile(usualPercent)) }

// tooFar tells whether the way to the upstream takes longer than the task, which is to go there for want
// of time here, has left.
func (c *core) tooFar(now instant, it *item) bool {
	t := c.travels.trips[it.task.Model]
	return c.travels.mode(&it.task) == edge.RouteLocalElseUpstream && t != nil && now-t.asked < tripAge && t.isLonger(it.deadline-now)
}

func (t *trip) isLonger(left instant) bool { return t.count >= fewTrips && t.usual() > left }

// depart notes that an attempt begins, and whether it is one to find out.
func (t *travels) depart(now instant, it *item) {
	if w := t.trips[it.task.Model]; w != nil {
		w.asked, it.probe = now, it.there != edge.WhyRoute && w.isLonger(it.deadline-now)
	}
}

// back takes in how an attempt ended. Where a task had no other hope than one that did not answer in time,
// that counts as a quarter longer than it was waited for: how much longer it would have been nobody knows.
func (t *travels) back(it *item, at instant, err error) {
	switch {
	case it.phase == settled: // told when it was
	case err == nil:
		if w := t.trips[it.task.Model]; w != nil && it.probe {
			w.window = window{} // what is known is out of date
		}
		t.took(it, at-it.departed)
	case it.phase == away && it.there != edge.WhyRoute && (at >= it.deadline || errors.Is(err, edge.ErrDeadline)):
		took := at - it.departed
		t.took(it, took+took/4)
	}
}

// knows tells whether enough attempts have been seen to say how long they usually take.
func (t *travels) knows(model string) bool {
	w := t.trips[model]
	return w != nil && w.count >= fewTrips
}

// took remembers how long an attempt took; where the node answered first, how long it had taken by then.
func (t *travels) took(it *item, took instant) {
	w := t.trips[it.task.Model]
	if w == nil {
		if t.trips == nil {
			t.trips = map[string]*trip{}
		}
		w = &trip{asked: it.departed}
		t.trips[it.task.Model] = w
	}
	w.add(time.Duration(took))
}

// follow takes other routes. What is known of the way is known of where it led.
func (t *travels) follow(rules *Rules) {
	for model := range t.trips {
		if rule, routed := rules.Routes[model]; !routed || rule.To != t.routes[model].To {
			delete(t.trips, model)
		}
	}
	t.routes, t.localOnly = rules.Routes, rules.LocalOnly
}

// whyAway is why a task that has no place here is asked of the upstream.
func (c *core) whyAway(it *item, local *edge.Refusal) edge.Why {
	switch {
	case c.travels.mode(&it.task) != edge.RouteLocalElseUpstream:
		return edge.WhyRoute
	case local.Reason == edge.ReasonUnknownModel || local.Reason == edge.ReasonModelNotReady:
		return edge.WhyNotServed
	}
	return edge.WhyNoTime
}

// whyFailed is why an attempt brought nothing.
func whyFailed(err error) edge.Why {
	_, refused := edge.AsRefusal(err)
	switch {
	case refused || errors.Is(err, edge.ErrInvalid):
		return edge.WhyUpstreamRefused
	case errors.Is(err, edge.ErrUnavailable):
		return edge.WhyUpstreamDown
	case errors.Is(err, edge.ErrDeadline):
		return edge.WhyUpstreamSlow
	}
	return edge.WhyUpstreamFailed
}

// explainWay says of an answer why it came the way it did.
func (c *core) explainWay(it *item) {
	s := &it.settlement
	switch {
	case it.abroad && s.Answer.Model != "" && s.Answer.Model != it.task.Model:
		s.VariantWhy = edge.WhyRoute
	case !it.abroad && it.model.name != it.task.Model:
		s.VariantWhy = it.smaller
	}
	if s.RouteWhy = it.here; it.abroad {
		s.RouteWhy = it.there
	}
}
