package containerd_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge"
)

func keeping(user string, volumes ...edge.Volume) edge.Workload {
	w := behave("write", "/data/new", "/data/sub/new")
	w.User, w.Volumes = user, volumes
	return w
}

func TestDriver_Volumes(t *testing.T) {
	n := newNode(t)
	data := edge.Volume{Name: "data", Target: "/data"}
	once := func(t *testing.T, w edge.Workload) (string, error) {
		t.Helper()
		var out strings.Builder
		_, err := n.RunOnce(t.Context(), w, "once", &out)
		return out.String(), err
	}
	path := filepath.Join(n.opts.StateDir, "volumes", "test", "data")
	t.Run("BelongsToItsUser", func(t *testing.T) {
		if got, err := once(t, keeping("", data)); err != nil || !strings.HasPrefix(got, "/data/new true\n") {
			t.Errorf("got %q, %v, want it written", got, err)
		}
	})
	t.Run("StaysWhenTheInstanceGoes", func(t *testing.T) {
		if text, err := os.ReadFile(filepath.Join(path, "new")); err != nil || string(text) != "x" {
			t.Errorf("got %q, %v", text, err)
		}
	})
	t.Run("ForRootAloneOnTheHost", func(t *testing.T) {
		for _, folder := range []string{filepath.Dir(path), filepath.Dir(filepath.Dir(path))} {
			if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s: got %v, %v, want mode 0700", folder, info, err)
			}
		}
	})
	t.Run("ReadOnly", func(t *testing.T) {
		w := keeping("", edge.Volume{Name: "data", Target: "/data", ReadOnly: true})
		if got, err := once(t, w); err != nil || !strings.HasPrefix(got, "/data/new false\n") {
			t.Errorf("got %q, %v, want it refused", got, err)
		}
	})
	t.Run("OfAnotherUser", func(t *testing.T) {
		_, err := once(t, keeping("1234", data))
		if !errors.Is(err, edge.ErrInvalid) || !strings.Contains(edge.HintOf(err), "chown -R 1234:1234 "+path) {
			t.Errorf("got %v (%s), want a refusal with its remedy", err, edge.HintOf(err))
		}
	})
	t.Run("LeftHalfMade", func(t *testing.T) {
		half := filepath.Join(n.opts.StateDir, "volumes", "test", "half")
		if err := os.Mkdir(half, 0o700); err != nil { // as an agent left it that died before the owner was set
			t.Fatal(err)
		}
		if got, err := once(t, keeping("", edge.Volume{Name: "half", Target: "/data"})); err != nil || !strings.HasPrefix(got, "/data/new true\n") {
			t.Errorf("got %q, %v, want it written", got, err)
		}
	})
	t.Run("LinkInItsPlace", func(t *testing.T) {
		if err := os.Symlink("/etc", filepath.Join(n.opts.StateDir, "volumes", "test", "link")); err != nil {
			t.Fatal(err)
		}
		if got, err := once(t, keeping("", edge.Volume{Name: "link", Target: "/data"})); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %q, %v, want edge.ErrInvalid", got, err)
		}
	})
	t.Run("HostileNames", func(t *testing.T) {
		for _, name := range []string{"..", "../../logs", "a/b", ".gone-x", ""} {
			if _, err := once(t, keeping("", edge.Volume{Name: name, Target: "/data"})); !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("%q: got %v, want edge.ErrInvalid", name, err)
			}
			if err := n.RemoveVolume(t.Context(), "test", name); !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("%q: got %v, want edge.ErrInvalid", name, err)
			}
		}
	})
}

func TestDriver_RemoveVolume(t *testing.T) {
	n := newNode(t)
	w := behave("sleep")
	w.Volumes = []edge.Volume{{Name: "data", Target: "/data"}, {Name: "more", Target: "/more"}}
	n.start(t, w, "user")
	path := filepath.Join(n.opts.StateDir, "volumes", "test", "data")
	if err := os.WriteFile(filepath.Join(path, "file"), make([]byte, 100<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("Listed", func(t *testing.T) {
		views, err := n.Volumes(t.Context())
		if err != nil || len(views) != 2 || views[0].Key() != "test/data" || views[0].Size < 100<<10 || len(views[0].Used) != 1 || views[0].Used[0] != "user" {
			t.Errorf("got %+v, %v", views, err)
		}
	})
	t.Run("InUse", func(t *testing.T) {
		if err := n.RemoveVolume(t.Context(), "test", "data"); !errors.Is(err, edge.ErrExists) || !strings.Contains(err.Error(), "user") {
			t.Errorf("got %v, want edge.ErrExists", err)
		}
		if _, err := os.Stat(filepath.Join(path, "file")); err != nil {
			t.Error(err)
		}
	})
	if err := n.Remove(t.Context(), "user"); err != nil {
		t.Fatal(err)
	}
	t.Run("Unused", func(t *testing.T) {
		if err := n.RemoveVolume(t.Context(), "test", "data"); err != nil {
			t.Fatal(err)
		}
		if views, err := n.Volumes(t.Context()); err != nil || len(views) != 1 || views[0].Name != "more" {
			t.Errorf("got %+v, %v, want the other one alone", views, err)
		}
	})
	t.Run("NotThere", func(t *testing.T) {
		if err := n.RemoveVolume(t.Context(), "test", "data"); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("got %v, want edge.ErrNotFound", err)
		}
	})
	t.Run("CutOff", func(t *testing.T) {
		gone := filepath.Join(n.opts.StateDir, "volumes", "test", ".gone-more")
		if err := os.Rename(filepath.Join(n.opts.StateDir, "volumes", "test", "more"), gone); err != nil {
			t.Fatal(err)
		}
		if views, err := n.Volumes(t.Context()); err != nil || len(views) != 0 {
			t.Errorf("got %+v, %v, want none", views, err)
		}
		n.again(t)
		if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want it removed at the next start", err)
		}
	})
}
