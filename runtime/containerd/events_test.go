package containerd_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// hear listens to a node's events until the test ends.
func (n *node) hear(t *testing.T) func() edge.InstanceEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	heard := make(chan edge.InstanceEvent, 32)
	ended := make(chan error, 1)
	go func() { ended <- n.Events(ctx, func(event edge.InstanceEvent) { heard <- event }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("got %v from events whose context ended", err)
		}
	})
	return func() edge.InstanceEvent {
		select {
		case event := <-heard:
			return event
		case <-ctx.Done():
			return edge.InstanceEvent{Kind: "none came"}
		}
	}
}

func expectEvents(t *testing.T, next func() edge.InstanceEvent, id string, kinds ...edge.InstanceEventKind) {
	t.Helper()
	for _, kind := range kinds {
		if got := next(); got.Kind != kind || got.Instance != id {
			t.Errorf("got %+v, want %s of %q", got, kind, id)
		}
	}
}

func TestDriver_Events(t *testing.T) {
	n := newNode(t)
	n.start(t, behave("sleep"), "before")
	next := n.hear(t)
	expectEvents(t, next, "", edge.InstanceEventGap)
	t.Run("Paused", func(t *testing.T) {
		n.ctr(t.Context(), "tasks", "pause", "before")
		n.ctr(t.Context(), "tasks", "resume", "before")
		expectEvents(t, next, "before", edge.InstancePaused, edge.InstanceResumed)
	})
	t.Run("NotOurs", func(t *testing.T) {
		n.ctr(t.Context(), "run", "--null-io", "--rm", "--cgroup", n.opts.CgroupParent+"/foreign", imageName, "foreign", "/testprog", "exit", "0")
	})
	t.Run("CommandInside", func(t *testing.T) {
		if exit, err := n.Exec(t.Context(), "before", []string{"/testprog", "exit", "4"}, nil, io.Discard, io.Discard); err != nil || exit.Code != 4 {
			t.Fatal(exit, err)
		}
	})
	// What these two brought would come first.
	if err := n.Remove(t.Context(), "before"); err != nil {
		t.Fatal(err)
	}
	expectEvents(t, next, "before", edge.InstanceExited, edge.InstanceRemoved)
}

// TestDriver_EventsWithoutDaemon: what is listened for before there is a daemon is
// heard once there is one.
func TestDriver_EventsWithoutDaemon(t *testing.T) {
	n := newNode(t)
	if err := shared.daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	next := n.hear(t)
	if _, err := n.Instances(t.Context()); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("got %v while the daemon is down, want %v", err, edge.ErrUnavailable)
	}
	if err := shared.daemon.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectEvents(t, next, "", edge.InstanceEventGap)
	n.start(t, behave("sleep"), "late")
	expectEvents(t, next, "late", edge.InstanceStarted)
}

// TestRoster: what is told of instances, whatever the daemon says and leaves out.
func TestRoster(t *testing.T) {
	killed, hungry := edge.Exit{Code: 137, Signal: "SIGKILL"}, edge.Exit{Code: 137, Signal: "SIGKILL", OOM: true}
	for name, test := range map[string]struct {
		heard []containerd.Heard
		want  []edge.InstanceEventKind
		oom   bool // of the end that is told
	}{
		"Life":            {[]containerd.Heard{{Kind: edge.InstanceStarted}, {Kind: edge.InstanceExited}, {Kind: edge.InstanceRemoved}}, []edge.InstanceEventKind{edge.InstanceStarted, edge.InstanceExited, edge.InstanceRemoved}, false},
		"EndUnheard":      {[]containerd.Heard{{Kind: edge.InstanceStarted}, {Kind: edge.InstanceRemoved}, {Kind: edge.InstanceExited}}, []edge.InstanceEventKind{edge.InstanceStarted, edge.InstanceExited, edge.InstanceRemoved}, false},
		"EndTwice":        {[]containerd.Heard{{Kind: edge.InstanceStarted}, {Kind: edge.InstanceExited}, {Kind: edge.InstanceExited}}, []edge.InstanceEventKind{edge.InstanceStarted, edge.InstanceExited}, false},
		"NeverStarted":    {[]containerd.Heard{{Kind: edge.InstanceRemoved}}, []edge.InstanceEventKind{edge.InstanceRemoved}, false},
		"Again":           {[]containerd.Heard{{Kind: edge.InstanceExited}, {Kind: edge.InstanceStarted}, {Kind: edge.InstanceExited}}, []edge.InstanceEventKind{edge.InstanceExited, edge.InstanceStarted, edge.InstanceExited}, false},
		"MemoryFirst":     {[]containerd.Heard{{Kind: edge.InstanceOutOfMemory}, {Kind: edge.InstanceExited, Exit: hungry}}, []edge.InstanceEventKind{edge.InstanceOutOfMemory, edge.InstanceExited}, true},
		"MemoryLast":      {[]containerd.Heard{{Kind: edge.InstanceExited, Exit: hungry}, {Kind: edge.InstanceOutOfMemory}}, []edge.InstanceEventKind{edge.InstanceOutOfMemory, edge.InstanceExited}, true},
		"MemoryUncounted": {[]containerd.Heard{{Kind: edge.InstanceOutOfMemory}, {Kind: edge.InstanceExited, Exit: killed}}, []edge.InstanceEventKind{edge.InstanceOutOfMemory, edge.InstanceExited}, true},
		"MemoryOfChild":   {[]containerd.Heard{{Kind: edge.InstanceOutOfMemory}, {Kind: edge.InstanceExited}}, []edge.InstanceEventKind{edge.InstanceOutOfMemory, edge.InstanceExited}, false},
		"Stranger":        {[]containerd.Heard{{Kind: edge.InstanceStarted, Stranger: true}, {Kind: edge.InstanceExited, Stranger: true}, {Kind: edge.InstanceOutOfMemory, Stranger: true}, {Kind: edge.InstancePaused, Stranger: true}, {Kind: edge.InstanceRemoved, Stranger: true}}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			var kinds []edge.InstanceEventKind
			for _, event := range containerd.Tell(test.heard) {
				kinds = append(kinds, event.Kind)
				if event.Exit != nil && event.Exit.OOM != test.oom {
					t.Errorf("got %+v, want oom %v", event.Exit, test.oom)
				}
			}
			if !slices.Equal(kinds, test.want) {
				t.Errorf("got %v, want %v", kinds, test.want)
			}
		})
	}
}

// TestBacklog: a listener that is too slow loses events, hears that it did, and
// holds nobody up.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := containerd.NewBacklog()
		ctx, cancel := context.WithCancel(t.Context())
		slow := make(chan struct{})
		var heard []edge.InstanceEventKind
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			b.Drain(ctx, func(event edge.InstanceEvent) {
				<-slow
				heard = append(heard, event.Kind)
			})
		}()
		b.Put(edge.InstanceEvent{Kind: edge.InstanceStarted})
		synctest.Wait() // it is being told
		for range containerd.MaxBacklog + 3 {
			b.Put(edge.InstanceEvent{Kind: edge.InstancePaused})
		}
		close(slow)
		synctest.Wait()
		b.Put(edge.InstanceEvent{Kind: edge.InstanceExited})
		synctest.Wait()
		cancel()
		<-ended
		want := append([]edge.InstanceEventKind{edge.InstanceStarted}, slices.Repeat([]edge.InstanceEventKind{edge.InstancePaused}, containerd.MaxBacklog)...)
		want = append(want, edge.InstanceEventGap, edge.InstanceExited)
		if !slices.Equal(heard, want) {
			t.Errorf("got %d events, the last %v, want %d, the last %v", len(heard), heard[max(0, len(heard)-2):], len(want), want[len(want)-2:])
		}
	})
}
