package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/agent"
	"holdfast/edge/cli"
)

// inMemory lets secrets lie where they may, whatever /run is on a machine of tests.
// What is there at the end of the test is an error of its own.
func (n *node) inMemory() {
	n.t.Helper()
	folder := n.RunFolder("secrets")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		n.t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", folder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=1m,mode=0700"); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		if left, err := filepath.Glob(filepath.Join(folder, "*", "*")); len(left) > 0 || err != nil {
			n.t.Errorf("secrets are left: %v, %v", left, err)
		}
		if err := unix.Unmount(folder, 0); err != nil {
			n.t.Error(err)
		}
	})
}

// confidential is a node with a key, whose factory is a desk's.
func confidential(t *testing.T) (n *node, public string) {
	t.Helper()
	n = placeNode(t)
	n.inMemory()
	n.furnish()
	said := n.verb("policy", "node-key", "--set", "paths.state="+n.StateFolder())
	said.want(t, cli.ExitOK, "age1")
	return n, strings.TrimSpace(said.stdout)
}

// toldService is the sample model with a secret in a file.
const toldService = `  digits:
    image: ` + digitsImage + `
    secrets: [{source: db, target: db.key}]
    deploy: {resources: {limits: {cpus: "1", memory: 64M, pids: 32}}}
    x-holdfast: {model: digits, variants: [digits-lite], endpoint: "unix:///run/model/model.sock", cost: 5ms}
`

// seal encrypts a value as a person does, and gives the line for a policy.
func (d *desk) seal(name, value string, to ...string) string {
	d.t.Helper()
	arguments := []string{"policy", "seal", name, "-o", "json"}
	for _, key := range to {
		arguments = append(arguments, "--to", key)
	}
	cmd := exec.Command(shop.binary(), arguments...)
	cmd.Stdin = strings.NewReader(value)
	out, err := cmd.Output()
	if err != nil {
		d.t.Fatalf("seal: %v", err)
	}
	var sealed struct{ Sealed string }
	if err := json.Unmarshal(out, &sealed); err != nil {
		d.t.Fatal(err)
	}
	return fmt.Sprintf("secrets: {%s: {sealed: %q}}", name, sealed.Sealed)
}

// inside reads a file as the instance has it.
func inside(instance edge.InstanceView, path string) (string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/root%s", instance.PID, path))
	return string(text), err
}

func wantInside(t *testing.T, instance edge.InstanceView, path, want string) {
	t.Helper()
	if got, err := inside(instance, path); err != nil || got != want {
		t.Errorf("got %q, %v at %s, want %q", got, err, path, want)
	}
}

// TestSecrets_Journey is a secret's life: sealed at the desk, read by one process,
// changed, and nowhere to be found.
func TestSecrets_Journey(t *testing.T) {
	t.Parallel()
	const first, second = "hf-e2e-first-secret-7c1d", "hf-e2e-second-secret-9e2f"
	n, public := confidential(t)
	n.stopAgent()
	d := n.govern("")
	n.startAgent()
	appSecrets := func(version uint64, line string) string {
		p := draft{version: version, sections: []string{line}, services: []string{toldService}}
		text := strings.Replace(p.yaml(), "  line:\n", "  line:\n    secrets: {db: {external: true}}\n", 1)
		return d.signText(int(version), text)
	}
	n.apply(appSecrets(1, d.seal("db", first, public))).want(t, cli.ExitOK, "policy first version 1 is in force")
	told := n.awaitReady("digits", 1)[0]
	t.Run("ReadByTheInstance", func(t *testing.T) {
		wantInside(t, told, "/run/secrets/db.key", first)
		n.in(t).ask(patient)
	})
	t.Run("SameAfterAgentIsKilled", func(t *testing.T) {
		n := n.in(t)
		if err := n.KillAgent(); err != nil {
			t.Fatal(err)
		}
		n.startAgent()
		again := n.awaitReady("digits", 1)[0]
		if again.PID != told.PID {
			t.Errorf("the instance is process %d, want %d as before", again.PID, told.PID)
		}
		wantInside(t, again, "/run/secrets/db.key", first)
	})
	t.Run("ReplacedByAnotherValue", func(t *testing.T) {
		n := n.in(t)
		n.apply(appSecrets(2, d.seal("db", second, public))).want(t, cli.ExitOK, "instances that are told another value are replaced")
		after := n.awaitSpec("digits")
		if after.PID == told.PID {
			t.Error("the instance still has the former secret")
		}
		wantInside(t, after, "/run/secrets/db.key", second)
	})
	before := n.awaitReady("digits", 1)
	t.Run("SealedAnewIsNoChange", func(t *testing.T) {
		n := n.in(t)
		n.apply(appSecrets(3, d.seal("db", second, public))).want(t, cli.ExitOK)
		n.wantSame(before)
	})
	t.Run("SealedForOthers", func(t *testing.T) {
		n := n.in(t)
		stranger, _, err := agent.NodeKey(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		since := n.latest()
		n.apply(appSecrets(4, d.seal("db", first, stranger)))
		n.awaitEvent(since, edge.EventPolicyInForce, "version:4")
		n.wantSame(before) // what runs was told its secret, and goes on
	})
	t.Run("NowhereToBeFound", func(t *testing.T) {
		n := n.in(t)
		for _, secret := range []string{first, second} {
			for _, folder := range []string{n.Folder(), shop.dir, n.RunFolder("runc")} {
				for _, path := range holding(t, folder, secret) {
					t.Errorf("%s holds a secret", path)
				}
			}
			for _, said := range []said{n.verb("status", "-o", "json"), n.verb("workloads", "-o", "json"), n.verb("events"), n.verb("policy", "show")} {
				if strings.Contains(said.stdout+said.stderr, secret) {
					t.Errorf("%s says a secret", said.verb)
				}
			}
			for _, id := range strings.Fields(n.ctr("containers", "list", "-q")) {
				if strings.Contains(n.ctr("containers", "info", id), secret) {
					t.Errorf("containerd's record of %s holds a secret", id)
				}
			}
			environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", before[0].PID))
			if err != nil || bytes.Contains(environment, []byte(secret)) {
				t.Errorf("the environment holds a secret, or cannot be read: %v", err)
			}
		}
	})
}

// TestSecrets_OfTheNode is a developer's way: a folder that root alone reads.
func TestSecrets_OfTheNode(t *testing.T) {
	n, _ := confidential(t)
	folder := filepath.Join(n.StateFolder(), "secrets")
	t.Cleanup(func() { os.RemoveAll(folder) })
	compose := n.write("told.yaml", "name: line\nsecrets: {db: {external: true}}\nservices:\n"+toldService)
	n.configure(compose)
	n.reload()
	t.Run("MissingIsToldWithItsRemedy", func(t *testing.T) {
		warning := n.in(t).awaitWarning("start-failed", `secret "db"`)
		if !strings.Contains(warning.Remedy, filepath.Join(folder, "db")) {
			t.Errorf("the remedy is %q, want where to put it", warning.Remedy)
		}
	})
	put := func(value string, mode fs.FileMode) {
		t.Helper()
		err := errors.Join(os.MkdirAll(folder, 0o700), os.WriteFile(filepath.Join(folder, "db"), []byte(value), mode), os.Chmod(filepath.Join(folder, "db"), mode))
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Run("ReadByOthersIsRefused", func(t *testing.T) {
		n := n.in(t)
		put("open", 0o644)
		n.reload()
		n.awaitWarning("start-failed", "others than root can reach")
	})
	put("one", 0o600)
	n.reload()
	first := n.awaitReady("digits", 1)[0]
	wantInside(t, first, "/run/secrets/db.key", "one")
	n.awaitNoWarnings()
	t.Run("ChangedOnTheNode", func(t *testing.T) {
		n := n.in(t)
		put("two", 0o600) // and nobody tells the agent
		n.await("an instance with the new secret", func(ctx context.Context) error {
			view, err := n.workload(ctx, "digits")
			if err != nil || view.Ready != 1 || len(view.Instances) != 1 {
				return fmt.Errorf("it has %+v, %w", view.Instances, err)
			}
			if got, err := inside(view.Instances[0], "/run/secrets/db.key"); err != nil || got != "two" {
				return fmt.Errorf("it reads %q, %w", got, err)
			}
			return nil
		})
		n.ask(patient)
	})
}

// holding lists the files below a folder that hold a word.
func holding(t testing.TB, folder, word string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !entry.Type().IsRegular() {
			return nil // it goes while it is looked at, or holds nothing
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(word)) {
			found = append(found, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestHolding is the negative control of the search.
func TestHolding(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a"), []byte("before word after"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := holding(t, folder, "word"); len(got) != 1 {
		t.Errorf("got %v, want the one file", got)
	}
	if got := holding(t, folder, "words"); len(got) != 0 {
		t.Errorf("got %v, want none", got)
	}
}
