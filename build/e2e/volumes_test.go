package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge/cli"
)

// keepingService is the sample model with a folder that its app keeps; the memory tells
// versions apart.
func keepingService(memory string) string {
	return strings.Replace(digitsService(1), "memory: 64M", "memory: "+memory, 1) + "    volumes: [\"data:/var/lib/digits\"]\n"
}

// TestVolumes_Journey is a volume's life: made for its user, kept over an update, a
// rollback and the loss of its app, and removed by nobody but a person.
func TestVolumes_Journey(t *testing.T) {
	n := newNode(t, "policy.trial=3s")
	n.stopAgent()
	d := n.govern("")
	n.startAgent()
	sign := func(version uint64, service string) string {
		text := strings.Replace(draft{version: version, services: []string{service}}.yaml(), "  line:\n", "  line:\n    volumes: {data: }\n", 1)
		return d.signText(int(version), text)
	}
	n.apply(sign(1, keepingService("64M"))).want(t, cli.ExitOK)
	first := n.awaitReady("digits", 1)[0]
	folder := filepath.Join(n.StateFolder(), "volumes", "line", "data")
	kept := filepath.Join(folder, "kept")
	if err := os.WriteFile(kept, []byte("by the first instance"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantInside(t, first, "/var/lib/digits/kept", "by the first instance")
	t.Run("ListedWithItsUsers", func(t *testing.T) {
		n.in(t).verb("volumes", "list").want(t, cli.ExitOK, "line/data", "line/digits "+first.ID, folder)
	})
	t.Run("NotRemovedWhileWanted", func(t *testing.T) {
		n.in(t).verb("volumes", "remove", "line/data").want(t, cli.ExitFailed, "workload line/digits is to have it", "hint: ")
	})
	t.Run("KeptOverUpdate", func(t *testing.T) {
		n := n.in(t)
		n.apply(sign(2, keepingService("96M"))).want(t, cli.ExitOK, "replaces 1 instance by 1")
		wantInside(t, n.awaitSpec("digits"), "/var/lib/digits/kept", "by the first instance")
	})
	n.awaitProven(2)
	t.Run("KeptOverRollback", func(t *testing.T) {
		n := n.in(t)
		broken := strings.Replace(keepingService("64M"), "x-holdfast:", "entrypoint: [/no-such-program]\n    x-holdfast:", 1)
		n.apply(sign(3, broken))
		n.await("version 2 to be in force again", func(context.Context) error {
			if in := n.policy(); in.Version != 2 {
				return errOther(in.Version)
			}
			return nil
		})
		wantInside(t, n.awaitSpec("digits"), "/var/lib/digits/kept", "by the first instance")
	})
	t.Run("KeptWithoutItsApp", func(t *testing.T) {
		n := n.in(t)
		n.apply(d.sign(draft{version: 4})).want(t, cli.ExitOK)
		n.await("no instance", func(ctx context.Context) error { return n.AwaitNothing(ctx) })
		if text, err := os.ReadFile(kept); err != nil || string(text) != "by the first instance" {
			t.Errorf("got %q, %v, want it kept", text, err)
		}
	})
	t.Run("RemovedByAPerson", func(t *testing.T) {
		n := n.in(t)
		n.verb("volumes", "remove", "line/data").want(t, cli.ExitOK, "removed volume line/data")
		if _, err := os.Stat(folder); !os.IsNotExist(err) {
			t.Errorf("got %v, want it gone", err)
		}
		n.verb("volumes", "remove", "line/data").want(t, cli.ExitFailed, "there is no such volume")
		n.verb("volumes", "remove", "data").want(t, cli.ExitUsage, "is not APP/NAME")
	})
}

// errOther says which version is in force instead.
type errOther uint64

func (e errOther) Error() string { return fmt.Sprintf("version %d is in force", uint64(e)) }
