package agent

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// TestRecent_Settled: what is listed of a task, and told of it, is what became of it.
func TestRecent_Settled(t *testing.T) {
	r := newRecent(newChronicle(slog.New(slog.DiscardHandler)))
	late := func(how string, compute time.Duration) edge.Settlement {
		s := settledTask(1, "digits", edge.Missed)
		s.Answer, s.Compute, s.Err = edge.Answer{}, compute, fmt.Errorf("task was not answered in time: %s: %w", how, edge.ErrDeadline)
		return s
	}
	t.Run("MissedAway", func(t *testing.T) {
		s := late("no answer came from its upstream", 0)
		if got := viewOf(s).Reason; !strings.Contains(got, "no answer came from its upstream") || strings.Contains(got, "running") {
			t.Errorf("got %q", got)
		}
		m := taskMeter{each: 1}
		m.add(s)
		single, _ := m.take(time.Now(), true)
		if got := single[0].Reason; !strings.Contains(got, "no answer came from its upstream") {
			t.Errorf("the fleet is told %q", got)
		}
	})
	t.Run("MissedRunning", func(t *testing.T) {
		if got := viewOf(late("it began", time.Millisecond)).Reason; !strings.Contains(got, "was still running at its deadline") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("FailedInOthersWords", func(t *testing.T) {
		s := settledTask(1, "digits", edge.Failed)
		s.Answer, s.Err = edge.Answer{}, fmt.Errorf(`model "digits" answered 500: cannot read "raw picture": %w`, edge.ErrModel)
		if got := viewOf(s).Reason; !strings.Contains(got, "raw picture") {
			t.Errorf("on the node it is listed as %q", got)
		}
		m := taskMeter{each: 1}
		m.add(s)
		if single, _ := m.take(time.Now(), true); single[0].Reason != "model error" {
			t.Errorf("the fleet is told %q, want no words of the model's", single[0].Reason)
		}
	})
	t.Run("Way", func(t *testing.T) {
		s := settledTask(1, "digits", edge.Completed)
		s.Answer.Model, s.Answer.Version, s.Answer.Route = "digits-small", "2", edge.AnsweredLocally
		s.RouteWhy, s.VariantWhy = edge.WhyUpstreamSlow, edge.WhyLoad
		r.Settled(s)
		got := r.All()[0]
		if got.Route != "local" || got.RouteWhy != edge.WhyUpstreamSlow || got.Variant != "digits-small" || got.VariantWhy != edge.WhyLoad || got.Version != "2" {
			t.Errorf("listed as %+v", got)
		}
		m := taskMeter{each: 1}
		m.add(s)
		single, _ := m.take(time.Now(), true)
		if told := single[0]; told.Answered != "digits-small" || told.Route != "local" || told.RouteWhy != string(edge.WhyUpstreamSlow) {
			t.Errorf("the fleet is told %+v", told)
		}
	})
}
