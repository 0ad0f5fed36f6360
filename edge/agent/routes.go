package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/runtime/upstream"
	"holdfast/scheduler"
)

const codeUpstreamDown = "upstream-down"

// rule tells the scheduler whom a policy lets in, and where tasks may be answered.
func (a *Agent) rule(policy *edge.Policy) {
	rules := scheduler.RulesOf(policy)
	routes, upstreams := a.ways(policy)
	if err := a.router.Follow(routes, upstreams); err != nil { // such a policy is refused on arrival
		a.options.Log.Warn("routes-not-taken", "error", err.Error())
		rules.Routes = nil
	}
	a.partition.mu.Lock()
	defer a.partition.mu.Unlock()
	a.partition.policy = policy
	a.partition.spread(rules)
}

// ways are the routes of a policy, and the upstreams they lead to.
func (a *Agent) ways(policy *edge.Policy) (map[string]upstream.Route, []upstream.Options) {
	routes := map[string]upstream.Route{}
	var upstreams []upstream.Options
	if policy == nil {
		return routes, nil
	}
	for model, r := range policy.Routes {
		routes[model] = upstream.Route{Upstream: r.Upstream, Model: r.Model}
	}
	for name, u := range policy.Upstreams {
		upstreams = append(upstreams, upstream.Options{
			Name: name, URL: u.URL, CA: u.CA, Token: a.token(u.Token), Timeout: time.Duration(u.Timeout),
			Breaker: upstream.Breaker{
				Failures: u.Breaker.Failures, Open: time.Duration(u.Breaker.Open),
				Interval: time.Duration(u.Breaker.Interval), Probes: u.Breaker.Probes,
			},
			Changed: a.upstreamChanged,
		})
	}
	return routes, upstreams
}

// token is what an upstream is told to know the node by.
func (a *Agent) token(name string) func() string {
	if name == "" {
		return nil
	}
	return func() string {
		value, err := a.keychain.find(name)
		if err != nil {
			a.options.Log.Warn("token-not-read", "secret", name, "error", err.Error())
			return ""
		}
		return string(value)
	}
}

// reachable tells whether upstreams can be asked as a policy says, before it is kept. Whether they
// answer is no matter of it.
func (a *Agent) reachable(policy *edge.Policy) error {
	_, upstreams := a.ways(policy)
	for _, o := range upstreams {
		if _, err := upstream.New(o); err != nil {
			return err
		}
	}
	return nil
}

func (a *Agent) upstreamChanged(r edge.UpstreamReport) {
	if r.State == edge.UpstreamDown {
		a.chronicle.Add(edge.Event{Kind: edge.EventUpstreamLost, Subject: r.Name, Cause: r.LastError, Facts: map[string]string{"url": r.URL}})
		a.warnings.Raise(edge.Warning{
			Code: codeUpstreamDown, Subject: r.Name, Detail: fmt.Sprintf("it has failed too often in a row, the last time: %s", r.LastError),
			Remedy: "nothing, if it comes back by itself; tasks with a local route are answered here meanwhile",
		})
		return
	}
	a.chronicle.Add(edge.Event{Kind: edge.EventUpstreamBack, Subject: r.Name, Facts: map[string]string{"url": r.URL}})
	a.warnings.Clear(codeUpstreamDown, r.Name)
}

// How long the link to the fleet must be down before the node counts as cut off, where the policy does
// not say: three times five seconds.
const (
	defaultHeartbeat    = 5 * time.Second
	defaultOfflineAfter = 3
)

// partition is whether the node is cut off from its fleet, and what of the policy that changes.
type partition struct {
	govern  func(scheduler.Rules)
	changed func(cut bool, after time.Duration)
	now     func() time.Time

	mu     sync.Mutex // guards the rest
	policy *edge.Policy
	rules  scheduler.Rules
	up     time.Time // the link was last seen
	cut    bool
}

// spread hands rules on, as the policy wants them where the node is cut off.
func (p *partition) spread(rules scheduler.Rules) {
	p.rules = rules
	if p.cut && p.policy != nil {
		rules.PreferSmall = p.policy.Offline.Variants == edge.VariantsPreferSmall
		if p.policy.Offline.Routes == edge.RoutesLocal {
			rules.Routes = nil
		}
	}
	p.govern(rules)
}

func (p *partition) isCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut
}

// patience is how long the link may be down.
func (p *partition) patience() time.Duration {
	beat, after := defaultHeartbeat, defaultOfflineAfter
	if p.policy != nil && p.policy.Connectivity.Heartbeat > 0 {
		beat = time.Duration(p.policy.Connectivity.Heartbeat)
	}
	if p.policy != nil && p.policy.Connectivity.OfflineAfter > 0 {
		after = p.policy.Connectivity.OfflineAfter
	}
	return beat * time.Duration(after)
}

// look takes in whether the link is up now.
func (p *partition) look(up bool) {
	if cut, after, news := p.judge(up); news {
		p.changed(cut, after) // without the lock: the governor asks back
	}
}

func (p *partition) judge(up bool) (cut bool, after time.Duration, news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	since := p.up
	if up || since.IsZero() {
		p.up = now
	}
	if cut = now.Sub(p.up) >= p.patience(); cut == p.cut {
		return cut, 0, false
	}
	p.cut = cut
	p.spread(p.rules)
	return cut, now.Sub(since), true
}

func (a *Agent) partitionChanged(cut bool, after time.Duration) {
	kind := edge.EventPartitionOver
	if cut {
		kind = edge.EventPartitionBegan
	}
	a.chronicle.Add(edge.Event{Kind: kind, Subject: "link", Facts: map[string]string{"after": after.Round(time.Second).String()}})
	if a.governor != nil {
		a.governor.redesire()
	}
}

// partitionEvery is how late a partition may be seen.
const partitionEvery = time.Second

// watchPartition looks at the link until ctx ends.
func (a *Agent) watchPartition(ctx context.Context) error {
	ticker := time.NewTicker(partitionEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			a.partition.look(a.uplink.link.Status().Phase == string(mqtt.Up))
		}
	}
}
