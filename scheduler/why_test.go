package scheduler

import (
	"fmt"
	"testing"
	"time"

	"holdfast/edge"
)

// TestSettlement_Why: every answer says why it came the way it did, and why by a smaller variant.
func TestSettlement_Why(t *testing.T) {
	pool := serving("m", 4, 20*ms)
	failing := func(err error) func(*item) (time.Duration, error) {
		return func(*item) (time.Duration, error) { return 0, err }
	}
	routed := func(mode edge.RouteMode) Rules { return Rules{Routes: map[string]RouteRule{"m": {Mode: mode}}} }
	for _, c := range []struct {
		name   string
		rules  Rules
		remote func(*item) (time.Duration, error)
		within time.Duration
		abroad bool
		why    edge.Why
	}{
		{"WithoutRoute", Rules{}, nil, 100 * ms, false, ""},
		{"FirstTheUpstream", routed(edge.RouteUpstreamElseLocal), upIn(5 * ms), 100 * ms, true, edge.WhyRoute},
		{"FirstTheUpstreamWithoutPlace", routed(edge.RouteUpstreamElseLocal), upIn(5 * ms), 10 * ms, true, edge.WhyRoute},
		{"UpstreamAlone", routed(edge.RouteUpstream), upIn(5 * ms), 100 * ms, true, edge.WhyRoute},
		{"FirstTheNode", routed(edge.RouteLocalElseUpstream), upIn(5 * ms), 100 * ms, false, edge.WhyRoute},
		{"NoTime", routed(edge.RouteLocalElseUpstream), upIn(5 * ms), 10 * ms, true, edge.WhyNoTime},
		{"Down", routed(edge.RouteUpstreamElseLocal), failing(fmt.Errorf("no way: %w", edge.ErrUnavailable)), 100 * ms, false, edge.WhyUpstreamDown},
		{"Failed", routed(edge.RouteUpstreamElseLocal), failing(edge.ErrModel), 100 * ms, false, edge.WhyUpstreamFailed},
		{"Refused", routed(edge.RouteUpstreamElseLocal), failing(&edge.Refusal{Reason: edge.ReasonQueueFull}), 100 * ms, false, edge.WhyUpstreamRefused},
		{"NotTaken", routed(edge.RouteUpstreamElseLocal), failing(edge.ErrInvalid), 100 * ms, false, edge.WhyUpstreamRefused},
		{"GaveUp", routed(edge.RouteUpstreamElseLocal), failing(edge.ErrDeadline), 100 * ms, false, edge.WhyUpstreamSlow},
		{"Slow", routed(edge.RouteUpstreamElseLocal), blackHole, 100 * ms, false, edge.WhyUpstreamSlow},
		{"DeadlineNear", routed(edge.RouteUpstreamElseLocal), blackHole, 40 * ms, false, edge.WhyDeadlineNear},
		{"Offline", Rules{LocalOnly: true, Routes: routed(edge.RouteUpstreamElseLocal).Routes}, upIn(0), 100 * ms, false, edge.WhyOffline},
		{"OthersRoute", Rules{Routes: map[string]RouteRule{"m": {Mode: edge.RouteUpstream, Tenants: []string{"vision"}}}}, upIn(0), 100 * ms, false, edge.WhyTenant},
	} {
		t.Run(c.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, room int) {
				d := travelling(t, 1, room, edge.RouteUpstream, c.remote, pool)
				d.govern(c.rules)
				it := d.mustSubmit("a", "m", edge.Normal, c.within)
				d.run()
				if s := it.settlement; s.Outcome != edge.Completed || it.abroad != c.abroad || s.RouteWhy != c.why || s.VariantWhy != "" {
					t.Errorf("got %v (%v), abroad %v because of %q, variant because of %q; want abroad %v because of %q",
						s.Outcome, s.Err, it.abroad, s.RouteWhy, s.VariantWhy, c.abroad, c.why)
				}
			})
		})
	}
	t.Run("TooManyAsked", func(t *testing.T) {
		d := travelling(t, 1, 4, edge.RouteUpstreamElseLocal, upIn(50*ms), pool)
		d.core.travels.most = 1
		d.mustSubmit("a", "m", edge.Normal, 200*ms)
		it := d.mustSubmit("b", "m", edge.Normal, 200*ms)
		d.run()
		if it.settlement.RouteWhy != edge.WhyTooManyAsked || it.abroad {
			t.Errorf("got %q, abroad %v", it.settlement.RouteWhy, it.abroad)
		}
	})
	t.Run("NotServed", func(t *testing.T) {
		d := travelling(t, 1, 4, edge.RouteLocalElseUpstream, upIn(5*ms))
		it := d.mustSubmit("a", "elsewhere", edge.Normal, 100*ms)
		d.run()
		if it.settlement.RouteWhy != edge.WhyNotServed || !it.abroad {
			t.Errorf("got %q, abroad %v", it.settlement.RouteWhy, it.abroad)
		}
	})
}
