package containerd_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// TestDriver_StartFails holds failures of every step of a start against what they
// leave: newNode looks at the end, this test right after each.
func TestDriver_StartFails(t *testing.T) {
	n := newNode(t)
	with := func(change func(*edge.Workload)) edge.Workload {
		w := behave("sleep")
		change(&w)
		return w
	}
	for name, test := range map[string]struct {
		workload edge.Workload
		id       string
		want     error // nil: any
	}{
		"NoProgram":      {workload: with(func(w *edge.Workload) { w.Entrypoint = []string{"/none"} })},
		"NotExecutable":  {workload: with(func(w *edge.Workload) { w.Entrypoint = []string{"/proc/version"} })},
		"UnknownCap":     {workload: with(func(w *edge.Workload) { w.Security.CapAdd = []string{"FLY"} }), want: edge.ErrInvalid},
		"AllCaps":        {workload: with(func(w *edge.Workload) { w.Security.CapAdd = []string{"ALL"} }), want: edge.ErrInvalid},
		"NegativeMemory": {workload: with(func(w *edge.Workload) { w.Limits.Memory = -1 }), want: edge.ErrInvalid},
		"TooLittleCPU":   {workload: with(func(w *edge.Workload) { w.Limits.CPUs = 0.001 }), want: edge.ErrInvalid},
		"TooLittleRAM":   {workload: with(func(w *edge.Workload) { w.Limits.Memory = 4096 })},
		"UnknownSignal":  {workload: with(func(w *edge.Workload) { w.StopSignal = "SIGNONE" }), want: edge.ErrInvalid},
		"TmpfsOnProc":    {workload: with(func(w *edge.Workload) { w.Tmpfs = []edge.Tmpfs{{Path: "/proc"}} }), want: edge.ErrInvalid},
		"TmpfsRelative":  {workload: with(func(w *edge.Workload) { w.Tmpfs = []edge.Tmpfs{{Path: "tmp"}} }), want: edge.ErrInvalid},
		"RelativeFolder": {workload: with(func(w *edge.Workload) { w.WorkingDir = "x" }), want: edge.ErrInvalid},
		"Endpoint":       {workload: with(func(w *edge.Workload) { w.Serve = &edge.Serve{Endpoint: "tcp://x"} }), want: edge.ErrInvalid},
		"LongSocket": {workload: with(func(w *edge.Workload) {
			w.Serve = &edge.Serve{Endpoint: "unix:///run/model/" + strings.Repeat("s", 100)}
		}), want: edge.ErrInvalid},
		"LongLabel": {workload: with(func(w *edge.Workload) { w.Name = strings.Repeat("n", 5000) }), want: edge.ErrInvalid},
		"BadID":     {workload: behave("sleep"), id: "../x", want: edge.ErrInvalid},
		"EmptyID":   {workload: behave("sleep"), id: " ", want: edge.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			id := test.id
			if id == "" {
				id = "failing"
			}
			_, err := n.Start(t.Context(), test.workload, id)
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if left := n.leavings(t.Context()); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	t.Run("LeavingsAreSeen", func(t *testing.T) {
		n.start(t, behave("sleep"), "control")
		got := strings.Join(n.leavings(t.Context()), "\n")
		for _, kind := range []string{"container ", "task ", "snapshot ", "mount ", "shim ", "cgroup ", "file "} {
			if !strings.Contains("\n"+got, "\n"+kind) {
				t.Errorf("got leavings of a running instance without a %s:\n%s", kind, got)
			}
		}
	})
}

func TestDriver_StartCancelled(t *testing.T) {
	n := newNode(t)
	// The context ends at every stage of a start, the first before it begins.
	for step := range 12 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(step)*8*time.Millisecond)
		id := fmt.Sprintf("cancelled-%d", step)
		_, err := n.Start(ctx, behave("sleep"), id)
		cancel()
		if err == nil {
			if err := n.Remove(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if left := n.leavings(t.Context()); len(left) > 0 {
			t.Fatalf("step %d, %v: left behind: %v", step, err, left)
		}
	}
}

func TestDriver_UnusualNames(t *testing.T) {
	n := newNode(t)
	w := behave("sleep")
	w.App, w.Name = "plant 1", "größe_größe_größe_größe_größe_größe_größe_größe_größe_größe_größe"
	n.start(t, w, "odd")
	if got := n.instance(t, "odd").Workload; got != w.Key() {
		t.Errorf("got workload %q, want %q", got, w.Key())
	}
}

func TestDriver_RunOnce(t *testing.T) {
	n := newNode(t)
	t.Run("Output", func(t *testing.T) {
		var out bytes.Buffer
		exit, err := n.RunOnce(t.Context(), behave("write", "/tmp/a", "/a"), "once", &out)
		if err != nil || exit.Code != 0 || out.String() != "/tmp/a true\n/a false\n" {
			t.Errorf("got %+v, %v, %q", exit, err, out.String())
		}
	})
	t.Run("MuchOutput", func(t *testing.T) {
		var out bytes.Buffer
		w := behave("show", "/testprog")
		w.Entrypoint = []string{"/testprog", "show", "/testprog", "/none"}
		w.Command = []string{}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := n.RunOnce(ctx, w, "much", writerFunc(func(p []byte) (int, error) {
			if bytes.Contains(p, []byte("ready\n")) {
				cancel() // it has written everything, and now sleeps
			}
			return out.Write(p)
		}))
		if !errors.Is(err, context.Canceled) || !bytes.HasPrefix(out.Bytes(), shared.program) {
			t.Errorf("got %v and %d bytes, want %d and more", err, out.Len(), len(shared.program))
		}
	})
	t.Run("SlowListener", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		taken := false
		_, err := n.RunOnce(ctx, behave("write", "/tmp/a"), "slow", writerFunc(func(p []byte) (int, error) {
			cancel()
			<-time.After(time.Second) // longer than it takes to remove the container
			taken = true
			return len(p), nil
		}))
		if !errors.Is(err, context.Canceled) || !taken {
			t.Errorf("got %v, taken %t, want to hear of it when nothing is written any more", err, taken)
		}
	})
	t.Run("LeavesNothing", func(t *testing.T) {
		if left := n.leavings(t.Context()); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	t.Run("OutOfMemory", func(t *testing.T) {
		w := behave("eat")
		w.Limits.Memory = 16 << 20
		exit, err := n.RunOnce(t.Context(), w, "eater", nil)
		if err != nil || !exit.OOM {
			t.Errorf("got %+v, %v, want to hear of the memory limit", exit, err)
		}
	})
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestDriver_Exec(t *testing.T) {
	n := newNode(t)
	n.start(t, behave("sleep"), "host")
	t.Run("Streams", func(t *testing.T) {
		var out, complaint bytes.Buffer
		input := strings.Repeat("over and over ", 100_000)
		exit, err := n.Exec(t.Context(), "host", []string{"/testprog", "echo"}, strings.NewReader(input), &out, &complaint)
		if err != nil || exit.Code != 0 || out.String() != input {
			t.Errorf("got %+v, %v and %d bytes, want %d", exit, err, out.Len(), len(input))
		}
		if want := fmt.Sprintf("%d <nil>\n", len(input)); complaint.String() != want {
			t.Errorf("got %q on the other stream, want %q", complaint.String(), want)
		}
	})
	t.Run("SlowListener", func(t *testing.T) {
		input := strings.Repeat("x", 60<<10) // what a pipe holds while nobody takes it
		var out bytes.Buffer
		exit, err := n.Exec(t.Context(), "host", []string{"/testprog", "echo"}, strings.NewReader(input), writerFunc(func(p []byte) (int, error) {
			if out.Len() == 0 {
				<-time.After(time.Second) // longer than it takes to remove a command that has ended
			}
			return out.Write(p)
		}), nil)
		if err != nil || exit.Code != 0 || out.String() != input {
			t.Errorf("got %+v, %v and %d bytes, want all %d", exit, err, out.Len(), len(input))
		}
	})
	t.Run("Code", func(t *testing.T) {
		if exit, err := n.Exec(t.Context(), "host", []string{"/testprog", "exit", "4"}, nil, nil, nil); err != nil || exit.Code != 4 {
			t.Errorf("got %+v, %v, want code 4", exit, err)
		}
	})
	t.Run("Hardened", func(t *testing.T) {
		var out bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := n.Exec(ctx, "host", []string{"/testprog", "show", "/proc/self/status"}, nil, writerFunc(func(p []byte) (int, error) {
			n, err := out.Write(p)
			if bytes.Contains(out.Bytes(), []byte("ready\n")) {
				cancel() // it has shown everything, and now sleeps
			}
			return n, err
		}), nil)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		for _, want := range []string{"CapEff:\t" + noCapabilities, "NoNewPrivs:\t1", "Seccomp:\t2", "Uid:\t65532"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("want %q in the command's own account", want)
			}
		}
	})
	t.Run("Cancelled", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := n.Exec(ctx, "host", []string{"/testprog", "ignore"}, nil, nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		if usage, err := n.Usage(t.Context(), "host"); err != nil || usage.Pids > 20 {
			t.Errorf("got %+v, %v", usage, err)
		}
	})
	t.Run("NoProgram", func(t *testing.T) {
		if _, err := n.Exec(t.Context(), "host", []string{"/none"}, nil, nil, nil); err == nil {
			t.Error("got no error for a command that is not there")
		}
	})
	t.Run("NoInstance", func(t *testing.T) {
		if _, err := n.Exec(t.Context(), "none", []string{"/testprog"}, nil, nil, nil); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("got %v, want %v", err, edge.ErrNotFound)
		}
	})
	t.Run("NoCommand", func(t *testing.T) {
		if _, err := n.Exec(t.Context(), "host", nil, nil, nil, nil); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want %v", err, edge.ErrInvalid)
		}
	})
}

func TestDriver_Logs(t *testing.T) {
	n := newNode(t)
	n.start(t, behave("lines", "1000"), "talker")
	tail := func(t *testing.T, lines int) string {
		t.Helper()
		reader, err := n.LogTail(t.Context(), "talker", lines)
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		text, err := io.ReadAll(reader)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got, want := tail(t, 3), "line 998\nline 999\nready\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := strings.Count(tail(t, 0), "\n"); got != 1001 {
		t.Errorf("got %d lines, want all 1001", got)
	}
	follow, err := n.LogFollow(t.Context(), "talker", 1)
	if err != nil {
		t.Fatal(err)
	}
	defer follow.Close()
	followed := bufio.NewReader(follow)
	if line, err := followed.ReadString('\n'); line != "ready\n" || err != nil {
		t.Errorf("got %q, %v, want the last line first", line, err)
	}
	if err := n.RotateLogs(100, 2); err != nil {
		t.Fatal(err)
	}
	if err := n.RotateLogs(100, 2); err != nil { // small now: nothing happens
		t.Fatal(err)
	}
	if got, want := tail(t, 2), "line 999\nready\n"; got != want {
		t.Errorf("got %q after rotation, want %q", got, want)
	}
	if err := n.Stop(t.Context(), "talker", 30*time.Second); err != nil {
		t.Fatal(err)
	}
	if err := await(t.Context(), func() bool { return strings.Contains(tail(t, 2), "asked by") }); err != nil {
		t.Errorf("what was written after rotation is not there: %v", err)
	}
	if got, want := tail(t, 2), "ready\nasked by terminated\n"; got != want {
		t.Errorf("got %q over both files, want %q", got, want)
	}
	if err := n.Remove(t.Context(), "talker"); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(followed); err != nil {
		t.Errorf("got %q, %v from following an instance that is removed", rest, err)
	}
	if _, err := n.LogTail(t.Context(), "talker", 1); !errors.Is(err, edge.ErrNotFound) {
		t.Errorf("got %v after removal, want %v", err, edge.ErrNotFound)
	}
}

func TestDriver_RotateLogs(t *testing.T) {
	n := newEmptyNode(t)
	path := filepath.Join(n.opts.StateDir, "logs", "x.log")
	defer func() {
		if err := n.Remove(t.Context(), "x"); err != nil { // its logs, rotated ones too
			t.Error(err)
		}
	}()
	for generation := range 5 {
		if err := os.WriteFile(path, []byte(fmt.Sprintf("generation %d\n", generation)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := n.RotateLogs(5, 2); err != nil {
			t.Fatal(err)
		}
	}
	found, err := filepath.Glob(path + "*")
	if err != nil || len(found) != 3 {
		t.Errorf("got %v, %v, want the log and two older ones", found, err)
	}
	reader, err := n.LogTail(t.Context(), "x", 10)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if text, err := io.ReadAll(reader); string(text) != "on 3\non 4\n" || err != nil {
		t.Errorf("got %q, %v, want the ends of the newest two in order", text, err)
	}
	if err := os.WriteFile(path, []byte("much too much"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.RotateLogs(5, 0); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 0 {
		t.Errorf("got %v, %v, want an empty log where none is kept", info, err)
	}
}

func TestDriver_Run(t *testing.T) {
	n := newEmptyNode(t)
	opts := n.opts
	opts.LogMaxBytes, opts.LogEvery = 5, time.Millisecond
	n.opts = opts
	driver := n.again(t)
	path := filepath.Join(opts.StateDir, "logs", "x.log")
	if err := os.WriteFile(path, []byte("much too much"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- driver.Run(ctx) }()
	if err := await(t.Context(), func() bool { _, err := os.Stat(path + ".1"); return err == nil }); err != nil {
		t.Error("the loop rotates nothing")
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("got %v from a loop whose context ended", err)
	}
	if err := n.Remove(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

// TestDriver_RotateFast: a program that writes faster than its log is copied does
// not make the copy grow with it.
func TestDriver_RotateFast(t *testing.T) {
	n := newEmptyNode(t)
	path := filepath.Join(n.opts.StateDir, "logs", "x.log")
	live, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	const limit = 1 << 20
	block := make([]byte, 16*limit)
	if _, err := live.Write(block); err != nil {
		t.Fatal(err)
	}
	const most = 16 // blocks, so that a copy that follows them ends at all
	written := make(chan error, 1)
	go func() {
		var failed error
		for range most {
			_, err := live.Write(block)
			failed = errors.Join(failed, err)
		}
		written <- failed
	}()
	if err := n.RotateLogs(limit, 2); err != nil {
		t.Error(err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path + ".1"); err != nil || info.Size() < limit || info.Size() > 2*limit {
		t.Errorf("got %v, %v, want about %d bytes put aside", info, err, limit)
	}
	if err := n.Remove(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

func TestGrowth_Next(t *testing.T) {
	begun := time.Now()
	next := containerd.LogPace(10_000, 10*time.Second)
	for _, step := range []struct {
		name  string
		at    time.Duration
		sizes map[string]int64
		want  time.Duration
	}{
		{"First", 0, map[string]int64{"a": 5000}, 10 * time.Second},
		{"Still", 10 * time.Second, map[string]int64{"a": 5000}, 10 * time.Second},
		{"Slow", 20 * time.Second, map[string]int64{"a": 5100, "b": 10}, 10 * time.Second},
		{"Fast", 30 * time.Second, map[string]int64{"a": 5200, "b": 50_010}, 2 * time.Second},
		{"PutAside", 32 * time.Second, map[string]int64{"b": 40_000}, 500 * time.Millisecond},
		{"Racing", 33 * time.Second, map[string]int64{"b": 1 << 40}, 100 * time.Millisecond},
	} {
		if got := next(step.sizes, begun.Add(step.at)); got != step.want {
			t.Errorf("%s: got %v, want %v", step.name, got, step.want)
		}
	}
}
