package agent

import (
	"fmt"
	"strings"
	"time"

	"holdfast/edge"
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
			Name: name, URL: u.URL, CA: u.CA, Token: u.Token, Timeout: time.Duration(u.Timeout),
			Breaker:    upstream.Breaker{Failures: u.Breaker.Failures, Open: time.Duration(u.Breaker.Open), Probes: u.Breaker.Probes},
			ClockFloor: a.clockFloor, Secret: a.token, Changed: a.upstreamChanged, Dropped: a.upstreamDropped,
		})
	}
	return routes, upstreams
}

// token is what an upstream is told to know the node by.
func (a *Agent) token(name string) (string, error) {
	value, err := a.keychain.find(name)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(value), "\r\n"), nil // as editors end files
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

// upstreamDropped: nobody finds out any more whether it is back.
func (a *Agent) upstreamDropped(name string) { a.warnings.Clear(codeUpstreamDown, name) }
