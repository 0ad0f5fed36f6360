package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// control asks a well-behaved model's server itself, past the agent, at a steady
// pace. A deadline that passed while even that came to a stop says something of the
// machine and nothing of the agent.
type control struct {
	stopping context.Context
	stop     context.CancelFunc
	ended    chan struct{}

	mu    sync.Mutex // guards stops
	stops []standstill
}

// standstill is a time in which the machine did not let a request of microseconds
// through.
type standstill struct{ from, to time.Time }

// standsStill is from when on a pause is one: a direct answer takes a third of a
// millisecond, and the shortest deadline that is counted upon is a second.
const standsStill = 250 * time.Millisecond

// startControl asks the server behind the socket until stop.
func startControl(socket string) *control {
	c := &control{ended: make(chan struct{})}
	c.stopping, c.stop = context.WithCancel(context.Background())
	go func() {
		defer close(c.ended)
		c.run(socket)
	}()
	return c
}

func (c *control) run(socket string) {
	server := localapi.Dial(socket) // a model server speaks the same protocol
	defer server.Close()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for from := time.Now(); c.stopping.Err() == nil; {
		if err := server.Ready(c.stopping); errors.Is(err, edge.ErrUnavailable) {
			return // it was replaced, which is for the test to judge
		}
		<-ticker.C
		to := time.Now()
		if to.Sub(from) > standsStill {
			c.mu.Lock()
			c.stops = append(c.stops, standstill{from, to})
			c.mu.Unlock()
		}
		from = to
	}
}

func (c *control) end() {
	c.stop()
	<-c.ended
}

// blames tells whether the machine came to a stop within the time or shortly before
// it, when what had waited was still being caught up with.
func (c *control) blames(from, to time.Time) bool {
	const catchingUp = time.Second
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.stops {
		if s.to.After(from.Add(-catchingUp)) && s.from.Before(to) {
			return true
		}
	}
	return false
}

// TestStream_NoticesMissedDeadlines is the negative control of all who count on
// deadlines: where one slot is held by a model that hangs, they are not kept.
func TestStream_NoticesMissedDeadlines(t *testing.T) {
	n := newNode(t, "scheduler.slots=1", "scheduler.preempt=false")
	n.deploy(digitsService(1), faulty{faults: "-hang", timeout: "3s"}.service())
	n.awaitReady("faulty", 1)
	s := n.countOnDeadlines(n.awaitReady("digits", 1)[0])
	s.more(20)
	if err := n.inferFaulty(5 * time.Second); err == nil {
		t.Error("a model that hangs has answered")
	}
	if failures := s.end(); len(failures) == 0 {
		t.Error("no client noticed that the only slot was held for three seconds")
	}
}

// TestControl_Blames holds the control's judgement against times made up.
func TestControl_Blames(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	c := &control{stops: []standstill{{at(5000), at(5400)}}}
	for _, task := range []struct {
		from, to int
		want     bool
	}{{0, 1000, false}, {4500, 5100, true}, {5300, 6000, true}, {6000, 7000, true}, {6500, 7500, false}} {
		t.Run(fmt.Sprint(task.from), func(t *testing.T) {
			if got := c.blames(at(task.from), at(task.to)); got != task.want {
				t.Errorf("blames(%d ms, %d ms) = %v, want %v", task.from, task.to, got, task.want)
			}
		})
	}
}
