package fleetlink

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
)

// The codes of warnings. A failure that asks for a person has its cause behind the
// first.
const (
	warnLink       = "link"
	warnDown       = "link-down"
	warnBudget     = "link-budget-used"
	warnLarge      = "link-state-too-large"
	warnUnreadable = "link-stream-unreadable"
)

// troubles are the conditions that last.
type troubles struct {
	mu   sync.Mutex // guards the rest
	all  map[string]edge.Warning
	down time.Time // since when the link is down; zero: it is up
}

// set raises a warning, or ends it.
func (t *troubles) set(on bool, w edge.Warning) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, raised := t.all[w.Code]
	switch {
	case !on:
		delete(t.all, w.Code)
		return
	case raised:
		w.Since = before.Since
	default:
		w.Since = time.Now()
	}
	if t.all == nil {
		t.all = map[string]edge.Warning{}
	}
	t.all[w.Code] = w
}

func (t *troubles) has(code string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, raised := t.all[code]
	return raised
}

// readable notes how reading a stream went.
func (l *Link) readable(f *flow, err error) {
	l.troubles.set(err != nil, edge.Warning{
		Code: warnUnreadable, Subject: f.stream.Report().Name, Detail: fmt.Sprintf("what the fleet is to get cannot be read: %v", err),
		Remedy: "look at the disk",
	})
}

// Warnings are the conditions that last. That the link is down for a while is none.
func (l *Link) Warnings() []edge.Warning {
	now := time.Now()
	l.troubles.mu.Lock()
	all := slices.Collect(maps.Values(l.troubles.all))
	down := l.troubles.down
	l.troubles.mu.Unlock()
	if patience := l.options.Patience; patience > 0 && !down.IsZero() && now.Sub(down) >= patience {
		all = append(all, edge.Warning{
			Code: warnDown, Subject: l.options.Session.Broker, Since: down,
			Detail: fmt.Sprintf("the link has been down for longer than %v", patience), Remedy: "look at the network, and at the broker",
		})
	}
	if since, warns := l.budget.warns(l.now()); warns {
		all = append(all, l.budgetWarning(since))
	}
	edge.SortStable(all, func(a, b edge.Warning) int { return cmp.Compare(a.Code, b.Code) })
	return all
}

func (l *Link) budgetWarning(since time.Time) edge.Warning {
	detail := "history waits for the month's bytes"
	if until, scarce := l.scarce(); scarce {
		detail += ", at least until " + until.UTC().Format(time.RFC3339)
	}
	return edge.Warning{Code: warnBudget, Subject: l.options.Session.Broker, Detail: detail, Remedy: "raise the link's budget, or wait", Since: since}
}

// watch turns what the session says into warnings, until ctx ends.
func (l *Link) watch(ctx context.Context) error {
	for {
		changed := l.session.Changed()
		l.troubles.see(l.session.State(), l.options.Session.Broker)
		l.tellChanged()
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// see takes note of a state. A failure that asks for a person is a warning until the
// link is up, or is down for another reason.
func (t *troubles) see(state mqtt.State, broker string) {
	t.mu.Lock()
	switch {
	case state.Phase == mqtt.Up:
		t.down = time.Time{}
	case t.down.IsZero():
		t.down = time.Now()
	}
	t.mu.Unlock()
	for _, cause := range []mqtt.Cause{mqtt.Refused, mqtt.Untrusted, mqtt.Expired, mqtt.NotYetValid, mqtt.Unprepared} {
		on := state.Failure != nil && state.Failure.Cause == cause
		w := edge.Warning{Code: warnLink + "-" + codeOf(cause), Subject: broker}
		if on {
			w.Detail, w.Remedy = state.Failure.Error(), edge.HintOf(state.Failure)
		}
		t.set(on, w)
	}
}

// codeOf writes a cause as codes are written.
func codeOf(cause mqtt.Cause) string {
	if cause == mqtt.NotYetValid {
		return "not-yet-valid"
	}
	return string(cause)
}
