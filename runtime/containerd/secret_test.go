package containerd_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// hush is no word that could stand anywhere by chance.
const hush = "xyzzy-not-to-be-found-7f3a"

// trusting is a node that knows one secret.
func trusting(t *testing.T) *node {
	t.Helper()
	n := newNode(t)
	n.inMemory(t)
	n.opts.Secret = func(s edge.Secret) ([]byte, error) {
		if s.Name != "db" {
			return nil, edge.WithHint(fmt.Errorf("there is no such secret: %w", edge.ErrNotFound), "put it there")
		}
		return []byte(hush + s.Version), nil
	}
	n.Driver = n.again(t)
	return n
}

// inMemory makes sure that secrets lie where they may, whatever /run is on a machine
// of tests, and that none stays there.
func (n *node) inMemory(t *testing.T) {
	t.Helper()
	folder := filepath.Join(n.opts.RunDir, "secrets")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", folder, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=1m,mode=0700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.clear(t)
		left, err := filepath.Glob(filepath.Join(folder, "*", "*"))
		if len(left) > 0 || err != nil {
			t.Errorf("left behind: %v, %v", left, err)
		}
		if err := unix.Unmount(folder, 0); err != nil {
			t.Error(err)
		}
	})
}

func confided(secrets ...edge.Secret) edge.Workload {
	w := behave("show", "/run/secrets/db")
	w.Secrets = secrets
	return w
}

func TestDriver_Secrets(t *testing.T) {
	n := trusting(t)
	instance := n.start(t, confided(edge.Secret{Name: "db", Version: "1"}, edge.Secret{Name: "db", Path: "/etc/app/db.key", Mode: 0o440}), "told")
	inside := fmt.Sprintf("/proc/%d/root", instance.PID)
	t.Run("ReadByItsUser", func(t *testing.T) {
		text, err := os.ReadFile(instance.LogPath) // the program prints it, as none should
		if err != nil || !strings.HasPrefix(string(text), hush+"1") {
			t.Errorf("got %q, %v, want what the secret is", text, err)
		}
	})
	t.Run("ForItsUserAlone", func(t *testing.T) {
		for path, want := range map[string]string{"/run/secrets/db": "-r-------- 65532 65532", "/etc/app/db.key": "-r--r----- 65532 65532"} {
			info, err := os.Stat(inside + path)
			if err != nil {
				t.Fatal(err)
			}
			who, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				t.Fatalf("no owner of %s", path)
			}
			if got := fmt.Sprintf("%v %d %d", info.Mode(), who.Uid, who.Gid); got != want {
				t.Errorf("%s is %s, want %s", path, got, want)
			}
		}
	})
	t.Run("MountedHardened", func(t *testing.T) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", instance.PID))
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if fields[4] != "/run/secrets/db" && fields[4] != "/etc/app/db.key" {
				continue
			}
			found++
			for _, option := range []string{"ro", "nosuid", "nodev", "noexec"} {
				if !strings.Contains(","+fields[5]+",", ","+option+",") {
					t.Errorf("%s is mounted with %s, want %s", fields[4], fields[5], option)
				}
			}
			if !strings.Contains(line, " - tmpfs ") {
				t.Errorf("%s does not lie in memory: %s", fields[4], line)
			}
		}
		if found != 2 {
			t.Errorf("got %d mounts of secrets, want 2", found)
		}
	})
	t.Run("InNoRecord", func(t *testing.T) {
		record := n.ctr(t.Context(), "containers", "info", "told")
		if !strings.Contains(record, "/run/secrets/db") || strings.Contains(record, hush) {
			t.Errorf("the daemon's record holds the secret, or not its path:\n%s", record)
		}
		if strings.Contains(n.log.String(), hush) {
			t.Error("the driver's log holds the secret")
		}
		for _, folder := range []string{shared.dir, filepath.Join(n.opts.StateDir, "import"), filepath.Join(n.opts.RunDir, "runc")} {
			if found := grep(t, folder, hush); found != "" {
				t.Errorf("%s holds the secret", found)
			}
		}
	})
	t.Run("KeptOverRestartOfAgent", func(t *testing.T) {
		if adopted, err := n.again(t).Instances(t.Context()); err != nil || len(adopted) != 1 || !adopted[0].Running {
			t.Errorf("got %+v, %v, want it running", adopted, err)
		}
		if got, err := os.ReadFile(inside + "/run/secrets/db"); err != nil || string(got) != hush+"1" {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("GoneWithTheInstance", func(t *testing.T) {
		folder := filepath.Join(n.opts.RunDir, "secrets", n.opts.Namespace)
		if entries, err := os.ReadDir(folder); err != nil || len(entries) != 1 {
			t.Fatalf("got %v, %v, want the folder of one instance", entries, err)
		}
		if err := n.Remove(t.Context(), "told"); err != nil {
			t.Fatal(err)
		}
		if entries, err := os.ReadDir(folder); err != nil || len(entries) != 0 {
			t.Errorf("got %v, %v, want nothing", entries, err)
		}
	})
}

// grep finds a file below a folder that holds a word; sockets and pipes hold none.
func grep(t *testing.T, folder, word string) (found string) {
	t.Helper()
	looked := 0
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it goes while it is looked at
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		looked++
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(word)) {
			found = path
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("looked into %d files below %s", looked, folder)
	return found
}

// TestGrep is the negative control of the search.
func TestGrep(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "a"), []byte("before "+hush+" after"), 0o600); err != nil {
		t.Fatal(err)
	}
	if grep(t, folder, hush) == "" || grep(t, folder, hush+"x") != "" {
		t.Error("the search does not find what is there, or finds what is not")
	}
}

func TestDriver_SecretsRefused(t *testing.T) {
	n := trusting(t)
	t.Run("Missing", func(t *testing.T) {
		_, err := n.Start(t.Context(), confided(edge.Secret{Name: "other"}), "refused")
		if !errors.Is(err, edge.ErrNotFound) || !strings.Contains(err.Error(), `secret "other"`) || edge.HintOf(err) != "put it there" {
			t.Errorf("got %v (%s), want a refusal that names it", err, edge.HintOf(err))
		}
	})
	t.Run("NoneOnTheNode", func(t *testing.T) {
		n.opts.Secret = nil
		if _, err := n.again(t).Start(t.Context(), confided(edge.Secret{Name: "db"}), "refused"); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("got %v, want edge.ErrNotFound", err)
		}
	})
	t.Run("NotInMemory", func(t *testing.T) {
		opts := n.opts
		opts.RunDir, opts.Secret = t.TempDir(), func(edge.Secret) ([]byte, error) { return []byte(hush), nil }
		driver, err := containerd.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := driver.Open(); err != nil {
			t.Fatal(err)
		}
		defer driver.Close()
		if _, err := driver.Start(t.Context(), confided(edge.Secret{Name: "db"}), "refused"); !errors.Is(err, edge.ErrInvalid) || !strings.Contains(edge.HintOf(err), "paths.run") {
			t.Errorf("got %v (%s), want a refusal", err, edge.HintOf(err))
		}
		if found := grep(t, opts.RunDir, hush); found != "" {
			t.Errorf("%s holds the secret", found)
		}
	})
	t.Run("TwoAtOnePlace", func(t *testing.T) {
		w := confided(edge.Secret{Name: "db"})
		w.Binds = []edge.Bind{{Source: "/etc", Target: "/run/secrets/db"}}
		if _, err := n.Start(t.Context(), w, "refused"); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want edge.ErrInvalid", err)
		}
	})
}

// TestDriver_SecretsSwept: an agent that died between two steps, and a daemon that
// forgot everything, leave no secret behind.
func TestDriver_SecretsSwept(t *testing.T) {
	n := trusting(t)
	left := filepath.Join(n.opts.RunDir, "secrets", n.opts.Namespace, "forgotten")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(left, "0"), []byte(hush), 0o400); err != nil {
		t.Fatal(err)
	}
	n.sweepUntil(t, func() bool {
		_, err := os.Stat(left)
		return errors.Is(err, os.ErrNotExist)
	})
}
