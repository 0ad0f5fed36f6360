package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// restartDaemon brings the package's containerd back.
func (n *node) restartDaemon() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := n.Daemon.Restart(ctx); err != nil {
		n.t.Fatal(err)
	}
}

// killDaemon ends it as a crash would, and sees to it that the test leaves it up.
func (n *node) killDaemon() {
	n.t.Helper()
	if err := n.Daemon.Kill(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		if n.Daemon.PID() == 0 {
			n.restartDaemon()
		}
	})
}

func TestContainerd_AbsentAtStart(t *testing.T) {
	n := newNode(t)
	n.stopAgent()
	n.declare(digitsService(1))
	n.killDaemon()
	told := notifySocket(t)
	begun := time.Now()
	n.startAgent()
	if got := <-told; got != "READY=1" {
		t.Errorf("the service manager was told %q, want READY=1", got)
	}
	t.Logf("start to READY without containerd: %v", time.Since(begun).Round(time.Millisecond))
	n.awaitWarning("containerd-down", "")
	status, err := n.Client().Status(t.Context())
	if err != nil || status.Containerd.Connected {
		t.Errorf("status says %+v (%v), want containerd not connected", status.Containerd, err)
	}
	t.Run("TaskIsRefusedAtOnce", func(t *testing.T) {
		inputs, err := samples()
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := askDigits(t.Context(), n.Client(), inputs[0], patient); !refusedFor(err, edge.ReasonModelNotReady) {
			t.Errorf("the task ended with %v, want %s", err, edge.ReasonModelNotReady)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("the refusal took %v", took)
		}
	})
	t.Run("ImportIsRefused", func(t *testing.T) {
		if err := n.Import(t.Context(), shop.digits()); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("the import ended with %v, want %v", err, edge.ErrUnavailable)
		}
	})
	t.Run("AppearsLater", func(t *testing.T) {
		n := n.in(t)
		n.restartDaemon()
		back := time.Now()
		n.awaitReady("digits", 1)
		t.Logf("containerd answers to model ready: %v", time.Since(back).Round(time.Millisecond))
		n.awaitEvent(0, edge.EventDaemonBack, "")
		n.awaitNoWarnings()
		n.ask(patient)
	})
}

func TestContainerd_Killed(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(2), faulty{}.service())
	before, victim := n.awaitReady("digits", 2), n.awaitReady("faulty", 1)[0]
	s := n.countOnDeadlines(before[0])
	s.more(50)
	t.Run("TasksGoOn", func(t *testing.T) {
		n := n.in(t)
		n.killDaemon()
		n.awaitEvent(0, edge.EventDaemonLost, "")
		n.awaitWarning("containerd-down", "")
		s.more(200)
		kill(t, victim.PID)
		s.more(50)
		n.restartDaemon()
		s.more(50)
	})
	t.Run("NoInstanceIsRestarted", func(t *testing.T) {
		n := n.in(t)
		n.awaitEvent(n.awaitEvent(0, edge.EventDaemonLost, "").Seq, edge.EventDaemonBack, "")
		n.awaitNoWarnings()
		if err := sameInstances(before, n.awaitReady("digits", 2)); err != nil {
			t.Error(err)
		}
		for _, i := range before {
			for _, e := range n.events(0) {
				if e.Subject == i.ID && e.Kind == edge.EventInstanceExited {
					t.Errorf("containerd's restart is taken for the end of %s: %s", i.ID, e.Facts)
				}
			}
		}
	})
	t.Run("OneThatDiedMeanwhileIsReplaced", func(t *testing.T) {
		n := n.in(t)
		n.awaitEvent(0, edge.EventInstanceExited, victim.ID)
		after := n.awaitReady("faulty", 1)[0]
		if after.ID == victim.ID || after.PID == victim.PID || after.Restarts != 1 {
			t.Errorf("the instance is %+v, want another one with one restart", after)
		}
	})
	s.more(50)
	s.stop()
}

func TestContainerd_KilledWithTheAgent(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(2))
	before := n.awaitReady("digits", 2)
	s := n.startStream(2, isAway, patient)
	s.more(20)
	n.killDaemon()
	if err := n.KillAgent(); err != nil {
		t.Fatal(err)
	}
	n.startAgent()
	n.awaitWarning("containerd-down", "")
	n.restartDaemon()
	s.more(20)
	n.wantAdopted(before)
	s.stop()
}

func TestInstance_Crash(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(1))
	before := n.awaitReady("digits", 1)[0]
	s := n.startStream(2, isAwayOrCrashed, patient)
	s.more(20)
	since := n.latest()
	kill(t, before.PID)
	killed := time.Now()
	n.awaitEvent(since, edge.EventInstanceReady, "")
	ready := time.Since(killed)
	s.more(1)
	t.Logf("crash to ready: %v, to the next answer: %v", ready.Round(time.Millisecond), time.Since(killed).Round(time.Millisecond))
	if ready > 10*time.Second {
		t.Errorf("the model was away for %v", ready)
	}
	s.more(20)
	s.stop()
	exited := n.awaitEvent(since, edge.EventInstanceExited, before.ID)
	if !strings.Contains(exited.Facts["how"], "SIGKILL") || exited.Facts["log"] == "" {
		t.Errorf("the event of the end says %v, want the signal and the log", exited.Facts)
	}
	if started := n.awaitEvent(since, edge.EventInstanceStarted, ""); !strings.Contains(started.Cause, "SIGKILL") {
		t.Errorf("the replacement was started because %q, want the signal", started.Cause)
	}
	after := n.awaitReady("digits", 1)[0]
	if after.Restarts != 1 || after.PID == before.PID {
		t.Errorf("the instance is %+v, want one restart", after)
	}
}

// TestInstance_Restart restarts a workload on request while tasks stream.
func TestInstance_Restart(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(2))
	before := n.awaitReady("digits", 2)
	// No control: what it would ask is to go.
	s := n.startStream(4, never, patient)
	s.more(50)
	if err := n.Client().Restart(t.Context(), "line/digits"); err != nil {
		t.Fatal(err)
	}
	n.await("both instances to be new", func(ctx context.Context) error {
		view, err := n.workload(ctx, "digits")
		if err != nil {
			return err
		}
		for _, i := range view.Instances {
			if i.ID == before[0].ID || i.ID == before[1].ID {
				return fmt.Errorf("%s is still there", i.ID)
			}
		}
		if view.Ready != 2 {
			return fmt.Errorf("%d are ready", view.Ready)
		}
		return nil
	})
	s.more(50)
	s.stop()
}
