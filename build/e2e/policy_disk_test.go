package e2e_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"holdfast/edge/cli"
)

// fill leaves not a page on the disk of the node's state.
func (n *node) fill() {
	n.t.Helper()
	file, err := os.OpenFile(filepath.Join(n.StateFolder(), "filler"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer file.Close()
	for err == nil {
		_, err = file.Write(make([]byte, os.Getpagesize()))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		n.t.Fatal(err)
	}
}

// again kills the agent and starts it anew, on a disk that may have changed
// meanwhile.
func (n *node) again(meanwhile ...func() error) {
	n.t.Helper()
	if err := n.KillAgent(); err != nil {
		n.t.Fatal(err)
	}
	for _, do := range meanwhile {
		if err := do(); err != nil {
			n.t.Fatal(err)
		}
	}
	n.startAgent()
}

// wantKept wants what is in force to be on disk, or in memory only and a warning to
// say why.
func (n *node) wantKept(code, words string) {
	n.t.Helper()
	if kept := n.policy().Kept; kept != (code == "") {
		n.t.Errorf("kept on disk: %v, want %v", kept, code == "")
	}
	if code == "" {
		return
	}
	if warning := n.awaitWarning(code, words); warning.Remedy == "" {
		n.t.Errorf("the warning %+v has no remedy", warning)
	}
	n.verb("status").want(n.t, cli.ExitOK, "(in memory only)", "warning "+code)
}

func TestPolicy_DiskFull(t *testing.T) {
	n := placeNode(t)
	if err := n.SmallDisk(16 << 20); err != nil { // an image passes through it
		t.Fatal(err)
	}
	n.furnish()
	n.begin(digitsService(1))
	before := n.awaitReady("digits", 1)
	second := n.desk.sign(draft{version: 2, services: []string{digitsService(1)}})
	n.fill()
	t.Cleanup(func() { os.Remove(filepath.Join(n.StateFolder(), "filler")) })
	full := func(t *testing.T) {
		n := n.in(t)
		n.apply(second).want(t, cli.ExitUnreachable, "cannot keep policy state", "no space left", "hint: free some space")
		n.wantPolicy(1, "current")
		n.wantSame(before)
	}
	t.Run("WhileTheAgentRuns", full)
	t.Run("AtTheStart", func(t *testing.T) {
		n.in(t).again(func() error { n.in(t).fill(); return nil })
		n.in(t).wantPolicy(1, "current")
		full(t)
	})
	t.Run("WithoutADatabase", func(t *testing.T) {
		n := n.in(t)
		n.again(func() error { return os.Remove(filepath.Join(n.StateFolder(), "state.db")) }, func() error { n.fill(); return nil })
		n.wantPolicy(1, "current")
		n.wantKept("state-storage-failed", "no space left")
		full(t)
	})
	t.Run("RoomAgain", func(t *testing.T) {
		n := n.in(t)
		if err := os.Remove(filepath.Join(n.StateFolder(), "filler")); err != nil {
			t.Fatal(err)
		}
		n.apply(second).want(t, cli.ExitOK, "version 2 is in force")
		n.wantPolicy(2, "current")
		n.wantKept("", "")
		n.wantSame(before)
		n.again()
		n.wantPolicy(2, "current")
	})
}

func TestPolicy_DiskReadOnly(t *testing.T) {
	n := governed(t, digitsService(1))
	before := n.awaitReady("digits", 1)
	second := n.desk.sign(draft{version: 2, services: []string{digitsService(1)}})
	t.Run("AtTheStart", func(t *testing.T) {
		n := n.in(t)
		n.again(n.ReadOnly)
		n.wantPolicy(1, "current")
		n.wantKept("state-read-only", "nothing is kept on disk")
		n.apply(second).want(t, cli.ExitUnreachable, "cannot keep policy state", "hint: make the disk of")
		n.wantPolicy(1, "current")
		n.wantSame(before)
	})
	t.Run("WithoutADatabase", func(t *testing.T) {
		n := n.in(t)
		n.again(n.Uncover, func() error { return os.Remove(filepath.Join(n.StateFolder(), "state.db")) }, n.ReadOnly)
		n.wantPolicy(1, "current")
		n.wantSame(before)
	})
	t.Run("WritableAgain", func(t *testing.T) {
		n := n.in(t)
		n.again(n.Uncover)
		n.wantPolicy(1, "current")
		n.apply(second).want(t, cli.ExitOK, "version 2 is in force")
		n.wantKept("", "")
		n.wantSame(before)
	})
}

// TestPolicy_Locked starts second agents on the state of a first, whose locks
// somebody takes away one after the other.
func TestPolicy_Locked(t *testing.T) {
	n := governed(t, digitsService(1))
	before := n.awaitReady("digits", 1)
	second := append(n.Arguments(), "--set", "containerd.namespace=other", "--set", "api.socket="+n.RunFolder("other.sock"), "--set", "api.listen=")
	for _, c := range []struct{ name, lock string }{{"ByTheAgent", ""}, {"ByThePolicyCache", "agent.lock"}, {"ByTheDatabase", "state.lock"}} {
		t.Run(c.name, func(t *testing.T) {
			n := n.in(t)
			if c.lock != "" {
				if err := os.Remove(filepath.Join(n.StateFolder(), c.lock)); err != nil {
					t.Fatal(err)
				}
			}
			said := run(t, second...)
			said.want(t, cli.ExitFailed, "held by another agent", "hint: ")
			t.Log(lastLines(said.stderr, 2))
			n.wantPolicy(1, "current")
			n.wantSame(before)
		})
	}
	n.apply(n.desk.sign(draft{version: 2, services: []string{digitsService(1)}})).want(t, cli.ExitOK, "version 2 is in force")
}

func lastLines(text string, count int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}

// TestPolicy_NewerSchema goes back to this version after a newer one had the node.
func TestPolicy_NewerSchema(t *testing.T) {
	n := governed(t, digitsService(1))
	before := n.awaitReady("digits", 1)
	second := n.desk.sign(draft{version: 2, services: []string{digitsService(1)}})
	path := filepath.Join(n.StateFolder(), "state.db")
	var newer []byte
	n.stopAgent()
	n.again(func() (err error) {
		newer, err = raiseSchema(path)
		return err
	})
	n.wantPolicy(1, "current")
	n.wantKept("state-newer", "schema 9")
	n.wantSame(before)
	n.apply(second).want(t, cli.ExitUnreachable, "cannot keep policy state", "newer version", "hint: ")
	n.wantPolicy(1, "current")
	n.wantSame(before)
	n.stopAgent()
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, newer) {
		t.Errorf("the newer version's database was written to (%v)", err)
	}
	t.Run("MovedAway", func(t *testing.T) {
		n := n.in(t)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		n.startAgent()
		n.apply(second).want(t, cli.ExitOK, "version 2 is in force")
		n.wantKept("", "")
		n.wantSame(before)
	})
}

// raiseSchema makes a database say that schema 9 is in it. Keys and values lie side
// by side there, without a checksum of bbolt's.
func raiseSchema(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	raised := bytes.ReplaceAll(content, []byte("schema1"), []byte("schema9"))
	if bytes.Equal(raised, content) {
		return nil, errors.New("there is no schema 1 in the database")
	}
	return raised, os.WriteFile(path, raised, 0o600)
}
