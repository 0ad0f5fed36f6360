package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/policycache"
)

// TestGovernor_Guards wants exactly one to take a failed version back: the trial of the
// policy while it lasts, the supervisor before and after, and always where the workload
// says what becomes of it.
func TestGovernor_Guards(t *testing.T) {
	r := newHallRig(t, 1)
	before, now := r.policyOf(1), r.policyOf(2, "digits", "camera", "lonely")
	synctest.Test(t, func(t *testing.T) {
		g := &governor{failed: make(chan failure, 1), log: r.log, length: time.Minute, daemonUp: true}
		now.Workloads[2].Update.OnFailure = edge.OnFailureRollback
		start := func() {
			g.trial = trialOf(&policycache.Snapshot{Policy: now, Proven: before, Version: 2, Trial: &policycache.Trial{Failing: []string{"line/camera"}}}, g.length)
		}
		want := func(digits, camera, lonely bool, when string) {
			t.Helper()
			for key, want := range map[string]bool{"line/digits": digits, "line/camera": camera, "line/lonely": lonely, "line/other": digits && camera} {
				if got := g.Guards(key); got != want {
					t.Errorf("%s: got %v of %s, want %v", when, got, key, want)
				}
			}
		}
		want(false, false, false, "without a trial")
		start()
		want(true, false, false, "in the trial")
		g.Warned(edge.Warning{Code: "crash-loop", Subject: "line/lonely"})
		g.Warned(edge.Warning{Code: "update-failed", Subject: "line/lonely"})
		if len(g.failed) > 0 {
			t.Error("the policy is held to blame for what is taken back alone")
		}
		time.Sleep(g.length)
		want(false, false, false, "after the trial")
		g.daemonUp = false
		want(true, false, false, "while it waits for containerd")
		g.daemonUp = true
		start()
		g.Warned(edge.Warning{Code: "update-failed", Subject: "line/digits"})
		if len(g.failed) != 1 {
			t.Fatal("a version that failed is not held against the policy that brought it")
		}
		want(true, true, true, "while the policy is taken back") // whatever it was: the policy before says what runs
		g.spared()
		want(false, false, false, "once that is over")
		start()
		<-g.failed
		g.Warned(edge.Warning{Code: warnInvalid, Subject: "line/lonely"})
		if len(g.failed) != 1 {
			t.Error("what cannot be run at all is not held against the policy")
		}
	})
}
