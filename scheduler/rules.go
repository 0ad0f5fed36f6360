package scheduler

import (
	"fmt"
	"maps"
	"slices"

	"holdfast/edge"
)

// Rules say who may have what run, and how much of it waits. They come from a
// policy; the zero value bounds nobody.
type Rules struct {
	// Policy names where the rules come from; refusals say it. May be empty.
	Policy string
	// Classes that are not named are as Options and the built-in defaults have them.
	Classes map[edge.Class]ClassRule
	// Tenants by name. edge.DefaultTenant stands for all others together, and for
	// tasks without a tenant; where it is missing these are denied. None at all: no
	// tenant is bounded.
	Tenants map[string]TenantRule
	// Routes of models by name; those that are not named are local.
	Routes map[string]RouteRule
	// LocalOnly has all tasks answered here, whatever Routes say: the node is cut off.
	LocalOnly bool
	// PreferSmall is why tasks are answered by the smallest variant of their model from the start;
	// empty: they are not. One that names a version is answered by that.
	PreferSmall edge.Why
}

// RouteRule is where the tasks of a model are answered.
type RouteRule struct {
	Mode    edge.RouteMode
	To      string   // where it leads; how long answers take from there is learnt anew when it changes
	Tenants []string // whose tasks may leave the node; empty: all. Those of others are local
}

// ClassRule is what one class promises.
type ClassRule struct {
	Queue int   // tasks that may wait; 0: as Options.QueueLimit has it
	Firm  *bool // counted with the careful figure; nil: urgent ones only
}

// TenantRule is what one tenant may do.
type TenantRule struct {
	// CPU is its share in cores. Work outside it is never firm, and the first to give way
	// when not everything fits and the node is at least 70 % busy. What is not used is saved
	// up for 5 s. 0 bounds nothing.
	CPU float64
	// Rate and Burst are a token bucket: in any span of time no more tasks are let in
	// than Burst and what Rate gives in that span. Refused tasks do not count. The
	// zero rate bounds nothing. Burst 0 is as many as Rate has in a second, at
	// least 1; 65536 is the most.
	Rate    edge.Rate
	Burst   int
	Models  []string     // it may ask; empty: all
	Classes []edge.Class // its tasks may have; empty: all
}

// RulesOf takes from a policy what the scheduler keeps to. Without a policy nobody
// is bounded.
func RulesOf(p *edge.Policy) Rules {
	if p == nil {
		return Rules{}
	}
	r := Rules{
		Policy:  fmt.Sprintf("%s version %d", p.Metadata.Name, p.Metadata.Version),
		Classes: make(map[edge.Class]ClassRule, len(p.Classes)),
		Tenants: make(map[string]TenantRule, len(p.Tenants)),
		Routes:  make(map[string]RouteRule, len(p.Routes)),
	}
	for class, said := range p.Classes {
		r.Classes[class] = ClassRule{Queue: said.Queue, Firm: said.Firm}
	}
	for name, said := range p.Tenants {
		r.Tenants[name] = TenantRule{CPU: said.CPU, Rate: said.Rate, Burst: said.Burst, Models: said.Models, Classes: said.Classes}
	}
	for model, said := range p.Routes {
		r.Routes[model] = RouteRule{Mode: said.Mode, To: p.Upstreams[said.Upstream].URL + " " + said.Model, Tenants: said.Tenants}
	}
	return r
}

// clone makes the rules the scheduler's own.
func (r Rules) clone() *Rules {
	r.Classes, r.Tenants, r.Routes = maps.Clone(r.Classes), maps.Clone(r.Tenants), maps.Clone(r.Routes)
	for class, rule := range r.Classes {
		if rule.Firm != nil {
			firm := *rule.Firm
			rule.Firm = &firm
			r.Classes[class] = rule
		}
	}
	for model, rule := range r.Routes {
		rule.Tenants = slices.Clone(rule.Tenants)
		r.Routes[model] = rule
	}
	for name, rule := range r.Tenants {
		rule.Models, rule.Classes = slices.Clone(rule.Models), slices.Clone(rule.Classes)
		r.Tenants[name] = rule
	}
	return &r
}
