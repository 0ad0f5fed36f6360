package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// TestPolicy_KilledWhileStarting kills the agent while the policies it applies replace
// an instance, half of the times when the new one's process has just come and half at
// any moment, and wants nothing to be left of any of them.
func TestPolicy_KilledWhileStarting(t *testing.T) {
	const rounds = 20
	n := governed(t, digitsService(1))
	before := n.awaitReady("digits", 1)
	versions := n.replacing(rounds + 1)
	n.bring(versions[0])
	n.awaitSpec("faulty")
	begun := time.Now()
	n.bring(versions[1])
	n.awaitSpec("faulty")
	longest := time.Since(begun) // of a replacement
	for round, next := range versions[2:] {
		since := n.memberships()
		n.bring(next)
		if round%2 == 0 {
			n.awaitStart(since)
		} else {
			<-time.After(rand.N(longest))
		}
		if err := n.KillAgent(); err != nil {
			t.Fatal(err)
		}
		n.startAgent()
		if err := sameInstances(before, n.awaitReady("digits", 1)); err != nil {
			t.Fatal(err)
		}
	}
	n.awaitSpec("faulty")
	n.wantCutOffStarts(rounds / 4) // half of those meant; the others are faster than a kill
}

// replacing are signed policies of which each has the faulty model anew.
func (n *node) replacing(last int) (signed [][]byte) {
	for version := range last + 1 {
		signed = append(signed, n.desk.read(n.desk.sign(draft{
			version:  uint64(version + 2),
			services: []string{digitsService(1), faulty{memory: fmt.Sprintf("%dM", 48+version)}.service()},
		})))
	}
	return signed
}

// memberships are the processes of the node's instances, with their cgroups.
func (n *node) memberships() []string {
	var found []string
	for _, folder := range n.cgroups() {
		text, _ := os.ReadFile(filepath.Join(folder, "cgroup.procs")) // gone: empty
		for _, pid := range strings.Fields(string(text)) {
			found = append(found, filepath.Base(folder)+" "+pid)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// awaitStart returns as soon as an instance has a process that it did not have since.
func (n *node) awaitStart(since []string) {
	n.t.Helper()
	n.await("an instance to start", func(context.Context) error {
		if !slices.ContainsFunc(n.memberships(), func(member string) bool { return !slices.Contains(since, member) }) {
			return edge.ErrNotFound
		}
		return nil
	})
}

// wantCutOffStarts wants the agent to have met starts that were cut off with their
// process in its cgroup, or nothing was tried.
func (n *node) wantCutOffStarts(least int) {
	n.t.Helper()
	text, err := os.ReadFile(n.AgentLog())
	if err != nil {
		n.t.Fatal(err)
	}
	met := 0
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, `msg="ending what containerd lost sight of"`) && !strings.Contains(line, " processes=0 ") {
			met++
		}
	}
	n.t.Logf("%d starts were cut off", met)
	if met < least {
		n.t.Errorf("only %d starts were cut off, want %d", met, least)
	}
}
