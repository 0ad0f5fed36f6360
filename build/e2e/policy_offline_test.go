package e2e_test

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/cli"
	"holdfast/edge/localapi"
)

// TestPolicy_BootOffline starts a node on which one instance survived and one did
// not, with neither network nor containerd, by a clock of fifty-five years ago.
func TestPolicy_BootOffline(t *testing.T) {
	n := governed(t, digitsService(1), faulty{}.service())
	n.apply(n.desk.sign(draft{version: 2, services: []string{digitsService(1), faulty{}.service()}, sections: []string{"classes: {normal: {deadline: 3s}}"}})).
		want(t, cli.ExitOK)
	before, victim := n.awaitReady("digits", 1), n.awaitReady("faulty", 1)[0]
	n.stopAgent()
	n.killDaemon()
	kill(t, victim.PID)
	program := n.bootSlow()
	told := notifySocket(t)
	begun := time.Now()
	n.startAgent()
	if got := <-told; got != "READY=1" {
		t.Errorf("the service manager was told %q, want READY=1", got)
	}
	ready := time.Since(begun)
	t.Logf("start to READY with a policy, without network and containerd: %v", ready.Round(time.Millisecond))
	if ready > 2*time.Second {
		t.Errorf("the agent was READY after %v, want at once", ready)
	}
	n.wantCutOff()
	t.Run("StatusSaysWhatGoverns", func(t *testing.T) {
		n := n.in(t)
		n.awaitWarning("containerd-down", "")
		status := runProgram(t, program, "--address", n.Socket(), "status")
		status.want(t, cli.ExitOK)
		for _, line := range []string{
			`(?m)^policy first version 2 \(current\)  in force for \S+\nsigned by [0-9a-f]{12} under root 1$`,
			`(?m)^lease (30d0h|29d23h) of 30d0h and 200 of 200 boots left  \(on trial\)$`,
			`(?m)^line/digits `,
		} {
			if !regexp.MustCompile(line).MatchString(status.stdout) {
				t.Errorf("status says\n%swant %s", status.stdout, line)
			}
		}
	})
	t.Run("WhatRunsServesOn", func(t *testing.T) {
		direct := localapi.Dial(before[0].Socket)
		defer direct.Close()
		if err := direct.Ready(t.Context()); err != nil {
			t.Errorf("the instance does not serve on its socket: %v", err)
		}
	})
	t.Run("AnotherVersionIsTaken", func(t *testing.T) {
		n := n.in(t)
		n.apply(n.desk.sign(draft{version: 3, services: []string{digitsService(1), faulty{}.service()}})).
			want(t, cli.ExitOK, "- class normal: falls to the node's configuration", "version 3 is in force", "containerd does not answer")
	})
	t.Run("ContainerdAppears", func(t *testing.T) {
		n := n.in(t)
		n.restartDaemon()
		back := time.Now()
		n.wantSame(before)
		t.Logf("containerd answers to the model answering: %v", time.Since(back).Round(time.Millisecond))
		if after := n.awaitReady("faulty", 1)[0]; after.PID == victim.PID {
			t.Errorf("the instance is %+v, want another one than died", after)
		}
		if err := n.inferFaulty(patient.Deadline); err != nil {
			t.Errorf("faulty: %v", err)
		}
		n.awaitNoWarnings()
		n.wantPolicy(3, "current")
		n.wantCutOff()
	})
}

// boot has the agent start as it would after another boot of the machine: under
// another id of it, and so long after it.
func (n *node) boot(id string, up time.Duration) {
	n.t.Helper()
	n.stopAgent()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		n.t.Fatal(err)
	}
	offset := int64((up - time.Duration(now.Nano())) / time.Second)
	n.Through("unshare", "--mount", "--time", "--boottime", fmt.Sprint(offset),
		"sh", "-c", `mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`, n.write("boot-"+id, id+"\n"))
	n.startAgent()
}

// wantLease wants status to show what is left, give or take the minutes that boots
// here begin with, and warns or not.
func (n *node) wantLease(state string, hours time.Duration, boots int) {
	n.t.Helper()
	in := n.policy()
	if in.State != state || in.LeaseBoots != boots || (in.LeaseLeft-hours).Abs() > 3*time.Minute {
		n.t.Errorf("policy is %s with %v and %d boots left, want %s with %v and %d", in.State, in.LeaseLeft, in.LeaseBoots, state, hours, boots)
	}
	if state == "degraded" {
		n.awaitWarning("policy-lease-ended", "")
		n.awaitEvent(0, edge.EventLeaseEnded, "first")
		return
	}
	n.awaitNoWarnings()
}

// wantImport wants a new image to be refused, or not to be.
func (n *node) wantImport(refused bool) {
	n.t.Helper()
	err := n.Import(n.t.Context(), shop.digits())
	if refused && !refusedFor(err, edge.ReasonDenied) || !refused && err != nil {
		n.t.Errorf("the import ended with %v, refused: want %v", err, refused)
	}
}

func TestPolicy_Lease(t *testing.T) {
	n := newNode(t)
	n.govern("")
	short := draft{version: 1, lease: "hours: 1, boots: 2", services: []string{digitsService(1)}}
	n.boot("one", time.Minute)
	n.apply(n.desk.sign(short)).want(t, cli.ExitOK)
	before := n.awaitReady("digits", 1)
	n.wantLease("current", time.Hour, 2)
	t.Run("TimeIsUsedUp", func(t *testing.T) {
		n := n.in(t)
		n.boot("one", 50*time.Minute)
		n.wantLease("current", 11*time.Minute, 2)
		n.wantImport(false)
		n.boot("one", 2*time.Hour)
		n.wantLease("degraded", 0, 2)
		n.wantImport(true)
		n.verb("images", "import", shop.digits()).want(t, cli.ExitRefused, "denied", "lease")
		n.wantSame(before)
	})
	t.Run("LongerLease", func(t *testing.T) {
		n := n.in(t)
		short.version, short.lease = 2, "hours: 10, boots: 2"
		n.apply(n.desk.sign(short)).want(t, cli.ExitOK, "version 2 is in force")
		n.wantLease("current", 9*time.Hour, 2) // what was used up stays so
		n.wantImport(false)
	})
	t.Run("BootsAreUsedUp", func(t *testing.T) {
		n := n.in(t)
		n.boot("two", time.Minute)
		n.wantLease("current", 9*time.Hour, 1)
		n.boot("three", time.Minute)
		n.wantLease("degraded", 9*time.Hour, 0)
		n.wantImport(true)
		n.wantSame(before)
	})
	t.Run("HeldInstead", func(t *testing.T) {
		n := n.in(t)
		short.version, short.lease = 3, "hours: 10, boots: 2, onExpiry: hold"
		n.apply(n.desk.sign(short)).want(t, cli.ExitOK, "version 3 is in force")
		n.wantPolicy(3, "current")
		n.awaitWarning("policy-lease-ended", "")
		n.wantImport(false)
	})
}
