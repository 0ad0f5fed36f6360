package containerd_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"holdfast/edge"
	"holdfast/runtime"
	"holdfast/runtime/containerd"
	"holdfast/runtime/drivertest"
)

func TestDriver_Suite(t *testing.T) {
	drivertest.Suite(t, func(t *testing.T) drivertest.Bench {
		n := newNode(t)
		return drivertest.Bench{
			Driver:    n.Driver,
			Again:     func() runtime.Driver { return n.again(t) },
			Ready:     awaitReady,
			Elsewhere: func() runtime.Driver { return newNode(t).Driver },
			Halted:    n.Halted,
			Bounce:    func(ctx context.Context) error { return errors.Join(shared.daemon.Kill(), shared.daemon.Restart(ctx)) },
			Tools: &drivertest.Tools{
				Echo: func() edge.Workload { return tool("echo") },
				Fail: func(code int) edge.Workload { return tool("exit", strconv.Itoa(code)) },
				Hang: func() edge.Workload { return tool("ignore") },
			},
			Commands: &drivertest.Commands{
				Exit:  func(code int) []string { return []string{"/testprog", "exit", strconv.Itoa(code)} },
				Says:  []string{"/testprog", "write", "/proc/nothing"},
				Hangs: []string{"/testprog", "ignore"},
			},
			Workloads: drivertest.Workloads{
				Talk:       func(lines int) edge.Workload { return behave("lines", strconv.Itoa(lines)) },
				Exit:       func(code int) edge.Workload { return behave("exit", strconv.Itoa(code)) },
				Sleep:      func() edge.Workload { return behave("sleep") },
				IgnoreTerm: func() edge.Workload { return behave("ignore") },
				Unknown: func() edge.Workload {
					w := behave("sleep")
					w.Image = "test.local/none:1"
					return w
				},
				EatMemory: func() edge.Workload {
					w := behave("eat")
					w.Limits.Memory = 16 << 20
					return w
				},
			},
		}
	})
}

func TestNew(t *testing.T) {
	for name, opts := range map[string]containerd.Options{
		"NoFolders":       {},
		"RelativeFolders": {StateDir: "state", RunDir: "run"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := containerd.New(opts); !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("got %v, want %v", err, edge.ErrInvalid)
			}
		})
	}
}

func TestDriver_OpenClearsPipes(t *testing.T) {
	run := t.TempDir()
	left := filepath.Join(run, "fifo", "1", "exec-x-stdout") // of a command whose agent was killed
	err := os.MkdirAll(filepath.Dir(left), 0o700)
	if err == nil {
		err = syscall.Mkfifo(left, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error) // like a shim, for somebody to read
	go func() {
		pipe, err := os.OpenFile(left, os.O_WRONLY, 0)
		if err == nil {
			err = pipe.Close()
		}
		waiting <- err
	}()
	driver, err := containerd.New(containerd.Options{Address: "/run/hft-none.sock", StateDir: t.TempDir(), RunDir: run})
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.Open(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil && !errors.Is(err, os.ErrNotExist) { // it may come only now
		t.Error(err)
	}
	if entries, err := os.ReadDir(filepath.Join(run, "fifo")); err != nil || len(entries) > 0 {
		t.Errorf("the folder of pipes holds %v (%v), want an empty one", entries, err)
	}
}

func TestDriver_Unreachable(t *testing.T) {
	driver, err := containerd.New(containerd.Options{Address: "/run/hft-none.sock", StateDir: t.TempDir(), RunDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.Open(); err != nil {
		t.Fatalf("a driver must open without its daemon: %v", err)
	}
	_, err = driver.Instances(t.Context())
	if !errors.Is(err, edge.ErrUnavailable) || edge.HintOf(err) == "" {
		t.Errorf("got %v with hint %q, want %v with a hint", err, edge.HintOf(err), edge.ErrUnavailable)
	}
	for range 2 {
		if err := driver.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if _, err := driver.Start(context.Background(), behave("sleep"), "x"); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("got %v from a closed driver, want %v", err, edge.ErrUnavailable)
	}
}
