package cli

import (
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

func TestUpdateWords(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	canary := &edge.CanaryReport{
		Share: 10, Tasks: 200, Until: now.Add(5 * time.Minute),
		New: edge.VersionFigure{Tasks: 50, Failed: 1, Median: 2 * time.Millisecond, P90: 3 * time.Millisecond},
		Old: edge.VersionFigure{Tasks: 450, Median: time.Millisecond, P90: 2 * time.Millisecond},
	}
	view := func(phase edge.UpdatePhase, why, good string, c *edge.CanaryReport) edge.UpdateView {
		return edge.UpdateView{
			Phase: phase, Why: why, Good: good, Canary: c, Since: now.Add(-time.Minute),
			Wanted: strings.Repeat("a", 64), Image: "line.example/digits:2",
		}
	}
	good := strings.Repeat("b", 64)
	for name, c := range map[string]struct {
		u    edge.UpdateView
		want string
	}{
		"First":     {view(edge.UpdateTrial, "", "", nil), "version aaaaaaaaaaaa (line.example/digits:2) has been on trial for 1m00s; none is known that was good"},
		"Trial":     {view(edge.UpdateTrial, "", good, nil), "version aaaaaaaaaaaa (line.example/digits:2) has been on trial for 1m00s; should it fail, version bbbbbbbbbbbb runs again"},
		"TakenBack": {view(edge.UpdateTakenBack, "it exited", good, nil), "version aaaaaaaaaaaa (line.example/digits:2) failed and was taken back 1m00s ago, version bbbbbbbbbbbb runs: it exited"},
		"Paused":    {view(edge.UpdatePaused, "it exited", good, nil), "version aaaaaaaaaaaa (line.example/digits:2), begun 1m00s ago, is paused: it exited"},
		"Canary":    {view(edge.UpdateCanary, "", good, canary), "version aaaaaaaaaaaa (line.example/digits:2) has been tried for 1m00s by 10% of the tasks: 50 tasks, 1 failed, p50 2ms, p90 3ms, before 450 tasks, 0 failed, p50 1ms, p90 2ms; decided with 200 tasks or in 5m00s"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := updateWords(c.u, now); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestSettled(t *testing.T) {
	view := func(u *edge.UpdateView, hashes ...string) []edge.WorkloadView {
		w := edge.Workload{App: "line", Name: "digits", Replicas: 1}
		v := edge.WorkloadView{Workload: w, Ready: 1, Update: u}
		for _, hash := range append(hashes, w.SpecHash()) {
			v.Instances = append(v.Instances, edge.InstanceView{Instance: edge.Instance{SpecHash: hash, Running: true}})
		}
		return []edge.WorkloadView{v}
	}
	canary := &edge.UpdateView{Phase: edge.UpdateCanary, Wanted: "new", Canary: &edge.CanaryReport{}}
	for name, c := range map[string]struct {
		views []edge.WorkloadView
		want  bool
	}{
		"Alone":          {view(nil), true},
		"BesideAnOldOne": {view(nil, "old"), false},
		"BesideACanary":  {view(canary, "new"), true},
		"AndAnOldOne":    {view(canary, "new", "old"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := settled(c.views); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
