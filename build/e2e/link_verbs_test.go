package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/edge/cli"
)

// two sends a command that two have signed.
func (f *fleet) two(node string, words ...string) said {
	f.t.Helper()
	signers := []string{"fleet", "command", node, "--key", f.desk.key("command-1"), "--key", f.desk.key("command-2")}
	return run(f.t, slices.Concat(signers, f.flags(), words)...)
}

// wantFailed wants a reply that says why not.
func (s said) wantFailed(t testing.TB, words ...string) {
	t.Helper()
	for _, word := range words {
		if s.code != 1 || !strings.Contains(s.stdout, word) {
			t.Errorf("holdfast %s ended with %d and says\n%swant 1 and %q", s.verb, s.code, s.stdout, word)
		}
	}
}

// TestFleet_Verbs has a node do what the fleet's commands ask for.
func TestFleet_Verbs(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.attend()
	n, _ := f.join("gw-a", digitsService(1))
	images := filepath.Join(n.StateFolder(), "images")
	t.Cleanup(func() {
		os.RemoveAll(images)
		os.Remove(filepath.Join(n.StateFolder(), "adjusted.json"))
	})
	n.awaitTold()
	n.awaitReady("digits", 1)

	t.Run("StoppedThroughAPowerCut", func(t *testing.T) {
		f, n := f.in(t), n.in(t)
		f.command("gw-a", "scale", "digits", "2").want(t, cli.ExitOK, "replicas: 2", "workload: line/digits")
		n.awaitReady("digits", 2)
		f.command("gw-a", "scale", "digits", "17").wantFailed(t, "more than 16")
		f.command("gw-a", "stop", "line/digits").want(t, cli.ExitOK, "running: 0")
		if err := n.KillAgent(); err != nil {
			t.Fatal(err)
		}
		n.startAgent()
		n.awaitTold()
		n.wantStopped("digits")
		f.command("gw-a", "start", "digits").want(t, cli.ExitOK, "replicas: 1")
		n.awaitReady("digits", 1)
	})
	t.Run("Exec", func(t *testing.T) {
		f := f.in(t)
		f.two("gw-a", "exec", "line/digits", "--", "/server", "-check").want(t, cli.ExitOK, "code: 0")
		f.two("gw-a", "exec", "line/digits", "--", "/server", "-nonsense").wantFailed(t, "exit_code", "code: 2", "not defined: -nonsense")
		f.two("gw-a", "reboot").wantFailed(t, "denied", "link.reboot: allow")
	})
	t.Run("PruneAndImport", func(t *testing.T) {
		f := f.in(t)
		f.command("gw-a", "prune").want(t, cli.ExitOK, faultyImage, "kept: 1")
		if err := os.Mkdir(images, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(shop.faulty(), filepath.Join(images, "faulty.tar")); err != nil {
			t.Fatal(err)
		}
		f.command("gw-a", "import", "other.tar").wantFailed(t, "not_found", images)
		f.command("gw-a", "import", "faulty.tar").want(t, cli.ExitOK, faultyImage)
	})
	t.Run("Rollback", func(t *testing.T) {
		f, n := f.in(t), n.in(t)
		f.command("gw-a", "rollback").wantFailed(t, "there is no policy before version 1")
		second := f.desk.sign(draft{version: 2, services: []string{digitsService(2)}})
		f.command("gw-a", "apply", second).want(t, cli.ExitOK, "version: 2")
		n.awaitReady("digits", 2)
		f.command("gw-a", "rollback").want(t, cli.ExitOK, "version: 1", "failedVersion: 2")
		n.awaitReady("digits", 1)
	})
	t.Run("Told", func(t *testing.T) {
		f := f.in(t)
		f.command("gw-a", "vitals").want(t, cli.ExitOK, "cores: ", "memoryTotal: ")
		f.command("gw-a", "diagnose").want(t, cli.ExitOK, "worst: ", "containerd")
		f.command("gw-a", "refresh").want(t, cli.ExitOK)
		f.command("gw-a", "drain", "--within", "10s").want(t, cli.ExitOK, "left: 0")
		f.command("gw-a", "undrain").want(t, cli.ExitOK)
	})
}

// wantStopped wants no instance of a workload, because a command says so.
func (n *node) wantStopped(name string) {
	n.t.Helper()
	n.await(name+" to stay stopped", func(ctx context.Context) error {
		view, err := n.workload(ctx, name)
		if err != nil || !view.Adjusted || view.Workload.Replicas != 0 || len(view.Instances) > 0 {
			return fmt.Errorf("it is %+v: %w", view, err)
		}
		return nil
	})
}
