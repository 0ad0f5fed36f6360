package edge_test

import (
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

func TestUpdate_Check(t *testing.T) {
	for name, c := range map[string]struct {
		update edge.Update
		want   string // empty: nothing is wrong with it
	}{
		"Zero":            {edge.Update{}, ""},
		"All":             {edge.Update{Parallel: 2, Delay: time.Second, OnFailure: edge.OnFailurePause, Monitor: time.Minute, MaxFailed: 0.5, Canary: &edge.Canary{Share: 10, Tasks: 100, For: time.Hour, Slower: 2}}, ""},
		"Action":          {edge.Update{OnFailure: "retry"}, `update.onFailure: "retry" must be rollback or pause or continue`},
		"Monitor":         {edge.Update{Monitor: -1}, "update.monitor"},
		"Share":           {edge.Update{MaxFailed: 1.5}, "update.maxFailed"},
		"CanaryShare":     {edge.Update{Canary: &edge.Canary{}}, "update.canary.share: 0 is not between 1 and 50"},
		"CanaryTasks":     {edge.Update{Canary: &edge.Canary{Share: 1, Tasks: -1}}, "update.canary.tasks"},
		"CanaryFor":       {edge.Update{Canary: &edge.Canary{Share: 1, For: 48 * time.Hour}}, "update.canary.for"},
		"CanarySlower":    {edge.Update{Canary: &edge.Canary{Share: 1, Slower: 0.5}}, "update.canary.slower: is below 1"},
		"CanaryStopFirst": {edge.Update{StopFirst: true, Canary: &edge.Canary{Share: 1}}, "update.canary: needs old and new instances at once"},
	} {
		t.Run(name, func(t *testing.T) {
			policy := decode(t, document)
			policy.Workloads[0].Update = c.update
			err := policy.Check()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestUpdate_NoPartOfTheVersion keeps instances where only the way of updating changes.
func TestUpdate_NoPartOfTheVersion(t *testing.T) {
	w := edge.Workload{App: "line", Name: "a", Image: "x"}
	other := w
	other.Update = edge.Update{OnFailure: edge.OnFailurePause, Canary: &edge.Canary{Share: 10}}
	if w.SpecHash() != other.SpecHash() {
		t.Error("got another version")
	}
}
