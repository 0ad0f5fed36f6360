package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/cli"
)

// TestPolicy_RootLost takes the root document of a governed node away, or part of it,
// while a Compose file lies where an unsigned way in would be.
func TestPolicy_RootLost(t *testing.T) {
	n := governed(t, digitsService(1))
	before := n.awaitReady("digits", 1)
	second := n.desk.sign(draft{version: 2, services: []string{digitsService(1)}})
	root := n.desk.root()
	flashed := n.desk.read(root)
	compose := n.write("line.yaml", "name: other\nservices:\n"+faulty{}.service())
	configure := func() error {
		n.configure(compose, "node: {name: gw-1, groups: [first]}", fmt.Sprintf("policy: {root: %q}", root))
		return nil
	}
	governs := func(t *testing.T) {
		n := n.in(t)
		n.awaitWarning("trust-recovered", "the copy in the state folder governs the node")
		n.wantPolicy(1, "current")
		n.wantSame(before)
		if _, err := n.workload(t.Context(), "faulty"); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("the Compose file's workload: got %v, want %v", err, edge.ErrNotFound)
		}
	}
	t.Run("OneBit", func(t *testing.T) {
		damaged := append([]byte{}, flashed...)
		damaged[len(damaged)/2] ^= 1
		n.in(t).again(configure, func() error { return os.WriteFile(root, damaged, 0o644) })
		governs(t)
	})
	t.Run("Gone", func(t *testing.T) {
		n.in(t).again(func() error { return os.Remove(root) })
		governs(t)
		n.in(t).apply(second).want(t, cli.ExitOK, "version 2 is in force")
	})
	t.Run("WithItsCopy", func(t *testing.T) {
		n := n.in(t)
		n.again(func() error { return os.Remove(filepath.Join(n.StateFolder(), "root.kept")) })
		if warning := n.awaitWarning("trust-unusable", "though policies govern this node"); warning.Remedy == "" {
			t.Errorf("the warning %+v has no remedy", warning)
		}
		if in := n.policy(); !in.Governed || in.Version != 0 {
			t.Errorf("got %+v, want a node that is governed by no policy", in)
		}
		n.await("the instance to be adopted", func(ctx context.Context) error {
			view, err := n.workload(ctx, "digits")
			if err != nil {
				return err
			}
			return sameInstances(before, view.Instances)
		})
	})
	t.Run("BackAgain", func(t *testing.T) {
		n := n.in(t)
		n.flash("")
		n.again(func() error { return os.WriteFile(root, flashed, 0o644) })
		n.wantPolicy(2, "current")
		n.wantSame(before)
		n.awaitNoWarnings()
	})
}

// TestPolicy_RootIsAPipe has the agent read its root document anew where nobody will
// ever write one.
func TestPolicy_RootIsAPipe(t *testing.T) {
	n := governed(t, digitsService(1))
	before := n.awaitReady("digits", 1)
	root, away := n.desk.root(), n.desk.path("away.json")
	if err := errors.Join(os.Rename(root, away), syscall.Mkfifo(root, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(n.AgentPID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	n.awaitWarning("trust-recovered", "is not a regular file")
	n.wantSame(before)
	begun := time.Now()
	n.stopAgent()
	t.Logf("asked to end, the agent ended after %v", time.Since(begun).Round(time.Millisecond))
	n.startAgent()
	n.awaitWarning("trust-recovered", "is not a regular file")
	n.wantPolicy(1, "current")
	n.wantSame(before)
	n.again(func() error { return os.Rename(away, root) })
	n.awaitNoWarnings()
}
