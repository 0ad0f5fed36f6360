package agent

import (
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/scheduler"
)

// TestPartition_Look: a link that is down for long enough puts the offline rules in force, a short break does not, and
// what has changed is told once.
func TestPartition_Look(t *testing.T) {
	now := time.Unix(1000, 0)
	var rules scheduler.Rules
	var told []bool
	p := &partition{
		govern: func(r scheduler.Rules) { rules = r }, changed: func(cut bool, _ time.Duration) { told = append(told, cut) },
		now: func() time.Time { return now },
	}
	p.policy = &edge.Policy{
		Connectivity: edge.ConnectivityPolicy{Heartbeat: edge.Duration(2 * time.Second), OfflineAfter: 4},
		Offline:      edge.OfflinePolicy{Routes: edge.RoutesLocal, Variants: edge.VariantsPreferSmall},
	}
	p.spread(scheduler.Rules{Routes: map[string]scheduler.RouteRule{"m": {Mode: edge.RouteUpstream}}})
	for _, step := range []struct {
		after time.Duration
		up    bool
		cut   bool
	}{
		{0, false, false}, // it has never been up
		{7 * time.Second, false, false},
		{0, true, false},
		{7 * time.Second, false, false},
		{time.Second, false, true},
		{time.Hour, false, true},
		{time.Second, true, false},
		{7 * time.Second, false, false},
		{time.Second, false, true},
	} {
		now = now.Add(step.after)
		p.look(step.up)
		if p.isCut() != step.cut || rules.LocalOnly != step.cut || len(rules.Routes) == 0 || (rules.PreferSmall == edge.WhyOffline) != step.cut {
			t.Errorf("at %v: cut off %v with rules %+v, want %v", now, p.isCut(), rules, step.cut)
		}
	}
	if len(told) != 3 || !told[0] || told[1] || !told[2] {
		t.Errorf("told %v, want that it began, was over, and began", told)
	}
	p.policy.Offline = edge.OfflinePolicy{}
	if p.spread(p.rules); rules.LocalOnly || rules.PreferSmall != "" {
		t.Errorf("got %+v, want a policy without offline rules to change nothing", rules)
	}
	p.policy.Health.Variants = edge.VariantsPreferSmall
	if p.feel(true); rules.PreferSmall != edge.WhyHealth {
		t.Errorf("got %+v of a node that is not well", rules)
	}
	p.policy.Offline.Variants = edge.VariantsPreferSmall
	if p.spread(p.rules); rules.PreferSmall != edge.WhyOffline {
		t.Errorf("got %+v of one that is cut off as well", rules)
	}
	p.policy.Offline.Variants = ""
	if p.feel(false); rules.PreferSmall != "" {
		t.Errorf("got %+v of one that is well again", rules)
	}
}
