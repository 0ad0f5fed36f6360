package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// TestFaults_FindStrays leaves behind on purpose what the faults look for.
func TestFaults_FindStrays(t *testing.T) {
	w := openWard(t)
	instances := w.admit()
	held := w.inventory(instances)
	if err := held.differs(w.inventory(instances), nil); err != nil {
		t.Fatalf("nothing happened, and %v", err)
	}
	find := func(t *testing.T, words ...string) {
		t.Helper()
		err := held.differs(w.in(t).inventory(instances), nil)
		for _, word := range words {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("got %v, want %q found", err, word)
			}
		}
	}
	gone := func(t *testing.T) {
		t.Helper()
		w := w.in(t)
		w.await("nothing to be left of it", func(context.Context) error { return held.differs(w.inventory(instances), nil) })
	}
	t.Run("SecondInstance", func(t *testing.T) {
		w := w.in(t)
		w.ctr("run", "--detach", "--cgroup", w.Cgroup()+"/line-digits-second", faultyImage, "line-digits-second", "/faulty-server", "-listen", "tcp://127.0.0.1:7000")
		for _, kind := range []string{"task", "container", "snapshot", "shim"} {
			find(t, kind+" line-digits-second")
		}
		find(t, "process ", "mount ", "cgroup ")
		w.ctr("tasks", "delete", "--force", "line-digits-second")
		w.ctr("containers", "delete", "line-digits-second")
		gone(t)
	})
	t.Run("ProcessBesideAnInstance", func(t *testing.T) {
		w := w.in(t)
		stray := exec.CommandContext(t.Context(), "cat") // reads what nobody writes
		input, err := stray.StdinPipe()
		if err == nil {
			err = stray.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		group := w.groupOf(instances[0].ID)
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), fmt.Append(nil, stray.Process.Pid), 0o644); err != nil {
			t.Fatal(err)
		}
		find(t, fmt.Sprintf(`"process %d"`, stray.Process.Pid))
		input.Close()
		if err := stray.Wait(); err != nil {
			t.Error(err)
		}
		gone(t)
	})
	t.Run("Mount", func(t *testing.T) {
		folder := w.RunFolder("stray")
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", folder, "tmpfs", 0, "size=64k"); err != nil {
			t.Fatal(err)
		}
		find(t, "mount "+folder, "run folder "+folder)
		if err := unix.Unmount(folder, 0); err != nil {
			t.Fatal(err)
		}
		os.Remove(folder)
		gone(t)
	})
	t.Run("LostWithAnInstance", func(t *testing.T) {
		fewer := w.in(t).inventory(instances)
		fewer["task {line/store}"]--
		if err := held.differs(fewer, nil); err == nil || !strings.Contains(err.Error(), `0 of "task {line/store}", want 1`) {
			t.Errorf("got %v, want the missing task", err)
		}
	})
	t.Run("KeptOfTheEnded", func(t *testing.T) {
		for thing, want := range map[string]bool{"snapshot line-x-1 Active": true, "process 17": false, "snapshot line-x-2 Active": false} {
			if got := (holdings{}).differs(holdings{thing: 1}, []string{"line-x-1"}) == nil; got != want {
				t.Errorf("%s may be there: %v, want %v", thing, got, want)
			}
		}
	})
	w.discharge()
}

// groupOf is a cgroup of an instance.
func (w *ward) groupOf(id string) string {
	w.t.Helper()
	for _, path := range w.cgroups() {
		if filepath.Base(path) == id && strings.Contains(path, "/pids/") || strings.HasPrefix(path, "/sys/fs/cgroup/holdfast") && filepath.Base(path) == id {
			return path
		}
	}
	w.t.Fatalf("there is no cgroup of %s among %v", id, w.cgroups())
	return ""
}

// TestFaults_FindUntold tells stories that are not so.
func TestFaults_FindUntold(t *testing.T) {
	event := func(kind edge.EventKind, id, cause string) edge.Event {
		return edge.Event{Kind: kind, Subject: id, Cause: cause}
	}
	view := func(id string) edge.InstanceView { return edge.InstanceView{Instance: edge.Instance{ID: id}} }
	before, after := []edge.InstanceView{view("a"), view("b")}, []edge.InstanceView{view("b"), view("c")}
	ended, started := event(edge.EventInstanceExited, "a", ""), event(edge.EventInstanceStarted, "c", "ended by SIGKILL")
	begun, adopted := event(edge.EventAgentStarted, "n", "the agent before it (process 1) ended without being asked to"), event(edge.EventInstanceAdopted, "b", "")
	for name, c := range map[string]struct {
		told   []edge.Event
		struck victim
		want   string
	}{
		"So":             {[]edge.Event{begun, adopted, ended, started}, theAgent, ""},
		"NoEnd":          {[]edge.Event{begun, adopted, started}, theAgent, "a was killed: true, and 0 ends are told"},
		"EndOfAnother":   {[]edge.Event{begun, adopted, ended, started, event(edge.EventInstanceExited, "b", "")}, theAgent, "b was killed: false, and 1 ends are told"},
		"EndTwice":       {[]edge.Event{begun, adopted, ended, ended, started}, theAgent, "a was killed: true, and 2 ends are told"},
		"NoStart":        {[]edge.Event{begun, adopted, ended}, theAgent, "c is new, and 0 starts are told"},
		"StartTwice":     {[]edge.Event{begun, adopted, ended, started, started}, theAgent, "c is new, and 2 starts are told"},
		"StartForNoWhy":  {[]edge.Event{begun, adopted, ended, event(edge.EventInstanceStarted, "c", "")}, theAgent, "nobody says why"},
		"NotTakenOver":   {[]edge.Event{begun, ended, started}, theAgent, "b is to be taken over: true, and was so 0 times"},
		"TakenForNoWhy":  {[]edge.Event{adopted, ended, started}, aShim, "b is to be taken over: false, and was so 1 times"},
		"AgentNotTold":   {[]edge.Event{adopted, ended, started}, theAgent, "the agent was killed: true"},
		"AgentForNoWhy":  {[]edge.Event{event(edge.EventAgentStarted, "n", ""), adopted, ended, started}, theAgent, "the next one says"},
		"LossNotTold":    {[]edge.Event{ended, started}, theHost, "0 losses and 0 returns"},
		"LossOfNoMatter": {[]edge.Event{ended, started}, aShim, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := &blow{hit: map[string]bool{"a": true}, struck: []victim{c.struck}}
			got := strings.Join(b.untold(before, after, c.told), "; ")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
