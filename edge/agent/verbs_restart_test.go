package agent

import (
	"errors"
	"testing"
	"time"

	"holdfast/edge"
)

// TestVerbs_Restart_TriesAgain restarts a workload whose wanted version was taken back:
// that is tried again, and the caller hears what became of it.
func TestVerbs_Restart_TriesAgain(t *testing.T) {
	good := plain("line/digits", 1)
	good.Update = edge.Update{OnFailure: edge.OnFailureRollback, Monitor: time.Millisecond}
	r := newVerbRig(t, good)
	phase := func() edge.UpdatePhase {
		if views := r.supervisor.Workloads(); len(views) == 1 && views[0].Update != nil {
			return views[0].Update.Phase
		}
		return ""
	}
	r.awaitRunning(t, "line/digits", 1)
	r.await(t, "a good version", func() bool { return phase() == "" })
	before := r.driver.Running()
	r.driver.StartError = func(w edge.Workload) error {
		if len(w.Env) > 0 {
			return errors.New("no such program")
		}
		return nil
	}
	bad := good
	bad.Env = []string{"BROKEN=1"}
	if err := r.apply(2, edge.Policy{}, bad); err != nil {
		t.Fatal(err)
	}
	r.await(t, "the version to be taken back", func() bool { return phase() == edge.UpdateTakenBack })
	_, err := r.do(t, edge.VerbRestart, `{"target":"digits"}`)
	wantNo(t, err, "invalid", "it failed again and was taken back: cannot be started: ")
	if now := r.driver.Running(); len(now) != 1 || now[0] != before[0] {
		t.Errorf("%v run, want %v as before", now, before)
	}
	r.driver.StartError = nil
	got, err := r.do(t, edge.VerbRestart, `{"target":"digits"}`)
	want(t, got, err, `"replaced":1`)
	r.await(t, "the wanted version to be good", func() bool { return phase() == "" })
}
