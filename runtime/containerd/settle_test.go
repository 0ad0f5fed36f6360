package containerd_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// members lists the processes in an instance's cgroups.
func (n *node) members(id string) []string {
	var pids []string
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		files, _ := filepath.Glob(filepath.Join(pattern, n.opts.CgroupParent, id, "cgroup.procs")) // well formed
		for _, file := range files {
			text, _ := os.ReadFile(file) // gone: empty
			pids = append(pids, strings.Fields(string(text))...)
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// abandon kills an agent, as confined as its service makes it, in the middle of a
// start: its container's process stands in its cgroup, and the daemon, whose caller is
// gone, has forgotten of the task.
func (n *node) abandon(t *testing.T, id string) {
	t.Helper()
	const tries = 20 // each meets the moment almost surely
	for range tries {
		agent := errand{Node: n.place(), Workload: behave("sleep"), ID: id}.command(t)
		if err := agent.Start(); err != nil {
			t.Fatal(err)
		}
		err := await(t.Context(), func() bool { return len(n.members(id)) > 0 })
		_ = agent.Process.Kill() // it may have ended
		_ = agent.Wait()         // killed
		if err != nil {
			t.Fatalf("no process of the instance comes: %v", err)
		}
		// Its call has ended for the daemon when another has come and gone.
		if tasks := strings.Fields(n.ctr(t.Context(), "tasks", "list", "--quiet")); !slices.Contains(tasks, id) && len(n.members(id)) > 0 {
			return
		}
		if err := n.Remove(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("an agent could not be killed in the middle of a start in %d tries", tries)
}

// TestDriver_AgentKilledStarting: the next agent leaves nothing of a start that was
// cut off, whether it comes while the daemon clears up or after it has given up.
func TestDriver_AgentKilledStarting(t *testing.T) {
	t.Run("AtOnce", func(t *testing.T) {
		n := newNode(t)
		n.abandon(t, "half")
		if err := n.Remove(t.Context(), "half"); err != nil {
			t.Fatal(err)
		}
		n.wantNothing(t)
		if !strings.Contains(n.log.String(), `instance=half reason="its task is gone"`) {
			t.Errorf("got the log\n%s\nwant to read what was ended", n.log)
		}
	})
	t.Run("Confined", func(t *testing.T) {
		n := newNode(t)
		n.abandon(t, "half")
		if complaint := (errand{Node: n.place(), ID: "half", Remove: true}).send(t); complaint != "" {
			t.Fatal(complaint)
		}
		n.wantNothing(t)
	})
	t.Run("GivenUp", func(t *testing.T) {
		n := newNode(t)
		n.orphan(t, "half")
		if err := n.Remove(t.Context(), "half"); err != nil {
			t.Fatal(err)
		}
		n.wantNothing(t)
	})
}

// orphan leaves what no daemon knows of, as one does that has given up clearing after
// a start that was cut off: a process, its shim, cgroups and runc's state, but no
// bundle. What runs is returned.
func (n *node) orphan(t *testing.T, id string) []string {
	t.Helper()
	n.start(t, behave("sleep"), id)
	if err := shared.daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(filepath.Dir(n.opts.Address), "io.containerd.runtime.v2.task", n.opts.Namespace, id)
	if err := unix.Unmount(filepath.Join(bundle, "rootfs"), unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(bundle); err != nil {
		t.Fatal(err)
	}
	if err := shared.daemon.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	running := n.running(id)
	if len(running) != 2 || len(n.files(id)) != 2 {
		t.Fatalf("got %v and %v of %s, want a process, its shim, what runc remembers and a log", running, n.files(id), id)
	}
	return running
}

// running lists the shims and the processes of an instance.
func (n *node) running(id string) []string {
	running := n.members(id)
	for _, pid := range n.shims() {
		text, _ := os.ReadFile("/proc/" + pid + "/cmdline") // gone: empty
		words := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
		if at := slices.Index(words, "-id"); at > 0 && words[at+1] == id {
			running = append(running, "shim "+pid)
		}
	}
	return running
}

func (n *node) wantNothing(t *testing.T) {
	t.Helper()
	if left := n.leavings(t.Context()); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestDriver_Sweep: what has no container is swept away once the daemon answers, and
// nothing else.
func TestDriver_Sweep(t *testing.T) {
	n, other := newNode(t), newNode(t)
	n.opts.AskEvery = 50 * time.Millisecond
	n.Driver = n.again(t)
	neighbour, stranger := n.start(t, behave("sleep"), "neighbour"), other.start(t, behave("sleep"), "stranger")
	n.orphan(t, "stray")
	foreign := other.orphan(t, "foreign")
	for node, id := range map[*node]string{n: "stray", other: "foreign"} {
		node.ctr(t.Context(), "containers", "delete", "--keep-snapshot", id)
		node.ctr(t.Context(), "snapshots", "remove", id)
	}
	swept := func(n *node, id string) func() bool {
		return func() bool { return len(n.running(id)) == 0 && len(n.files(id)) == 0 }
	}
	if err := n.Weigh(t.Context(), "stray", edge.Urgent); err != nil {
		t.Errorf("got %v of an instance that it has started, want it weighed", err)
	}
	watch := watchingBy(t, n.Driver)
	gone := func() bool {
		return swept(n, "stray")() && errors.Is(n.Weigh(t.Context(), "stray", edge.Batch), edge.ErrNotFound)
	}
	if err := await(t.Context(), gone); err != nil {
		t.Errorf("waited for all to go that is left or known of it: %v: %v", err, n.leavings(t.Context()))
	}
	watch()
	if !strings.Contains(n.log.String(), `msg="leftovers removed" instance=stray reason="it has no container"`) {
		t.Errorf("got the log\n%s\nwant to read what was swept away", n.log)
	}
	if listed := n.instance(t, "neighbour"); !listed.Running || listed.PID != neighbour.PID {
		t.Errorf("got %+v, want the neighbour running as pid %d", listed, neighbour.PID)
	}
	if listed := other.instance(t, "stranger"); !listed.Running || listed.PID != stranger.PID {
		t.Errorf("got %+v, want the instance of another namespace running as pid %d", listed, stranger.PID)
	}
	if got := other.running("foreign"); !slices.Equal(got, foreign) || len(other.files("foreign")) == 0 {
		t.Errorf("got %v of what remained in another namespace, want it left alone: %v", got, foreign)
	}
	if bytes.Contains(n.log.Bytes(), []byte("neighbour")) {
		t.Errorf("got the log\n%s\nwant no word of the neighbour", n.log)
	}
	other.sweepUntil(t, swept(other, "foreign"))
}

// files lists those of an instance.
func (n *node) files(id string) []string {
	var found []string
	for _, pattern := range []string{
		filepath.Join(n.opts.RunDir, "runc", n.opts.Namespace, id), filepath.Join(n.opts.RunDir, "instances", id),
		filepath.Join(n.opts.StateDir, "logs", id+".log*"),
	} {
		paths, _ := filepath.Glob(pattern) // the patterns are well formed
		found = append(found, paths...)
	}
	return found
}

// sweepUntil watches the daemon as an agent does, until it is so.
func (n *node) sweepUntil(t *testing.T, is func() bool) {
	t.Helper()
	n.opts.AskEvery = 50 * time.Millisecond
	watch := n.watching(t)
	err := await(t.Context(), is)
	watch()
	if err != nil {
		t.Fatalf("waited for leftovers to go: %v: %v", err, n.leavings(t.Context()))
	}
}

// watching follows the daemon until end is called.
func (n *node) watching(t *testing.T) (end func()) {
	t.Helper()
	return watchingBy(t, n.again(t))
}

func watchingBy(t *testing.T, driver *containerd.Driver) (end func()) {
	t.Helper()
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- driver.Watch(ctx, func(edge.DaemonReport) {}) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("watch: %v", err)
		}
	}
}

func TestSettling(t *testing.T) {
	const patience = 10 * time.Second
	type measures = containerd.Measures
	for name, test := range map[string]struct {
		found   containerd.Found
		waited  time.Duration
		refused bool
		want    measures
	}{
		"Nothing":            {want: measures{Done: true}},
		"ProcessAndShim":     {found: containerd.Found{Shims: 1, Members: 1, Groups: 9}, want: measures{Members: true}},
		"ProcessAlone":       {found: containerd.Found{Members: 1, Groups: 9}, want: measures{Members: true}},
		"ShimEnds":           {found: containerd.Found{Shims: 1, Groups: 9}, waited: patience - 1},
		"ShimStays":          {found: containerd.Found{Shims: 1}, waited: patience, want: measures{Shims: unix.SIGTERM}},
		"ShimIsDeaf":         {found: containerd.Found{Shims: 1}, waited: patience + containerd.TermWithin, want: measures{Shims: unix.SIGKILL}},
		"NotAllowed":         {found: containerd.Found{Shims: 1, Members: 1}, refused: true, want: measures{Members: true, Shims: unix.SIGTERM}},
		"NotAllowedNoShim":   {found: containerd.Found{Members: 1}, refused: true, want: measures{Members: true}},
		"NotAllowedIsOver":   {found: containerd.Found{Shims: 1}, refused: true},
		"DaemonClearsUp":     {found: containerd.Found{Errands: 1, Groups: 9}},
		"DaemonClearsUpLong": {found: containerd.Found{Errands: 1, Groups: 9}, waited: containerd.ShimWithin, want: measures{Groups: true}},
		"EmptyCgroups":       {found: containerd.Found{Groups: 9}, want: measures{Groups: true}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := containerd.Settling(test.found, test.waited, patience, test.refused); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
	t.Run("WithoutPatience", func(t *testing.T) {
		if got := containerd.Settling(containerd.Found{Shims: 1}, 0, 0, false); got.Shims != unix.SIGTERM {
			t.Errorf("got %+v, want the shim asked to end at once", got)
		}
	})
}

func TestCondemned(t *testing.T) {
	for name, test := range map[string]struct{ before, traces, known, want []string }{
		"SeenTwice":     {before: []string{"a"}, traces: []string{"a"}, want: []string{"a"}},
		"SeenOnce":      {traces: []string{"a"}},
		"HasAContainer": {before: []string{"a"}, traces: []string{"a"}, known: []string{"a"}},
		"Gone":          {before: []string{"a"}},
		"OneOfMany": {
			before: []string{"a", "b", "c"}, traces: []string{"b", "c", "d"}, known: []string{"c", "e"}, want: []string{"b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := containerd.Condemned(test.before, containerd.Without(test.traces, test.known)); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestParseHelper(t *testing.T) {
	const shim = "/usr/bin/containerd-shim-runc-v2"
	for name, test := range map[string]struct {
		words  []string
		id     string // empty: not ours
		errand bool
	}{
		"Shim":             {words: []string{shim, "-namespace", "ours", "-id", "a-1", "-address", "/run/c.sock"}, id: "a-1"},
		"Debugging":        {words: []string{shim, "-namespace", "ours", "-id", "a-1", "-address", "/run/c.sock", "-debug"}, id: "a-1"},
		"Deleting":         {words: []string{shim, "-namespace", "ours", "-address", "/run/c.sock", "-id", "a-1", "-bundle", "/b", "delete"}, id: "a-1", errand: true},
		"Starting":         {words: []string{shim, "-namespace", "ours", "-address", "/run/c.sock", "-id", "a-1", "start"}, id: "a-1", errand: true},
		"AnotherNamespace": {words: []string{shim, "-namespace", "theirs", "-id", "a-1", "-address", "/run/c.sock"}},
		"AnotherProgram":   {words: []string{"/bin/sh", "-namespace", "ours", "-id", "a-1", "-address", "/run/c.sock"}},
		"NoInstance":       {words: []string{shim, "-namespace", "ours", "-address", "/run/c.sock"}},
		"Nothing":          {words: []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			id, address, errand, ours := containerd.ParseHelper(strings.Join(test.words, "\x00")+"\x00", "ours")
			if ours != (test.id != "") {
				t.Fatalf("got ours %v, want %v", ours, test.id != "")
			}
			if ours && (id != test.id || errand != test.errand || address != "/run/c.sock") {
				t.Errorf("got id %q, errand %v, address %q, want id %q, errand %v", id, errand, address, test.id, test.errand)
			}
		})
	}
}

func TestHands(t *testing.T) {
	var h containerd.Hands
	if err := h.Start("a"); err != nil {
		t.Fatal(err)
	}
	if h.Sweep("a") {
		t.Error("what is being started may be swept away")
	}
	if !h.Sweep("b") {
		t.Error("what nobody starts may not be swept away")
	}
	if err := h.Start("b"); err == nil {
		t.Error("what is being swept away may be started")
	}
	h.Started("a")
	h.Swept("b")
	if err := h.Start("b"); err != nil || !h.Sweep("a") {
		t.Errorf("got %v, want both free again", err)
	}
}
