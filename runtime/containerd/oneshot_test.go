package containerd_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/runtime/oneshot"
)

// tool is a one-shot workload of the test image.
func tool(args ...string) edge.Workload {
	w := behave(args...)
	w.Serve = &edge.Serve{Model: "tool", OneShot: &edge.OneShot{}}
	return w
}

// onFiles is a tool that finds and leaves files.
func onFiles(args ...string) edge.Workload {
	w := tool(args...)
	w.Serve.OneShot = &edge.OneShot{Input: "/in/data", Output: "/out/data"}
	return w
}

const mostOutput = 4 << 20

// ready makes a container that is taken away at the end of the test.
func (n *node) ready(t testing.TB, w edge.Workload, id string) oneshot.Container {
	t.Helper()
	made, err := n.Ready(t.Context(), w, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(made.Close(), n.Remove(context.Background(), id)); err != nil {
			t.Error(err)
		}
	})
	return made
}

// task runs a tool once.
func (n *node) task(t testing.TB, w edge.Workload, id string, input []byte) oneshot.Result {
	t.Helper()
	result, err := n.ready(t, w, id).Run(t.Context(), oneshot.Order{Input: input, Class: edge.Urgent, Most: mostOutput})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestDriver_OneShot(t *testing.T) {
	n := newNode(t)
	input := bytes.Repeat([]byte("a real line of input\n"), 100_000) // more than any pipe holds
	t.Run("Streams", func(t *testing.T) {
		got := n.task(t, tool("echo"), "streams", input)
		if got.Exit.Code != 0 || !bytes.Equal(got.Output, input) || got.Complaint != "2100000 <nil>" {
			t.Errorf("got %d bytes, %v, %q, want the %d of the input", len(got.Output), got.Exit, got.Complaint, len(input))
		}
	})
	t.Run("NoInput", func(t *testing.T) {
		if got := n.task(t, tool("echo"), "none", nil); got.Exit.Code != 0 || len(got.Output) != 0 {
			t.Errorf("got %+v, want nothing", got)
		}
	})
	t.Run("Files", func(t *testing.T) {
		got := n.task(t, onFiles("copy", "/in/data", "/out/data"), "files", input)
		if got.Exit.Code != 0 || got.Missing != nil || !bytes.Equal(got.Output, input) {
			t.Errorf("got %d bytes, %+v, %v, want the %d of the input", len(got.Output), got.Exit, got.Missing, len(input))
		}
	})
	t.Run("InputIsReadOnly", func(t *testing.T) {
		got := n.task(t, onFiles("copy", "/out/data", "/in/data"), "readonly", input)
		if got.Exit.Code == 0 || !strings.Contains(got.Complaint, "no such file") {
			t.Errorf("got %+v, want a failure", got)
		}
		got = n.task(t, onFiles("copy", "/in/data", "/in/other"), "readonly2", input)
		if !strings.Contains(got.Complaint, "read-only file system") {
			t.Errorf("got %+v, want that nothing can be written beside the input", got)
		}
	})
	t.Run("NoFile", func(t *testing.T) {
		if got := n.task(t, onFiles("exit", "0"), "nofile", nil); got.Missing == nil {
			t.Errorf("got %+v, want that there is no file", got)
		}
	})
	t.Run("LinkIsNotFollowed", func(t *testing.T) {
		if got := n.task(t, onFiles("link", "/etc/passwd", "/out/data"), "link", nil); got.Missing == nil || len(got.Output) > 0 {
			t.Errorf("got %q, %v, want no output", got.Output, got.Missing)
		}
	})
	t.Run("Code", func(t *testing.T) {
		got := n.task(t, tool("fail", "7"), "code", input)
		if got.Exit.Code != 7 || !strings.HasSuffix(got.Complaint, "complaint 1999") || len(got.Complaint) > 4096 {
			t.Errorf("got %v with %d bytes of complaints, want code 7 and the last of them", got.Exit, len(got.Complaint))
		}
	})
	t.Run("TooMuch", func(t *testing.T) {
		if got := n.task(t, tool("flood"), "flood", nil); !got.Excess || got.Exit.Signal != "SIGKILL" {
			t.Errorf("got %+v, want that it was killed for writing too much", got.Exit)
		}
		made := n.ready(t, onFiles("copy", "/in/data", "/out/data"), "floodfile")
		got, err := made.Run(t.Context(), oneshot.Order{Input: input, Most: int64(len(input) - 1)})
		if err != nil || !got.Excess || len(got.Output) > 0 {
			t.Errorf("got %d bytes, %v, want that they are too many", len(got.Output), err)
		}
	})
	t.Run("Memory", func(t *testing.T) {
		w := tool("eat")
		w.Limits.Memory = 16 << 20
		if got := n.task(t, w, "eat", nil); !got.Exit.OOM {
			t.Errorf("got %+v, want that it was killed at its limit", got.Exit)
		}
	})
	t.Run("Hardened", func(t *testing.T) {
		got := string(n.task(t, tool("copy", "/proc/self/status", "-"), "status", nil).Output)
		for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n", "CapEff:\t0000000000000000\n", "CapBnd:\t0000000000000000\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("got\n%s\nwant %q in it", got, want)
			}
		}
	})
	t.Run("NotOneShot", func(t *testing.T) {
		if _, err := n.Ready(t.Context(), behave("echo"), "server"); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want %v", err, edge.ErrInvalid)
		}
	})
}

func TestDriver_OneShotIsKilled(t *testing.T) {
	n := newNode(t)
	for _, program := range []string{"ignore", "spin"} {
		made := n.ready(t, tool(program), program)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		begun := time.Now()
		got, err := made.Run(ctx, oneshot.Order{Most: mostOutput})
		cancel()
		if err != nil || got.Exit.Signal != "SIGKILL" || string(got.Output) != "ready\n" {
			t.Errorf("%s: got %+v, %v, want that it was killed at work", program, got, err)
		}
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("%s: took %v to be dead", program, took)
		}
		for line := range strings.Lines(n.ctr(t.Context(), "tasks", "list")) {
			if strings.HasPrefix(line, program+" ") && !strings.Contains(line, "STOPPED") {
				t.Errorf("still there: %s", line)
			}
		}
	}
}

// What an agent leaves that is killed while containers stand ready, and while one is at
// work, is not taken for instances, and is found and taken away by the next.
func TestDriver_OneShotRemnants(t *testing.T) {
	n := newNode(t)
	for _, id := range []string{"warm", "busy"} {
		if _, err := n.Ready(t.Context(), tool("ignore"), id); err != nil {
			t.Fatal(err)
		}
	}
	busy, err := n.Ready(t.Context(), tool("ignore"), "atwork")
	if err != nil {
		t.Fatal(err)
	}
	ended := n.runInBackground(context.WithoutCancel(t.Context()), t, busy)
	next := n.again(t)
	list, err := next.Instances(t.Context())
	if err != nil || len(list) != 0 {
		t.Errorf("got %v, %v, want no instances", list, err)
	}
	if logs, _ := filepath.Glob(filepath.Join(n.opts.StateDir, "logs", "*")); len(logs) > 0 { // the pattern is well formed
		t.Errorf("got %v written to flash", logs)
	}
	left, err := next.Remnants(t.Context())
	if want := []string{"atwork", "busy", "warm"}; err != nil || !slices.Equal(left, want) {
		t.Errorf("got %v, %v, want %v", left, err, want)
	}
	for _, id := range left {
		if err := next.Remove(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if got := <-ended; got.Exit.Signal != "SIGKILL" {
		t.Errorf("got %+v, want that it was killed", got.Exit)
	}
	if left, err := next.Remnants(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v, want nothing", left, err)
	}
}

func TestDriver_OneShotOutlivesTheDaemon(t *testing.T) {
	n := newNode(t)
	warm, busy := n.ready(t, tool("echo"), "warm"), n.ready(t, tool("ignore"), "busy")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := n.runInBackground(ctx, t, busy)
	if err := shared.daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := shared.daemon.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := await(t.Context(), func() bool { _, err := n.Remnants(t.Context()); return err == nil }); err != nil {
		t.Fatal("the daemon is never back")
	}
	got, err := warm.Run(t.Context(), oneshot.Order{Input: []byte("after"), Most: mostOutput})
	if err != nil || string(got.Output) != "after" {
		t.Errorf("got %+v, %v, want what it was given", got, err)
	}
	cancel()
	if got := <-ended; got.Exit.Signal != "SIGKILL" {
		t.Errorf("got %+v, want that what was at work all the while was killed", got.Exit)
	}
}

// runInBackground returns once the program runs.
func (n *node) runInBackground(ctx context.Context, t *testing.T, container oneshot.Container) <-chan oneshot.Result {
	t.Helper()
	ended := make(chan oneshot.Result, 1)
	go func() {
		result, err := container.Run(ctx, oneshot.Order{Most: mostOutput})
		if err != nil {
			t.Error(err)
		}
		ended <- result
	}()
	if err := await(t.Context(), func() bool { return strings.Contains(n.ctr(t.Context(), "tasks", "list"), "RUNNING") }); err != nil {
		t.Fatal("never at work")
	}
	return ended
}

// A tool that stands ready hears of those who come to its networks meanwhile.
func TestDriver_OneShotOnNetwork(t *testing.T) {
	n := newNode(t)
	before := bridges(t)
	caller := on("line", "caller", []string{"back"}, "call", "db:7000")
	caller.Serve = tool().Serve
	made := n.ready(t, caller, "caller")
	n.start(t, on("line", "db", []string{"back"}, "answer", "i am the database"), "db")
	got, err := made.Run(t.Context(), oneshot.Order{Most: mostOutput})
	if want := "db:7000 i am the database\n"; err != nil || string(got.Output) != want {
		t.Errorf("got %+v, %v, want %q", got, err, want)
	}
	if err := errors.Join(made.Close(), n.Remove(t.Context(), "caller"), n.Remove(t.Context(), "db")); err != nil {
		t.Error(err)
	}
	n.wantNoNetworks(t, before)
}
