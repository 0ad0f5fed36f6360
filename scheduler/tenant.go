package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"holdfast/edge"
)

// tenant is one entry of the rules with what was made of it. All that are not named
// share one, so that inventing names gains nothing and memory is bounded by the
// policy's own size.
type tenant struct {
	name    string
	rule    TenantRule
	models  map[string]struct{} // nil: all
	classes [len(edge.Classes)]bool
	shut    bool // no entry at all: whoever falls here is denied

	share share // of CPU

	bounded bool   // the rule has a rate
	bucket  bucket // made with the first rate; without one it fills on at the last

	submitted, overQuota, denied uint64
}

// tenants are the entries in force.
type tenants struct {
	policy string
	named  map[string]*tenant // nil: nobody is bounded
	rest   *tenant            // for everybody else
	sorted []*tenant          // by name
	// gone are entries of rules before these that have none any more: all of the last
	// ones, and of earlier ones those whose bucket is not full again. Should they come
	// back, as after a policy that is taken back, they have gained nothing by it.
	gone map[string]*tenant
}

// maxGone bounds the entries kept of earlier rules: about as many as one policy holds.
const maxGone = 1024

// of is the entry a task falls to; nil when nobody is bounded.
func (t *tenants) of(name string) *tenant {
	if t.named == nil {
		return nil
	}
	if own := t.named[name]; own != nil {
		return own
	}
	return t.rest
}

// replace puts other rules in force.
func (t *tenants) replace(now instant, rules *Rules) {
	before := t.named
	if t.rest != nil && t.rest.shut {
		before = maps.Clone(before)
		before[edge.DefaultTenant] = t.rest
	}
	next := tenants{policy: rules.Policy, gone: map[string]*tenant{}}
	if len(rules.Tenants) > 0 {
		next.named = make(map[string]*tenant, len(rules.Tenants))
	}
	adopt := func(name string) *tenant {
		known := cmp.Or(before[name], t.gone[name])
		if known == nil {
			known = &tenant{name: name}
		}
		next.sorted = append(next.sorted, known)
		return known
	}
	for _, name := range slices.Sorted(maps.Keys(rules.Tenants)) {
		next.named[name] = adopt(name)
		next.named[name].follow(now, rules.Tenants[name])
	}
	next.rest = next.named[edge.DefaultTenant]
	if next.named != nil && next.rest == nil {
		next.rest = adopt(edge.DefaultTenant)
		next.rest.shut = true
	}
	slices.SortFunc(next.sorted, func(a, b *tenant) int { return cmp.Compare(a.name, b.name) })
	for name, old := range before {
		if next.of(name) != old {
			next.gone[name] = old
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.gone)) {
		old := t.gone[name]
		if len(next.gone) < maxGone && next.of(name) != old && old.bucket.at(now) < old.bucket.size {
			next.gone[name] = old
		}
	}
	*t = next
}

// follow takes a rule over. What was counted stays, and the bucket gains nothing.
func (t *tenant) follow(now instant, rule TenantRule) {
	t.rule, t.shut, t.models = rule, false, nil
	if len(rule.Models) > 0 {
		t.models = make(map[string]struct{}, len(rule.Models))
		for _, model := range rule.Models {
			t.models[model] = struct{}{}
		}
	}
	for _, class := range edge.Classes {
		t.classes[class] = len(rule.Classes) == 0 || slices.Contains(rule.Classes, class)
	}
	t.share.follow(now, rule.CPU)
	t.bounded = rule.Rate != edge.Rate{}
	switch {
	case !t.bounded:
	case t.bucket.token == 0:
		t.bucket = newBucket(now, rule.Rate, rule.Burst)
	default:
		t.bucket.reshape(now, rule.Rate, rule.Burst)
	}
}

// allows tells whether the rules let the entry have such a task at all.
func (t *tenant) allows(task *edge.Task) bool {
	if t == nil {
		return true
	}
	if t.shut || !t.classes[task.Class] {
		return false
	}
	_, listed := t.models[task.Model]
	return listed || t.models == nil
}

// wait is how long the entry has to wait for a token; 0 when it need not.
func (t *tenant) wait(now instant) time.Duration {
	if t == nil || !t.bounded {
		return 0
	}
	return t.bucket.wait(now)
}

// admitted takes the token of a task that is let in.
func (t *tenant) admitted(now instant) {
	if t != nil && t.bounded {
		t.bucket.take(now)
	}
}

// refused counts in what way the rules stood against a task.
func (t *tenant) refused(reason edge.Reason) {
	switch {
	case t == nil:
	case reason == edge.ReasonDenied:
		t.denied++
	case reason == edge.ReasonOverQuota:
		t.overQuota++
	}
}

// denied says which entry of the policy stands against a task.
func (t *tenants) denied(entry *tenant, task *edge.Task) *edge.Refusal {
	var detail string
	switch {
	case entry.shut:
		detail = fmt.Sprintf("%s names neither %.63q nor %s", t.says("tenants"), task.Tenant, edge.DefaultTenant)
	case !entry.classes[task.Class]:
		detail = fmt.Sprintf("%s does not name %v", t.says("tenants."+entry.name+".classes"), task.Class)
	default:
		detail = fmt.Sprintf("%s does not name %.63q", t.says("tenants."+entry.name+".models"), task.Model)
	}
	return &edge.Refusal{Reason: edge.ReasonDenied, Detail: detail}
}

func (t *tenants) overQuota(entry *tenant, wait time.Duration) *edge.Refusal {
	detail := fmt.Sprintf("%s is %v, and %d at once", t.says("tenants."+entry.name+".rate"), entry.rule.Rate, entry.bucket.burst())
	return &edge.Refusal{Reason: edge.ReasonOverQuota, RetryAfter: wait, Detail: detail}
}

// says names a field and the policy it stands in.
func (t *tenants) says(field string) string {
	if t.policy == "" {
		return field
	}
	return field + " of policy " + t.policy
}

// report is how the entries stand, by name.
func (t *tenants) report(now instant) []edge.TenantReport {
	var all []edge.TenantReport
	for _, entry := range t.sorted {
		r := edge.TenantReport{
			Tenant: entry.name, Submitted: entry.submitted, OverQuota: entry.overQuota, Denied: entry.denied, Shut: entry.shut,
		}
		if entry.bounded && !entry.shut {
			r.Rate, r.Burst, r.Tokens = entry.rule.Rate, entry.bucket.burst(), entry.bucket.tokens(now)
		}
		all = append(all, r)
	}
	return all
}
