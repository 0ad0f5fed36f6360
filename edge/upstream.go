package edge

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// UpstreamPolicy is a server elsewhere that may answer tasks: any that speaks the Open
// Inference Protocol. That a route leads to it is the permission to send it inputs.
type UpstreamPolicy struct {
	URL     string        `json:"url"`               // up to before /v2
	CA      string        `json:"ca,omitempty"`      // PEM of the authorities its certificate may be from; empty: the machine's
	Token   string        `json:"token,omitempty"`   // name of the secret it is sent as a bearer token
	Timeout Duration      `json:"timeout,omitempty"` // of one attempt
	Breaker BreakerPolicy `json:"breaker,omitzero"`
}

// BreakerPolicy says when an upstream is left alone, and when it is asked again. What is not said is as
// runtime/upstream has it.
type BreakerPolicy struct {
	Failures int      `json:"failures,omitempty"` // in a row
	Open     Duration `json:"open,omitempty"`     // before it is looked whether it is back
	Probes   int      `json:"probes,omitempty"`   // good answers in a row
}

// RoutePolicy leads the tasks of a model elsewhere.
type RoutePolicy struct {
	Upstream string    `json:"upstream"`          // name of one of Policy.Upstreams
	Model    string    `json:"model,omitempty"`   // as the upstream calls it; empty: the same
	Mode     RouteMode `json:"mode"`              // RouteUpstreamElseLocal when it is not said
	Tenants  []string  `json:"tenants,omitempty"` // whose tasks may leave the node; empty: all
}

// setDefaults: the zero mode is local, which is no route.
func (r *RoutePolicy) setDefaults() { r.Mode = RouteUpstreamElseLocal }

// maxUpstreams keeps what a node must know of others small.
const maxUpstreams = 16

// checkRoutes looks at upstreams and the routes to them.
func (p *Policy) checkRoutes(c *checker) {
	c.require(len(p.Upstreams) <= maxUpstreams, "upstreams", fmt.Sprintf("has more than %d", maxUpstreams))
	for _, name := range sorted(p.Upstreams) {
		u, at := p.Upstreams[name], "upstreams."+name
		c.require(IsName(name), at, nameRule)
		_, err := ServerBase(u.URL)
		c.require(err == nil, at+".url", quoteShort(u.URL)+" must be https:// or http:// and a host, without user, ? and #")
		c.require(u.Token == "" || IsName(u.Token), at+".token", nameRule)
		c.span(u.Timeout, longestDeadline, at+".timeout")
		c.count(u.Breaker.Failures, 0, 1000, at+".breaker.failures")
		c.count(u.Breaker.Probes, 0, 1000, at+".breaker.probes")
		c.span(u.Breaker.Open, longestDeadline, at+".breaker.open")
		if u.Token != "" {
			_, held := p.Secrets[u.Token]
			c.require(held || slices.Contains(p.Security.Secrets, u.Token), at+".token", "there is no secret "+quoteShort(u.Token)+" in secrets, nor in security.secrets")
		}
	}
	for _, model := range sorted(p.Routes) {
		r, at := p.Routes[model], "routes."+model
		_, known := p.Upstreams[r.Upstream]
		c.require(IsName(model), at, nameRule)
		c.require(known, at+".upstream", "there is no upstream "+quoteShort(r.Upstream))
		c.require(r.Model == "" || IsName(r.Model), at+".model", nameRule)
		c.require(r.Mode.Travels(), at+".mode", "must be upstream, upstream-else-local or local-else-upstream; without a route all is local")
		for i, tenant := range r.Tenants {
			c.require(IsName(tenant), fmt.Sprintf("%s.tenants[%d]", at, i), nameRule)
		}
	}
}

// ServerBase is what URLs of a server of the Open Inference Protocol begin with, before /v2.
func ServerBase(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.ForceQuery || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%s must be https:// or http:// and a host, without user, ? and #: %w", quoteShort(text), ErrInvalid)
	}
	return strings.TrimSuffix(strings.TrimSuffix(u.String(), "/"), "/v2"), nil
}
