package scheduler_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/scheduler"
)

// halting executes tasks of 10 ms of work each, or as said, and can halt them.
type halting struct {
	mu    sync.Mutex // guards everything below
	work  map[string]time.Duration
	gate  map[string]chan bool // true: go on, false: halt
	says  []string
	wont  bool // be suspended
	alive int
}

var (
	_ scheduler.Executor  = (*halting)(nil)
	_ scheduler.Suspender = (*halting)(nil)
)

func (h *halting) Execute(ctx context.Context, t edge.Task) (edge.Answer, error) {
	h.mu.Lock()
	left, ok := h.work[t.ID]
	if !ok {
		left = 10 * ms
	}
	gate := make(chan bool, 8)
	h.gate[t.ID] = gate
	h.alive++
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.alive--
		h.mu.Unlock()
	}()
	for {
		began := time.Now()
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
			return edge.Answer{Model: t.Model}, nil
		case <-ctx.Done():
			return edge.Answer{}, ctx.Err()
		case <-gate:
		}
		timer.Stop()
		left -= time.Since(began)
		select {
		case <-gate:
		case <-ctx.Done():
			return edge.Answer{}, ctx.Err()
		}
	}
}

func (h *halting) Suspend(_ context.Context, t edge.Task) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.wont {
		return errors.New("no such cgroup")
	}
	h.says = append(h.says, "suspend "+t.ID)
	h.gate[t.ID] <- false
	return nil
}

func (h *halting) Resume(_ context.Context, t edge.Task) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.says = append(h.says, "resume "+t.ID)
	h.gate[t.ID] <- true
}

// suspending runs f on a scheduler of one slot whose executor can halt what runs.
func suspending(t *testing.T, h *halting, f func(t *testing.T, s *scheduler.Scheduler)) {
	t.Helper()
	ordered(t, scheduler.Planned, h, f)
}

// ordered is suspending in another order.
func ordered(t *testing.T, order scheduler.Order, h *halting, f func(t *testing.T, s *scheduler.Scheduler)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h.work, h.gate = map[string]time.Duration{"long": time.Second}, map[string]chan bool{}
		s, err := scheduler.New(scheduler.Options{Slots: 1, Executor: h, Order: order})
		if err != nil {
			t.Fatal(err)
		}
		s.Serve([]edge.Pool{
			{Name: "long", Lanes: 1, Models: []edge.ModelCost{{Model: "long", Cost: time.Second}}},
			pool("m", 1),
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		synctest.Wait()
		f(t, s)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if h.alive != 0 {
			t.Errorf("%d tasks are still executing", h.alive)
		}
	})
}

func submitTo(t *testing.T, s *scheduler.Scheduler, id, model string, class edge.Class, within time.Duration) *scheduler.Ticket {
	t.Helper()
	ticket, err := s.Submit(t.Context(), task(id, model, class, within))
	if err != nil {
		t.Fatalf("task %q was refused: %v", id, err)
	}
	return ticket
}

func TestScheduler_Suspends(t *testing.T) {
	t.Run("AndResumes", func(t *testing.T) {
		h := &halting{}
		suspending(t, h, func(t *testing.T, s *scheduler.Scheduler) {
			began := time.Now()
			long := submitTo(t, s, "long", "long", edge.Batch, time.Minute)
			<-time.After(100 * ms)
			urgent := submitTo(t, s, "urgent", "m", edge.Urgent, 50*ms)
			synctest.Wait()
			if running := s.Snapshot().Running; len(running) != 2 || running[1].State != "suspended" {
				t.Errorf("running shows %+v, want the long one suspended", running)
			}
			<-urgent.Done()
			if took := time.Since(began); took != 110*ms || urgent.Settlement().Outcome != edge.Completed {
				t.Errorf("urgent settled as %v after %v, want completed after 110ms", urgent.Settlement().Outcome, took)
			}
			<-long.Done()
			if took := time.Since(began); took != 1010*ms || long.Settlement().Outcome != edge.Completed {
				t.Errorf("long settled as %v after %v, want completed after 1.01s", long.Settlement().Outcome, took)
			}
			if want := []string{"suspend long", "resume long"}; !slices.Equal(h.says, want) {
				t.Errorf("asked for %v, want %v", h.says, want)
			}
		})
	})
	t.Run("LeavesNothingSuspended", func(t *testing.T) {
		h := &halting{}
		suspending(t, h, func(t *testing.T, s *scheduler.Scheduler) {
			submitTo(t, s, "long", "long", edge.Batch, time.Minute)
			submitTo(t, s, "urgent", "m", edge.Urgent, 50*ms)
			synctest.Wait()
		})
		if want := []string{"suspend long", "resume long"}; !slices.Equal(h.says, want) {
			t.Errorf("asked for %v, want %v", h.says, want)
		}
	})
	t.Run("NotInAnotherOrder", func(t *testing.T) {
		h := &halting{}
		ordered(t, scheduler.ByArrival, h, func(t *testing.T, s *scheduler.Scheduler) {
			long := submitTo(t, s, "long", "long", edge.Batch, time.Minute)
			late := submitTo(t, s, "late", "m", edge.Urgent, 50*ms)
			<-late.Done()
			if got := s.Snapshot().Report.Order; got != "fifo" {
				t.Errorf("the order is reported as %q, want fifo", got)
			}
			if long.Settlement().Outcome != edge.Completed || late.Settlement().Outcome != edge.Missed {
				t.Errorf("settled as %v and %v, want completed and missed", long.Settlement().Outcome, late.Settlement().Outcome)
			}
		})
		if len(h.says) > 0 {
			t.Errorf("asked for %v, want nothing", h.says)
		}
	})
	t.Run("WhatCannotBeRunsOn", func(t *testing.T) {
		h := &halting{wont: true}
		suspending(t, h, func(t *testing.T, s *scheduler.Scheduler) {
			began := time.Now()
			long := submitTo(t, s, "long", "long", edge.Batch, time.Minute)
			first := submitTo(t, s, "first", "m", edge.Urgent, 50*ms)
			<-first.Done()
			<-long.Done()
			if took := time.Since(began); took != time.Second {
				t.Errorf("the long one took %v, want 1s: it was never halted", took)
			}
		})
	})
}
