package agent

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/edge/fleet"
	"holdfast/edge/host"
	"holdfast/policycache"
)

// trustRig is a node of a fleet: what was flashed, and its state folder.
type trustRig struct {
	t      *testing.T
	policy config.Policy
	state  string
}

func newTrustRig(t *testing.T) *trustRig {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "fleet")
	if _, err := fleet.Init(t.Context(), folder, fleet.DefaultQuorums(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	r := &trustRig{t, config.Policy{Root: filepath.Join(folder, "root.json"), Factory: filepath.Join(folder, "factory.json")}, t.TempDir()}
	r.write(r.policy.Factory, "{}")
	return r
}

func (r *trustRig) write(path, text string) {
	r.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *trustRig) remove(path string) {
	r.t.Helper()
	if err := os.RemoveAll(path); err != nil {
		r.t.Fatal(err)
	}
}

func (r *trustRig) read() Trust { return ReadTrust(r.policy, r.state) }

// begin is what an agent does with its root document when it starts.
func (r *trustRig) begin() {
	r.read().keep(r.state, slog.New(slog.DiscardHandler))
}

func (r *trustRig) kept() string { return filepath.Join(r.state, policycache.KeptRoot) }

// damage flips one bit in the middle of a file.
func (r *trustRig) damage(path string) {
	r.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		r.t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	r.write(path, string(text))
}

// wantFree wants no policy to govern.
func (r *trustRig) wantFree() {
	r.t.Helper()
	if got := r.read(); got.Governs() {
		r.t.Errorf("got root %v and error %v, want neither", got.Root, got.Err)
	}
}

// wantDistrust wants the node to believe nobody, and to be governed all the same.
func (r *trustRig) wantDistrust(words ...string) {
	r.t.Helper()
	got := r.read()
	if got.Root != nil || got.Err == nil || !got.Governs() {
		r.t.Fatalf("got root %v and error %v, want an error only", got.Root, got.Err)
	}
	for _, word := range words {
		if text := got.Err.Error() + "; " + edge.HintOf(got.Err); !strings.Contains(text, word) {
			r.t.Errorf("got %q, want %q", text, word)
		}
	}
}

// wantBelieved wants a root, flashed or recovered.
func (r *trustRig) wantBelieved(recovered bool) Trust {
	r.t.Helper()
	got := r.read()
	if got.Root == nil || got.Err != nil || recovered != (got.Recovered != nil) {
		r.t.Fatalf("got root %v, recovered for %v, error %v; recovered: want %v", got.Root, got.Recovered, got.Err, recovered)
	}
	return got
}

func TestReadTrust(t *testing.T) {
	r := newTrustRig(t)
	if got := r.wantBelieved(false); string(got.Factory) != "{}" {
		t.Errorf("got factory policy %q", got.Factory)
	}
	r.damage(r.policy.Root)
	r.wantDistrust("cannot believe root document")
	r.remove(r.policy.Root)
	r.wantFree() // a developer's node
	r.policy.Root = ""
	r.wantFree()
}

// TestReadTrust_Lost takes the root document away from a node that was governed.
func TestReadTrust_Lost(t *testing.T) {
	for _, trace := range []string{"policy.A", "policy.B", "state.db"} {
		t.Run(trace, func(t *testing.T) {
			r := newTrustRig(t)
			r.write(filepath.Join(r.state, trace), "anything")
			r.wantBelieved(false)
			r.remove(r.policy.Root)
			r.wantDistrust("there is no root document", filepath.Join(r.state, trace), "to free the node from policies", "state.db out of "+r.state)
			r.policy.Root += ".elsewhere"
			r.wantDistrust()
			r.policy.Root = ""
			r.wantDistrust()
			r.remove(filepath.Join(r.state, trace))
			r.wantFree()
		})
	}
	t.Run("StateIsAFile", func(t *testing.T) {
		r := newTrustRig(t)
		r.remove(r.policy.Root)
		r.remove(r.state)
		r.write(r.state, "")
		r.wantFree()
	})
	t.Run("StateCannotBeLookedAt", func(t *testing.T) {
		r := newTrustRig(t)
		r.remove(r.policy.Root)
		r.remove(r.state)
		if err := os.Symlink(r.state, r.state); err != nil {
			t.Fatal(err)
		}
		r.wantDistrust("cannot be told")
	})
}

// TestReadTrust_Odd puts what is no file in the place of the documents. None of it may
// be waited for.
func TestReadTrust_Odd(t *testing.T) {
	put := map[string]func(path string) error{
		"Pipe":         func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"Folder":       func(path string) error { return os.Mkdir(path, 0o755) },
		"DanglingLink": func(path string) error { return os.Symlink("nowhere", path) },
		"Loop":         func(path string) error { return os.Symlink(path, path) },
		"Zeros":        func(path string) error { return os.Symlink("/dev/zero", path) },
		"Terminal":     func(path string) error { return os.Symlink("/dev/tty", path) },
		"TooLarge":     func(path string) error { return os.WriteFile(path, make([]byte, 1<<20), 0o644) },
	}
	for name, put := range put {
		t.Run(name, func(t *testing.T) {
			r := newTrustRig(t)
			r.begin()
			r.remove(r.policy.Root)
			r.remove(r.policy.Factory)
			if err := errors.Join(put(r.policy.Root), put(r.policy.Factory)); err != nil {
				t.Fatal(err)
			}
			got := r.read()
			if got.Root == nil || got.Recovered == nil || got.Err == nil || got.Factory != nil {
				t.Errorf("got root %v for %v, factory error %v; want the copy, and both errors", got.Root, got.Recovered, got.Err)
			}
			r.remove(r.kept())
			r.wantDistrust()
			r.remove(r.policy.Root)
			r.wantFree()
		})
	}
	t.Run("DanglingFolder", func(t *testing.T) {
		r := newTrustRig(t)
		folder := filepath.Join(r.state, "trust")
		if err := os.Symlink(filepath.Join(r.state, "not-mounted"), folder); err != nil {
			t.Fatal(err)
		}
		r.policy.Root = filepath.Join(folder, "below", "root.json")
		r.wantDistrust(folder, "leads nowhere")
		if err := os.Mkdir(filepath.Join(r.state, "not-mounted"), 0o755); err != nil {
			t.Fatal(err)
		}
		r.wantFree()
	})
}

// TestReadTrust_Kept damages the root document of a node that has a copy.
func TestReadTrust_Kept(t *testing.T) {
	r := newTrustRig(t)
	r.begin()
	flashed, err := os.ReadFile(r.policy.Root)
	if err != nil {
		t.Fatal(err)
	}
	r.damage(r.policy.Root)
	damaged := r.wantBelieved(true)
	r.begin() // keeps the copy, not what is damaged
	r.remove(r.policy.Root)
	r.wantBelieved(true)
	t.Run("BackAgain", func(t *testing.T) {
		r.write(r.policy.Root, string(flashed))
		if changed := r.wantBelieved(false).changed(damaged); len(changed) != 0 {
			t.Errorf("got %q as changed, want nothing: a restart would change nothing", changed)
		}
	})
	t.Run("OtherFleet", func(t *testing.T) {
		other := newTrustRig(t)
		ours := r.policy
		defer func() { r.policy = ours }()
		r.policy = other.policy
		if got := r.wantBelieved(false); !slices.Equal(got.text, other.read().text) {
			t.Error("the copy counts, though another valid document was flashed")
		}
		r.begin()
		r.remove(r.policy.Root)
		if got := r.wantBelieved(true); slices.Equal(got.text, flashed) {
			t.Error("the copy is still of the fleet before")
		}
		r.policy = ours
		r.begin()
	})
	t.Run("CopyDamagedToo", func(t *testing.T) {
		r.remove(r.policy.Root)
		r.damage(r.kept())
		r.wantDistrust("there is no root document")
	})
}

// TestTrust_Keep is about a folder that takes no copy, or an odd one.
func TestTrust_Keep(t *testing.T) {
	t.Run("Unchanged", func(t *testing.T) {
		r := newTrustRig(t)
		r.begin()
		before, err := os.Stat(r.kept())
		if err != nil {
			t.Fatal(err)
		}
		r.begin()
		if after, err := os.Stat(r.kept()); err != nil || !os.SameFile(before, after) {
			t.Errorf("the copy was written again, or is gone: %v", err)
		}
		r.damage(r.kept())
		r.begin()
		r.remove(r.policy.Root)
		r.wantBelieved(true)
	})
	t.Run("DraftLeftBehind", func(t *testing.T) {
		r := newTrustRig(t)
		if err := syscall.Mkfifo(r.kept()+".new", 0o600); err != nil {
			t.Fatal(err)
		}
		r.begin()
		r.remove(r.policy.Root)
		r.wantBelieved(true)
		if _, err := os.Lstat(r.kept() + ".new"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the draft is left: %v", err)
		}
	})
	for name, options := range map[string]string{"Full": "size=4k,nr_inodes=1", "ReadOnly": "size=64k"} {
		t.Run(name, func(t *testing.T) {
			r := newTrustRig(t)
			r.state = mountTmpfs(t, options)
			if name == "ReadOnly" {
				remountReadOnly(t, r.state)
			}
			r.begin()
			r.wantBelieved(false)
			r.remove(r.policy.Root)
			r.wantFree() // nothing says that it ever was governed
		})
	}
}

func TestTrust_Changed(t *testing.T) {
	r := newTrustRig(t)
	before := r.read()
	want := func(name string, files ...string) {
		t.Helper()
		if got := r.read().changed(before); !slices.Equal(got, files) {
			t.Errorf("%s: got %q, want %q", name, got, files)
		}
	}
	const root, factory = "policy.root (the file itself)", "policy.factory (the file itself)"
	want("nothing")
	r.write(r.policy.Factory, `{"another": 1}`)
	want("factory", factory)
	r.remove(r.policy.Factory)
	want("no factory", factory)
	r.damage(r.policy.Root)
	want("both", root, factory)
	before = r.read()
	want("as bad as before")
	r.remove(r.policy.Root)
	want("free", root)
}

func TestTrust_WhyUngoverned(t *testing.T) {
	r := newTrustRig(t)
	want := func(words string) {
		t.Helper()
		err := r.read().WhyUngoverned()
		if !errors.Is(err, edge.ErrInvalid) || !strings.Contains(err.Error(), words) || edge.HintOf(err) == "" {
			t.Errorf("got %v with hint %q, want %v that says %q", err, edge.HintOf(err), edge.ErrInvalid, words)
		}
	}
	if err := r.read().WhyUngoverned(); err != nil {
		t.Errorf("a governed node: got %v, want nil", err)
	}
	r.damage(r.policy.Root)
	want("believes nobody, because its root document cannot be used (cannot believe root document")
	r.remove(r.policy.Root)
	want("because it has no root document")
}

// TestAgent_WarnTrust reads anew what came with a node.
func TestAgent_WarnTrust(t *testing.T) {
	r := newTrustRig(t)
	r.begin()
	a := &Agent{trust: r.read(), warnings: newWarnings(newChronicle(slog.New(slog.DiscardHandler)))}
	a.config.Store(&config.Config{Policy: r.policy})
	want := func(name string, warnings ...string) {
		t.Helper()
		a.warnTrust(r.read())
		var got []string
		for _, w := range a.warnings.All() {
			got = append(got, w.Code+" "+w.Subject)
			if w.Remedy == "" || w.Detail == "" {
				t.Errorf("%s: warning %+v lacks words", name, w)
			}
		}
		if !slices.Equal(got, warnings) {
			t.Errorf("%s: got warnings %q, want %q", name, got, warnings)
		}
	}
	flashed, err := os.ReadFile(r.policy.Root)
	if err != nil {
		t.Fatal(err)
	}
	want("as it should be")
	r.remove(r.policy.Root)
	want("gone", "trust-recovered "+r.policy.Root)
	r.remove(r.kept())
	r.write(filepath.Join(r.state, "state.db"), "")
	want("the copy, too", "trust-unusable "+r.policy.Root)
	a.trust = r.read() // after a restart
	r.write(r.policy.Root, string(flashed))
	want("back, and not in force", "trust-unusable "+r.policy.Root)
	a.trust = r.read()
	want("in force")
	r.remove(r.policy.Factory)
	if err := os.Mkdir(r.policy.Factory, 0o755); err != nil {
		t.Fatal(err)
	}
	want("factory", "trust-unusable "+r.policy.Factory)
}

func TestExamineTrust(t *testing.T) {
	r := newTrustRig(t)
	r.begin()
	want := func(name string, levels ...host.Level) []host.Finding {
		t.Helper()
		found := examineTrust(config.Config{Policy: r.policy, Paths: config.Paths{State: r.state}})
		var got []host.Level
		for _, f := range found {
			got = append(got, f.Level)
			if f.Level != host.LevelOK && (f.Remedy == "" || f.Detail == "") {
				t.Errorf("%s: finding %+v lacks words", name, f)
			}
		}
		if !slices.Equal(got, levels) {
			t.Errorf("%s: got %v, want %v", name, got, levels)
		}
		return found
	}
	r.remove(r.policy.Factory)
	want("as it should be", host.LevelOK, host.LevelWarn)
	r.remove(r.policy.Root)
	if got := want("the copy", host.LevelWarn, host.LevelWarn)[0].Detail; !strings.Contains(got, "the copy of version 1") {
		t.Errorf("got %q, want the copy's version", got)
	}
	r.remove(r.kept())
	want("free", host.LevelOK)
	r.write(filepath.Join(r.state, "policy.B"), "")
	want("lost", host.LevelFail)
}
