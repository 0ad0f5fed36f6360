package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/cli"
	"holdfast/edge/localapi"
)

// monitored is digits in a version that is good half a second after it is ready.
func monitored(version, replicas int) string { return versionOf(version, replicas, "monitor: 500ms") }

// brokenDigits is digits in a version that does wrong what the flags say.
func brokenDigits(replicas int, faults string) string {
	service := faulty{faults: "-model digits " + faults, readyWithin: "500ms"}.service()
	return strings.NewReplacer("  faulty:\n", "  digits:\n", "model: faulty", "model: digits",
		"deploy: {", fmt.Sprintf("deploy: {replicas: %d, ", replicas)).Replace(service)
}

// awaitGood returns once the wanted version is the last good one.
func (n *node) awaitGood(version, replicas int) {
	n.t.Helper()
	n.awaitVersion(version, replicas)
	n.awaitStood()
}

// soaking tells whether there is time for what differs little from the rest.
func soaking() bool { return soak() > 1 }

// TestRollback_UnderLoad brings versions that are broken in different ways while callers
// ask: each is taken back by itself, and no caller hears of it.
func TestRollback_UnderLoad(t *testing.T) {
	const replicas = 2
	n := newNode(t)
	n.deploy(monitored(1, replicas))
	n.awaitGood(1, replicas)
	s := n.startStream(4, never, localapi.InferOptions{Deadline: 10 * time.Second})
	s.more(50)
	broken := map[string]struct{ service, why string }{
		"NeverReady":      {brokenDigits(replicas, "-never-ready"), "not ready within 500ms"},
		"AnswersNonsense": {brokenDigits(replicas, "-garbage status"), "failed answers in a row"},
		"DiesOfTasks":     {brokenDigits(replicas, "-exit-after 0 -exit-code 7"), "exited with code 7"},
		"ExitsAtOnce":     {brokenDigits(replicas, "-exit-now -exit-code 3"), "exited with code 3"},
		"NoSuchImage":     {strings.Replace(brokenDigits(replicas, "-burn 2ms"), faultyImage, someoneElse, 1), "cannot be started"},
	}
	if soaking() {
		broken["NoSuchProgram"] = struct{ service, why string }{
			strings.Replace(brokenDigits(replicas, "-burn 1ms"), "    command:", "    entrypoint: [/no-such-program]\n    command:", 1), "cannot be started",
		}
	}
	for name, c := range broken {
		t.Run(name, func(t *testing.T) {
			n := n.in(t)
			since := n.latest()
			begun := time.Now()
			n.deploy(c.service)
			e := n.awaitEvent(since, edge.EventUpdateRolledBack, "line/digits")
			n.awaitVersion(1, replicas)
			t.Logf("%s: from the broken deployment to all good again %v (%s)", name, time.Since(begun).Round(time.Millisecond), e.Cause)
			if !strings.Contains(e.Cause, c.why) {
				t.Errorf("taken back for %q, want %q", e.Cause, c.why)
			}
			n.awaitWarning("version-failed", c.why)
			s.more(50)
		})
	}
	s.stop()
	t.Run("RememberedOverAKill", func(t *testing.T) {
		n := n.in(t)
		before := n.awaitReady("digits", replicas)
		n.deploy(brokenDigits(replicas, "-never-ready"))
		if err := n.KillAgent(); err != nil {
			t.Fatal(err)
		}
		n.startAgent()
		n.awaitEvent(0, edge.EventUpdateRefused, "not ready within 500ms")
		n.awaitWarning("version-failed", "not ready within 500ms")
		n.wantSame(before)
	})
	t.Run("TriedAgainForAPerson", func(t *testing.T) {
		n := n.in(t)
		since := n.latest()
		if err := n.Client().Restart(t.Context(), "line/digits"); err != nil {
			t.Fatal(err)
		}
		n.awaitEvent(since, edge.EventUpdateRolledBack, "not ready within 500ms")
		n.awaitVersion(1, replicas)
	})
	t.Run("GoodOneTakesOver", func(t *testing.T) {
		n := n.in(t)
		n.deploy(monitored(2, replicas))
		n.awaitGood(2, replicas)
		n.awaitNoWarnings()
	})
}

// TestRollback_AgentKilled kills the agent at different moments of a broken update: the
// next one finishes what it was at.
func TestRollback_AgentKilled(t *testing.T) {
	n := newNode(t)
	n.deploy(monitored(1, 1))
	n.awaitGood(1, 1)
	before := n.awaitReady("digits", 1)
	s := n.startStream(2, isAway, patient)
	s.more(20)
	moments := []edge.EventKind{edge.EventInstanceStarted, edge.EventUpdateRolledBack}
	if soaking() {
		moments = append(moments, "", edge.EventAgentReloaded, edge.EventInstanceExited)
	}
	for i, moment := range moments {
		t.Run("After"+string(moment), func(t *testing.T) {
			n := n.in(t)
			since := n.latest()
			n.declare(brokenDigits(1, fmt.Sprintf("-never-ready -exit-code %d", i+1))) // another each time
			n.sighup()
			if moment != "" {
				n.awaitEvent(since, moment, "")
			}
			begun := time.Now()
			if err := n.KillAgent(); err != nil {
				t.Fatal(err)
			}
			n.startAgent()
			n.awaitVersion(1, 1)
			n.awaitWarning("version-failed", "not ready within 500ms")
			t.Logf("killed after %q: all good again after %v", moment, time.Since(begun).Round(time.Millisecond))
			n.wantSame(before)
			s.more(20)
		})
	}
	s.stop()
}

// TestRollback_PowerCut ends everything in the midst of a broken update, and the way to
// any registry with it.
func TestRollback_PowerCut(t *testing.T) {
	n := newNode(t)
	n.deploy(monitored(1, 2))
	n.awaitGood(1, 2)
	since := n.latest()
	n.deploy(brokenDigits(2, "-never-ready"))
	n.awaitEvent(since, edge.EventInstanceStarted, "line-digits-")
	view, err := n.workload(t.Context(), "digits")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.KillAgent(); err != nil {
		t.Fatal(err)
	}
	for _, i := range view.Instances {
		if i.PID != 0 {
			kill(t, i.PID)
		}
	}
	begun := time.Now()
	n.startAgent()
	n.awaitEvent(0, edge.EventUpdateRolledBack, "not ready within 500ms")
	n.awaitVersion(1, 2)
	t.Logf("all good again after %v", time.Since(begun).Round(time.Millisecond))
	n.ask(patient)
}

// TestRollback_Lost is the negative control: without what the agent keeps there is nothing
// to go back to.
func TestRollback_Lost(t *testing.T) {
	n := newNode(t)
	n.deploy(monitored(1, 1))
	n.awaitGood(1, 1)
	if err := n.KillAgent(); err != nil {
		t.Fatal(err)
	}
	n.lose("versions.json")
	n.declare(brokenDigits(1, "-never-ready"))
	n.startAgent()
	n.awaitWarning("model-not-ready", "not ready within 500ms")
	for _, e := range n.events(0) {
		if e.Kind == edge.EventUpdateRolledBack {
			t.Errorf("got %+v, want nothing to be known to go back to", e)
		}
	}
	n.await("the old instance beside", func(ctx context.Context) error {
		_, err := askOnce(ctx, n)
		return err
	})
}

// askOnce has one sample answered.
func askOnce(ctx context.Context, n *node) (localapi.Result, error) {
	inputs, err := samples()
	if err != nil {
		return localapi.Result{}, err
	}
	return askDigits(ctx, n.Client(), inputs[0], patient)
}

// sighup has the agent read what was declared, and waits for nothing.
func (n *node) sighup() {
	n.t.Helper()
	if err := syscall.Kill(n.AgentPID(), syscall.SIGHUP); err != nil {
		n.t.Fatal(err)
	}
}

// lose removes a file of the state folder.
func (n *node) lose(name string) {
	n.t.Helper()
	if err := os.Remove(filepath.Join(n.StateFolder(), name)); err != nil {
		n.t.Fatal(err)
	}
}

// TestRollback_UnderPolicy brings a policy in which one workload is broken that says itself
// what becomes of it: the policy stays, and that workload alone goes back.
func TestRollback_UnderPolicy(t *testing.T) {
	alone := func(service string) string {
		return strings.Replace(service, "deploy: {", "deploy: {update_config: {failure_action: rollback, monitor: 500ms}, ", 1)
	}
	n := governed(t, alone(digitsService(1)))
	n.awaitStood()
	before := n.awaitReady("digits", 1)
	s := n.startStream(2, never, patient)
	s.more(20)
	t.Run("OthersStay", func(t *testing.T) {
		n := n.in(t)
		n.apply(n.desk.sign(draft{version: 2, services: []string{alone(brokenDigits(1, "-never-ready")), faulty{}.service()}})).
			want(t, cli.ExitFailed, "policy version 2 is in force", "line/digits", "was taken back", "not ready within 500ms")
		n.wantPolicy(2, "current")
		n.awaitReady("faulty", 1)
		n.wantSame(before)
		n.awaitWarning("version-failed", "not ready within 500ms")
	})
	t.Run("NotTriedInTheNextPolicy", func(t *testing.T) {
		n := n.in(t)
		since := n.latest()
		n.apply(n.desk.sign(draft{version: 3, services: []string{alone(brokenDigits(1, "-never-ready"))}})).
			want(t, cli.ExitFailed, "policy version 3 is in force", "line/digits")
		for _, e := range n.events(since) {
			if e.Kind == edge.EventInstanceStarted {
				t.Errorf("got %+v, want nothing to be started", e)
			}
		}
		n.wantSame(before)
	})
	s.stop()
	t.Run("KilledAndAlone", func(t *testing.T) {
		n := n.in(t)
		if err := n.KillAgent(); err != nil {
			t.Fatal(err)
		}
		kill(t, before[0].PID)
		n.startAgent()
		n.awaitReady("digits", 1)
		n.ask(patient) // the last good version is made anew, under a policy that has another
	})
}

// awaitStood returns once the wanted version of digits is the last good one.
func (n *node) awaitStood() {
	n.t.Helper()
	n.await("the version to be good", func(ctx context.Context) error {
		view, err := n.workload(ctx, "digits")
		if err == nil && view.Update != nil {
			err = fmt.Errorf("it is on %s", view.Update.Phase)
		}
		return err
	})
}
