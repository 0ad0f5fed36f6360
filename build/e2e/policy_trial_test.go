package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/cli"
)

// neverReady is digits by name and by the model it should serve, in a version that
// never becomes ready.
func neverReady(readyWithin time.Duration) string {
	service := faulty{faults: "-model digits -never-ready", readyWithin: readyWithin.String()}.service()
	return strings.NewReplacer("  faulty:\n", "  digits:\n", "model: faulty", "model: digits").Replace(service)
}

// TestPolicy_TakenBack applies a policy whose model never becomes ready.
func TestPolicy_TakenBack(t *testing.T) {
	const readyWithin = time.Second
	n := governed(t, digitsService(1))
	before := n.awaitReady("digits", 1)
	s := n.startStream(2, never, patient)
	s.more(50)
	bad := n.desk.sign(draft{version: 2, services: []string{neverReady(readyWithin)}})
	t.Run("WithinReadyWithin", func(t *testing.T) {
		n := n.in(t)
		since := n.latest()
		begun := time.Now()
		n.apply(bad).want(t, cli.ExitFailed, "policy version 2 failed to apply and was taken back, version 1 is in force",
			"model-not-ready", "not ready within 1s", "hint: ")
		took := time.Since(begun)
		back := n.awaitEvent(since, edge.EventPolicyRolledBack, "first")
		inForce := n.awaitEvent(since, edge.EventPolicyInForce, "version:2")
		t.Logf("in force to taken back: %v; the verb took %v", back.At.Sub(inForce.At).Round(time.Millisecond), took.Round(time.Millisecond))
		if took := back.At.Sub(inForce.At); took < readyWithin || took > readyWithin+3*time.Second {
			t.Errorf("it was taken back after %v, want about %v", took, readyWithin)
		}
		n.wantPolicy(1, "previous")
		n.awaitWarning("policy-rolled-back", "not ready within 1s")
	})
	t.Run("OldInstanceServedThroughout", func(t *testing.T) {
		n := n.in(t)
		s.more(50)
		n.wantSame(before)
	})
	t.Run("RefusedFromThenOn", func(t *testing.T) {
		n := n.in(t)
		n.apply(bad).want(t, cli.ExitUsage, "rolled_back", "version 2 failed to apply")
		n.wantPolicy(1, "previous")
	})
	s.more(20)
	s.stop()
	t.Run("RefusedAfterARestart", func(t *testing.T) {
		n := n.in(t)
		if err := n.KillAgent(); err != nil {
			t.Fatal(err)
		}
		n.startAgent()
		n.apply(bad).want(t, cli.ExitUsage, "rolled_back", "version 2 failed to apply")
		n.awaitWarning("policy-rolled-back", "not ready within 1s")
		n.wantPolicy(1, "previous")
		n.wantSame(before)
	})
	t.Run("CorrectedUnderAHigherVersion", func(t *testing.T) {
		n := n.in(t)
		n.apply(n.desk.sign(draft{version: 3, services: []string{digitsService(1)}})).want(t, cli.ExitOK, "version 3 is in force")
		n.wantPolicy(3, "current")
		n.wantSame(before)
		n.awaitNoWarnings()
	})
}

// TestPolicy_TakenBackInEveryWay applies, beside what runs well, workloads that fail
// to start in other ways.
func TestPolicy_TakenBackInEveryWay(t *testing.T) {
	n := governed(t, digitsService(1))
	before := n.awaitReady("digits", 1)
	version := uint64(1)
	for name, c := range map[string]struct{ service, why string }{
		"ExitsAtOnce": {faulty{faults: "-exit-now -exit-code 3"}.service(), "crash-loop"},
		"NoSuchProgram": {
			strings.Replace(faulty{}.service(), "    command:", "    entrypoint: [/no-such-program]\n    command:", 1), "start-failed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := n.in(t)
			version++
			bad := n.desk.sign(draft{version: version, services: []string{digitsService(1), c.service}})
			n.apply(bad).want(t, cli.ExitFailed, "was taken back, version 1 is in force", c.why)
			n.wantPolicy(1, "previous")
			n.await("the failed workload to be gone", func(ctx context.Context) error {
				if view, err := n.workload(ctx, "faulty"); err == nil {
					return fmt.Errorf("it is %+v", view)
				}
				return nil
			})
			n.wantSame(before)
			n.apply(bad).want(t, cli.ExitUsage, "rolled_back")
		})
	}
}

// TestPolicy_TakenBackLater applies, while containerd is away, a policy with an image
// that turns out to be missing.
func TestPolicy_TakenBackLater(t *testing.T) {
	n := governed(t, digitsService(1))
	before := n.awaitReady("digits", 1)
	n.killDaemon()
	n.awaitWarning("containerd-down", "")
	missing := strings.Replace(faulty{}.service(), faultyImage, someoneElse, 1)
	n.apply(n.desk.sign(draft{version: 2, services: []string{digitsService(1), missing}})).
		want(t, cli.ExitOK, "version 2 is in force", "containerd does not answer")
	n.wantPolicy(2, "current")
	n.ask(patient)
	since := n.latest()
	n.restartDaemon()
	back := n.awaitEvent(since, edge.EventPolicyRolledBack, "e2e.example/none:1")
	t.Logf("taken back because: %s", back.Cause)
	n.wantPolicy(1, "previous")
	n.awaitWarning("policy-rolled-back", "start-failed")
	n.wantSame(before)
}

// TestPolicy_KilledInATrial kills the agent before it can take a policy back. The
// next one goes on with the trial; what served before serves on.
func TestPolicy_KilledInATrial(t *testing.T) {
	n := governed(t, digitsService(1))
	before := n.awaitReady("digits", 1)
	since := n.latest()
	n.bring(n.desk.read(n.desk.sign(draft{version: 2, services: []string{neverReady(time.Second)}})))
	n.awaitEvent(since, edge.EventInstanceStarted, "line-digits-")
	n.again()
	n.awaitEvent(0, edge.EventPolicyRolledBack, "") // told by the second agent, which counts anew
	n.wantPolicy(1, "previous")
	for range 20 {
		n.ask(patient)
	}
	view, err := n.workload(t.Context(), "digits")
	if err != nil || !slices.ContainsFunc(view.Instances, func(i edge.InstanceView) bool { return i.PID == before[0].PID && i.Running }) {
		t.Errorf("the workload has %+v (%v), want process %d to serve on", view.Instances, err, before[0].PID)
	}
	n.apply(n.desk.sign(draft{version: 3, services: []string{digitsService(1)}})).want(t, cli.ExitOK, "version 3 is in force")
	n.wantSame(before)
}
