package privated_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"holdfast/build/privated"
	"holdfast/edge"
)

// bench is one private daemon of a test and what is needed to look into it.
type bench struct {
	*privated.Daemon
	opts   privated.Options
	rootfs string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf-privated-")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		opts:   privated.Options{Dir: dir, CgroupParent: "/" + filepath.Base(dir)},
		rootfs: filepath.Join(dir, "rootfs"),
	}
	t.Cleanup(func() {
		if b.Daemon != nil {
			if err := b.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		os.RemoveAll(dir)
	})
	b.makeRootfs(t)
	b.start(t)
	return b
}

func (b *bench) start(t *testing.T) {
	t.Helper()
	daemon, err := privated.Start(t.Context(), b.opts)
	if err != nil {
		t.Fatal(err)
	}
	b.Daemon = daemon
}

// makeRootfs builds a static program into a folder that can be a root.
func (b *bench) makeRootfs(t *testing.T) {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(b.rootfs, "sleeper"), "./testdata/sleeper")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}

func (b *bench) ctr(t *testing.T, args ...string) string {
	t.Helper()
	args = append([]string{"--address", b.Socket(), "--namespace", "trial"}, args...)
	var out, complaint strings.Builder
	cmd := exec.CommandContext(t.Context(), b.Tool("ctr"), args...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		t.Fatalf("ctr %v: %v\n%s", args, err, complaint.String())
	}
	return out.String()
}

// runContainer starts a sleeping container and returns its pid.
func (b *bench) runContainer(t *testing.T, id string) int {
	t.Helper()
	b.ctr(t, "run", "--detach", "--rootfs",
		"--cgroup", b.opts.CgroupParent+"/"+id, b.rootfs, id, "/sleeper")
	for line := range strings.Lines(b.ctr(t, "tasks", "list")) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == id {
			pid, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("container %q has no task", id)
	return 0
}

// leavings lists what of the bench is still to be seen on the machine.
func (b *bench) leavings(t *testing.T) []string {
	t.Helper()
	var found []string
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, b.opts.Dir+"/") {
			found = append(found, "mount "+strings.Fields(line)[4])
		}
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well formed
	for _, path := range commands {
		if text, _ := os.ReadFile(path); strings.Contains(string(text), b.opts.Dir) {
			found = append(found, "process "+path)
		}
	}
	groups, _ := filepath.Glob("/sys/fs/cgroup/*" + b.opts.CgroupParent)
	for _, path := range groups {
		found = append(found, "cgroup "+path)
	}
	return found
}

// alive tells whether a process still runs; one that only waits to be reaped by
// the machine's first process does not.
func alive(pid int) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	return err == nil && !strings.Contains(string(status), "State:\tZ")
}

func TestDaemon_Close(t *testing.T) {
	t.Run("LeavesNothing", func(t *testing.T) {
		b := newBench(t)
		pid := b.runContainer(t, "one")
		if len(b.leavings(t)) == 0 {
			t.Fatal("a running container must be seen, or this test sees nothing")
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if alive(pid) {
			t.Errorf("container process %d lives on", pid)
		}
		if left := b.leavings(t); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
		if err := b.Close(); err != nil {
			t.Errorf("second close: %v", err)
		}
	})
	t.Run("Discard", func(t *testing.T) {
		b := newBench(t)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b.opts.Discard = true
		b.start(t)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(b.opts.Dir)
		if err != nil || len(entries) != 1 || entries[0].Name() != "lock" {
			t.Errorf("got %v, %v, want the lock alone", entries, err)
		}
	})
	t.Run("AfterDaemonDied", func(t *testing.T) {
		b := newBench(t)
		pid := b.runContainer(t, "one")
		if err := b.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if alive(pid) {
			t.Errorf("container process %d lives on", pid)
		}
		if left := b.leavings(t); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
		b.start(t)
		if got := strings.TrimSpace(b.ctr(t, "containers", "list", "--quiet")); got != "" {
			t.Errorf("a new start still knows %q", got)
		}
	})
}

func TestDaemon_Restart(t *testing.T) {
	b := newBench(t)
	pid := b.runContainer(t, "one")
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	if b.PID() != 0 {
		t.Errorf("got pid %d after kill, want 0", b.PID())
	}
	if err := b.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Error("the container ended with its daemon")
	}
	if got := b.ctr(t, "tasks", "list"); !strings.Contains(got, strconv.Itoa(pid)) {
		t.Errorf("got tasks %q, want pid %d among them", got, pid)
	}
}

func TestStart(t *testing.T) {
	t.Run("ToolsMissing", func(t *testing.T) {
		_, err := privated.Start(t.Context(), privated.Options{Dir: t.TempDir(), ToolsDir: t.TempDir()})
		if !errors.Is(err, edge.ErrNotFound) || edge.HintOf(err) != "run make provision" {
			t.Errorf("got %v with hint %q, want not found and the remedy", err, edge.HintOf(err))
		}
	})
	t.Run("DirInUse", func(t *testing.T) {
		b := newBench(t)
		if err := privated.Clean(b.opts.Dir, b.opts.CgroupParent); err == nil {
			t.Error("clean took the folder of a living daemon")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := privated.Start(ctx, b.opts); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want to wait for the folder until cancelled", err)
		}
	})
	t.Run("LongDir", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 20))
		daemon, err := privated.Start(t.Context(), privated.Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer daemon.Close()
		if got := len(daemon.Socket()); got >= 100 {
			t.Errorf("got a socket path of %d bytes, want less than 100", got)
		}
	})
}
