package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/cli"
)

// exampleImage is what the policy of `holdfast policy init` runs.
const exampleImage = "holdfast.example/digits:1"

// cutOff has the agent start in a network namespace of its own, where there is
// nothing but a loopback that is down.
func (n *node) cutOff() { n.Through("unshare", "--net") }

// isCutOff is nil if no interface of the agent has ever carried anything.
func (n *node) isCutOff() error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", n.AgentPID()))
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")[2:] // after the head
	if len(lines) != 1 || strings.Trim(strings.TrimPrefix(strings.TrimSpace(lines[0]), "lo:"), " 0") != "" {
		return fmt.Errorf("the agent's network is\n%s\nwant a loopback that carried nothing", strings.Join(lines, "\n"))
	}
	return nil
}

func (n *node) wantCutOff() {
	n.t.Helper()
	if err := n.isCutOff(); err != nil {
		n.t.Error(err)
	}
}

// awaitProven waits until the trial of a version has ended well.
func (n *node) awaitProven(version uint64) {
	n.t.Helper()
	n.await(fmt.Sprintf("version %d to prove itself", version), func(context.Context) error {
		if in := n.policy(); in.Version != version || in.Trial {
			return fmt.Errorf("version %d is in force, on trial: %v", in.Version, in.Trial)
		}
		return nil
	})
}

// TestPolicy_Journey is what a new user does: from keys to a node that governs
// itself with the network cut.
func TestPolicy_Journey(t *testing.T) {
	t.Parallel()
	n := newNode(t, "policy.trial=1s")
	archive := filepath.Join(n.Folder(), "example.oci.tar")
	if err := shop.pack(exampleImage, "server", "linux/amd64", archive); err != nil {
		t.Fatal(err)
	}
	n.importImage(archive)
	n.base = n.footprint()
	if n.isCutOff() == nil {
		t.Error("an agent on the machine's own network is taken for one without")
	}
	n.stopAgent()
	d := n.govern(filepath.Join(n.Folder(), "factory.json"))
	d.stock(archive)
	example := string(d.read(d.path("policy.yaml")))
	factory := d.signText(1, example)
	if err := os.Link(factory, filepath.Join(n.Folder(), "factory.json")); err != nil {
		t.Fatal(err)
	}
	n.cutOff()
	n.startAgent()
	flashed := n.awaitReady("digits", 1)
	t.Run("FlashedAsFactory", func(t *testing.T) {
		n := n.in(t)
		n.wantCutOff()
		n.wantPolicy(1, "factory")
		n.ask(patient)
		n.awaitNoWarnings()
	})
	second := d.signText(2, strings.NewReplacer("version: 1", "version: 2", "memory: 64M", "memory: 96M").Replace(example))
	t.Run("SecondVersion", func(t *testing.T) {
		n := n.in(t)
		begun := time.Now()
		n.apply(second).want(t, cli.ExitOK, "~ workload line/digits: replaces 1 instance by 1\n", "limits.memory: 64Mi → 96Mi",
			"version: 1 → 2", "policy first version 2 is in force")
		t.Logf("explained, in force and the instance replaced after %v", time.Since(begun).Round(time.Millisecond))
		after := n.awaitSpec("digits")
		if after.PID == flashed[0].PID || memoryLimit(t, after) != 96<<20 {
			t.Errorf("the instance is %+v with a limit of %d bytes, want another one with 96 MiB", after, memoryLimit(t, after))
		}
		n.wantPolicy(2, "current")
	})
	before := n.awaitReady("digits", 1)
	t.Run("FirstVersionAgain", func(t *testing.T) {
		n := n.in(t)
		n.apply(factory).want(t, cli.ExitUsage, "rollback")
		n.wantPolicy(2, "current")
		n.wantSame(before)
	})
	n.awaitProven(2) // so that it is kept beside the next one
	third := d.signText(3, strings.NewReplacer("version: 1", "version: 3", "memory: 64M", "memory: 96M", "{deadline: 1s}", "{deadline: 2s}").Replace(example))
	n.apply(third).want(t, cli.ExitOK, "deadline: 1s → 2s")
	t.Run("DatabaseDeleted", func(t *testing.T) {
		n := n.in(t)
		n.afterLossOf("state.db", os.Remove)
		n.awaitWarning("state-rebuilt", "was gone")
		n.wantPolicy(3, "current")
		n.wantSame(before)
	})
	t.Run("DatabaseDamaged", func(t *testing.T) {
		n := n.in(t)
		n.afterLossOf("state.db", damage)
		n.awaitWarning("state-rebuilt", "damaged")
		n.wantPolicy(3, "current")
		n.wantSame(before)
		if _, err := os.Stat(filepath.Join(n.StateFolder(), "state.db.damaged")); err != nil {
			t.Errorf("nothing is left of the damaged database to look at: %v", err)
		}
	})
	t.Run("NewestCopyDamagedToo", func(t *testing.T) {
		n := n.in(t)
		newest := n.copyOf(third)
		n.afterLossOf("state.db", damage, newest)
		n.wantPolicy(2, "current")
		n.wantSame(before)
	})
	t.Run("AllDamaged", func(t *testing.T) {
		n := n.in(t)
		n.afterLossOf("state.db", damage, "policy.A", "policy.B")
		n.wantPolicy(1, "factory")
		if limit := memoryLimit(t, n.awaitSpec("digits")); limit != 64<<20 {
			t.Errorf("the instance may use %d bytes, want the 64 MiB of the factory policy", limit)
		}
		n.ask(patient)
		n.apply(third).want(t, cli.ExitOK, "policy first version 3 is in force")
	})
	n.wantCutOff()
}

// signText signs a policy that is there as text.
func (d *desk) signText(version int, text string) string {
	d.t.Helper()
	source, out := d.write(fmt.Sprintf("policy-%d.yaml", version), text), d.path(fmt.Sprintf("policy-%d.json", version))
	run(d.t, "policy", "build", source, "--images", d.images, "--out", out).want(d.t, cli.ExitOK)
	return d.signAs(out, "policy-1", "--root", d.root())
}

// memoryLimit is what the kernel lets an instance use.
func memoryLimit(t testing.TB, instance edge.InstanceView) (bytes int64) {
	t.Helper()
	groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", instance.PID))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(groups)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, path, _ := strings.Cut(rest, ":")
		for _, file := range []string{"/sys/fs/cgroup" + path + "/memory.max", "/sys/fs/cgroup/" + controllers + path + "/memory.limit_in_bytes"} {
			if text, err := os.ReadFile(file); err == nil {
				if _, err := fmt.Sscan(string(text), &bytes); err == nil {
					return bytes
				}
			}
		}
	}
	t.Fatalf("no memory limit in\n%s", groups)
	return 0
}

// afterLossOf kills the agent, does something to files of its state, and starts it.
func (n *node) afterLossOf(first string, do func(path string) error, more ...string) {
	n.t.Helper()
	if err := n.KillAgent(); err != nil {
		n.t.Fatal(err)
	}
	for _, name := range append([]string{first}, more...) {
		if err := do(filepath.Join(n.StateFolder(), name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			n.t.Fatal(err)
		}
	}
	begun := time.Now()
	n.startAgent()
	n.t.Logf("the agent answers after %v", time.Since(begun).Round(time.Millisecond))
}

// damage overwrites a file that is there.
func damage(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.Repeat("nonsense", int(info.Size())/8+1))[:info.Size()], 0o600)
}

// copyOf names the file beside the database that holds a signed policy.
func (n *node) copyOf(signed string) string {
	n.t.Helper()
	var envelope struct{ Payload string }
	if err := json.Unmarshal(n.desk.read(signed), &envelope); err != nil {
		n.t.Fatal(err)
	}
	for _, name := range []string{"policy.A", "policy.B"} {
		text, err := os.ReadFile(filepath.Join(n.StateFolder(), name))
		if err == nil && strings.Contains(string(text), envelope.Payload) {
			return name
		}
	}
	n.t.Fatalf("no copy holds %s", signed)
	return ""
}
