package scheduler_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/scheduler"
)

// tardy is an executor that takes so long to find out that a task cannot be halted, that
// the task has ended.
type tardy struct{ *halting }

func (t tardy) Suspend(context.Context, edge.Task) error {
	<-time.After(2 * time.Second)
	return errors.New("it has ended")
}

func TestScheduler_SuspendedTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &halting{work: map[string]time.Duration{"long": time.Second, "urgent": 1500 * ms}, gate: map[string]chan bool{}}
		s, err := scheduler.New(scheduler.Options{Slots: 1, Executor: tardy{h}})
		if err != nil {
			t.Fatal(err)
		}
		s.Serve([]edge.Pool{
			{Name: "long", Lanes: 1, Models: []edge.ModelCost{{Model: "long", Cost: time.Second}}},
			{Name: "m", Lanes: 1, Models: []edge.ModelCost{{Model: "m", Cost: 1500 * ms}}},
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		synctest.Wait()
		long := submitTo(t, s, "long", "long", edge.Batch, time.Minute)
		<-time.After(100 * ms)
		<-submitTo(t, s, "urgent", "m", edge.Urgent, 1990*ms).Done()
		<-long.Done()
		<-time.After(3 * time.Second)
		if got := s.Snapshot().Report.Running; got != 0 {
			t.Errorf("%d tasks are said to run", got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestScheduler_SuspendedComputes(t *testing.T) {
	h := &halting{}
	suspending(t, h, func(t *testing.T, s *scheduler.Scheduler) {
		long := submitTo(t, s, "long", "long", edge.Batch, time.Minute)
		<-time.After(100 * ms)
		submitTo(t, s, "urgent", "m", edge.Urgent, 50*ms)
		<-long.Done()
		if got := long.Settlement().Compute; got != time.Second {
			t.Errorf("it has computed for %v, want 1s: halted it did not", got)
		}
	})
}
