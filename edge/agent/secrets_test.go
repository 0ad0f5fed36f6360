package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/seal"
)

// jailer has a keychain with the folders of a node, and what it passed on last.
type jailer struct {
	*keychain
	t      *testing.T
	policy *edge.Policy
	passed []edge.Workload
	times  int
}

func newJailer(t *testing.T) *jailer {
	t.Helper()
	r := &jailer{t: t}
	root := t.TempDir()
	r.keychain = &keychain{
		state: filepath.Join(root, "state"), credentials: filepath.Join(root, "credentials"), versions: map[string]string{},
		policy: func() *edge.Policy { return r.policy },
		apply:  func(w []edge.Workload) { r.passed, r.times = w, r.times+1 },
	}
	for _, folder := range []string{r.state, r.credentials, filepath.Join(r.state, secretsName)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func (r *jailer) write(value string, mode fs.FileMode, path ...string) {
	r.t.Helper()
	name := filepath.Join(path...)
	if err := os.WriteFile(name, []byte(value), mode); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		r.t.Fatal(err)
	}
}

func (r *jailer) own(name, value string) { r.write(value, 0o600, r.state, secretsName, name) }

// version is that of the secret of the first workload, as it was passed on.
func (r *jailer) version() string { return r.passed[0].Secrets[0].Version }

func telling(name string) []edge.Workload {
	return []edge.Workload{{App: "line", Name: "web", Secrets: []edge.Secret{{Name: name}}}}
}

func TestKeychain_Value(t *testing.T) {
	r := newJailer(t)
	r.Open()
	want := func(t *testing.T, name, want string) {
		t.Helper()
		got, err := r.Value(edge.Secret{Name: name})
		if err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	r.own("db", "of the node")
	t.Run("OfTheNode", func(t *testing.T) { want(t, "db", "of the node") })
	r.write("of systemd", 0o400, r.credentials, credentialPrefix+"db")
	t.Run("OfSystemd", func(t *testing.T) { want(t, "db", "of systemd") })
	public, made, err := NodeKey(r.state)
	if err != nil || !made {
		t.Fatalf("got %t, %v, want a new key", made, err)
	}
	sealed, err := seal.Seal([]byte("of the policy"), []string{public})
	if err != nil {
		t.Fatal(err)
	}
	r.policy = &edge.Policy{Secrets: map[string]edge.SealedSecret{"db": {Sealed: sealed}}}
	t.Run("OfThePolicy", func(t *testing.T) { want(t, "db", "of the policy") })
	t.Run("SealedForOthers", func(t *testing.T) {
		stranger, err := seal.Generate()
		if err != nil {
			t.Fatal(err)
		}
		r.write(string(stranger.Text()), 0o600, r.state, NodeKeyName)
		got, err := r.Value(edge.Secret{Name: "db"})
		if !errors.Is(err, edge.ErrInvalid) || got != nil || !strings.Contains(edge.HintOf(err), stranger.Recipient()) {
			t.Errorf("got %q, %v (%s), want a refusal, and no other value in its place", got, err, edge.HintOf(err))
		}
	})
	t.Run("WithoutKey", func(t *testing.T) {
		if err := os.Remove(filepath.Join(r.state, NodeKeyName)); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Value(edge.Secret{Name: "db"}); !errors.Is(err, edge.ErrNotFound) || !strings.Contains(edge.HintOf(err), "node-key") {
			t.Errorf("got %v (%s), want what to do", err, edge.HintOf(err))
		}
	})
	t.Run("Nowhere", func(t *testing.T) {
		_, err := r.Value(edge.Secret{Name: "other"})
		if !errors.Is(err, edge.ErrNotFound) || !strings.Contains(edge.HintOf(err), "policy seal other") {
			t.Errorf("got %v (%s), want what to do", err, edge.HintOf(err))
		}
	})
	t.Run("PathForName", func(t *testing.T) {
		if _, err := r.Value(edge.Secret{Name: "../secret-versions.key"}); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want edge.ErrInvalid", err)
		}
	})
}

func TestKeychain_ReadsPrivateFilesOnly(t *testing.T) {
	for name, spoil := range map[string]func(*jailer){
		"ReadByOthers":     func(r *jailer) { r.write("x", 0o640, r.state, secretsName, "db") },
		"FolderOfOthers":   func(r *jailer) { r.own("db", "x"); os.Chmod(filepath.Join(r.state, secretsName), 0o770) },
		"OwnedByAnother":   func(r *jailer) { r.own("db", "x"); os.Chown(filepath.Join(r.state, secretsName, "db"), 1234, 1234) },
		"Empty":            func(r *jailer) { r.own("db", "") },
		"TooLarge":         func(r *jailer) { r.own("db", strings.Repeat("x", edge.MaxSecret+1)) },
		"FolderInItsStead": func(r *jailer) { os.Mkdir(filepath.Join(r.state, secretsName, "db"), 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newJailer(t)
			r.Open()
			spoil(r)
			if got, err := r.Value(edge.Secret{Name: "db"}); !errors.Is(err, edge.ErrInvalid) || got != nil {
				t.Errorf("got %q, %v, want edge.ErrInvalid", got, err)
			}
		})
	}
}

func TestKeychain_Versions(t *testing.T) {
	r := newJailer(t)
	r.own("db", "first")
	r.Desire(telling("db"))
	if r.times != 0 {
		t.Fatal("the state folder was used before it was the agent's")
	}
	r.Open()
	first := r.version()
	if first == "" || strings.Contains(first, "first") {
		t.Fatalf("got version %q, want one that tells nothing", first)
	}
	t.Run("SameAfterRestart", func(t *testing.T) {
		again := &jailer{t: t}
		again.keychain = &keychain{state: r.state, versions: map[string]string{}, policy: r.keychain.policy, apply: func(w []edge.Workload) { again.passed = w }}
		again.Open()
		again.Desire(telling("db"))
		if got := again.version(); got != first {
			t.Errorf("got %q, want %q: instances would be replaced", got, first)
		}
	})
	t.Run("AnotherOnEveryNode", func(t *testing.T) {
		other := newJailer(t)
		other.own("db", "first")
		other.Open()
		other.Desire(telling("db"))
		if other.version() == first {
			t.Error("two nodes give the same value the same version, so it can be guessed by trying values")
		}
	})
	t.Run("NothingNew", func(t *testing.T) {
		before := r.times
		if r.Look(); r.times != before {
			t.Error("what should run was passed on again for nothing")
		}
	})
	t.Run("Changed", func(t *testing.T) {
		r.own("db", "second")
		if r.Look(); r.version() == first {
			t.Error("another value has the same version")
		}
	})
	second := r.version()
	t.Run("GoneKeepsWhatRuns", func(t *testing.T) {
		if err := os.Remove(filepath.Join(r.state, secretsName, "db")); err != nil {
			t.Fatal(err)
		}
		r.Look()
		if r.Desire(telling("db")); r.version() != second {
			t.Errorf("got version %q, want %q as before", r.version(), second)
		}
	})
	t.Run("ChangedBetweenTwoLooks", func(t *testing.T) {
		r.own("db", "third")
		got, err := r.Value(edge.Secret{Name: "db", Version: second})
		if err != nil || string(got) != "third" || r.version() == second {
			t.Errorf("got %q, %v, version %q, want the new value and its version passed on", got, err, r.version())
		}
	})
	t.Run("WithoutSecretsAtOnce", func(t *testing.T) {
		plain := newJailer(t)
		plain.Desire([]edge.Workload{{App: "a", Name: "b"}})
		if _, err := os.Stat(filepath.Join(plain.state, versionKeyName)); plain.times != 1 || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("passed on %d times, key: %v; want it passed on at once, without touching the state folder", plain.times, err)
		}
	})
}

func TestNodeKey(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	first, made, err := NodeKey(state)
	if err != nil || !made || !strings.HasPrefix(first, "age1") {
		t.Fatalf("got %q, %t, %v", first, made, err)
	}
	info, err := os.Stat(filepath.Join(state, NodeKeyName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want mode 0600", info, err)
	}
	if again, made, err := NodeKey(state); err != nil || made || again != first {
		t.Errorf("got %q, %t, %v, want %q again", again, made, err, first)
	}
	if err := os.WriteFile(filepath.Join(state, NodeKeyName), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := NodeKey(state); !errors.Is(err, edge.ErrInvalid) {
		t.Errorf("got %v, want a damaged key refused and not replaced", err)
	}
}
