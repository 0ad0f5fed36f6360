package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
	"holdfast/scheduler"
)

// halting executes tasks until they are let go, and suspends whatever it is told to.
type halting struct{ let chan struct{} }

func (h halting) Execute(context.Context, edge.Task) (edge.Answer, error) {
	<-h.let
	return edge.Answer{Model: "digits"}, nil
}

func (halting) Suspend(context.Context, edge.Task) error { return nil }
func (halting) Resume(context.Context, edge.Task)        {}

// liveAgent is an agent of which nothing runs but the queue, with two slots.
func liveAgent(t *testing.T, let chan struct{}) (live, func(id string, class edge.Class, within time.Duration) error) {
	t.Helper()
	a := &Agent{recent: newRecent(newChronicle(slog.New(slog.DiscardHandler)))}
	var err error
	a.scheduler, err = scheduler.New(scheduler.Options{
		Slots: 2, Executor: halting{let}, Settled: a.recent.Settled, QueueLimit: map[edge.Class]int{edge.Batch: 2000},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.scheduler.Serve([]edge.Pool{{Name: "p", Lanes: 4, Models: []edge.ModelCost{{Model: "digits", Cost: time.Second}}}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.scheduler.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		close(let)
		if err := <-ended; err != nil {
			t.Errorf("scheduler: got %v", err)
		}
	})
	return live{a}, func(id string, class edge.Class, within time.Duration) error {
		task := edge.Task{ID: id, Model: "digits", Class: class, Arrived: time.Now()}
		if within > 0 {
			task.Deadline = task.Arrived.Add(within)
		}
		_, err := a.scheduler.Submit(t.Context(), task)
		return err
	}
}

func TestLive_LiveTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		let := make(chan struct{})
		l, submit := liveAgent(t, let)
		var mark localapi.TaskMark
		look := func() (tasks edge.LiveTasks, changed bool) {
			synctest.Wait()
			before := mark
			tasks, mark = l.LiveTasks(mark)
			return tasks, mark != before
		}
		if tasks, changed := look(); !changed || len(tasks.Running)+len(tasks.Waiting)+len(tasks.Ended) > 0 {
			t.Errorf("at the start: got %+v, %v", tasks, changed)
		}
		if _, changed := look(); changed {
			t.Error("nothing has happened, and something has changed")
		}
		for _, id := range []string{"a", "b"} {
			if err := submit(id, edge.Batch, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		tasks, changed := look()
		if !changed || len(tasks.Running) != 2 {
			t.Fatalf("got %+v, %v", tasks, changed)
		}
		slots := map[int]bool{}
		for _, view := range tasks.Running {
			n, in := view.Slot.Number()
			slots[n] = in
			if view.State != "running" || view.Started.IsZero() || view.Deadline.IsZero() {
				t.Errorf("got %+v", view)
			}
		}
		if !slots[0] || !slots[1] {
			t.Errorf("they run in %v", slots)
		}
		time.Sleep(100 * time.Millisecond)
		if err := submit("now", edge.Urgent, 1010*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		tasks, changed = look()
		states := map[string]int{}
		for _, view := range tasks.Running {
			states[view.State]++
		}
		if !changed || states["running"] != 2 || states["suspended"] != 1 {
			t.Errorf("got %v, %v, want one of three suspended", states, changed)
		}
		if _, changed := look(); changed {
			t.Error("time passes, and something has changed")
		}
		let <- struct{}{}
		tasks, _ = look()
		if len(tasks.Ended) != 1 || tasks.EndedSkipped != 0 {
			t.Fatalf("got %+v", tasks.Ended)
		}
		if _, in := tasks.Ended[0].Slot.Number(); !in || tasks.Ended[0].Started.IsZero() || tasks.Ended[0].State != "completed" {
			t.Errorf("got %+v", tasks.Ended[0])
		}
		if tasks, changed := look(); changed {
			t.Errorf("told twice: %+v", tasks)
		}
	})
}

// TestLive_LiveTasks_IsBounded has thousands of tasks come and end between two looks.
func TestLive_LiveTasks_IsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, submit := liveAgent(t, make(chan struct{}))
		synctest.Wait()
		_, mark := l.LiveTasks(localapi.TaskMark{})
		for i := range 1500 {
			if err := submit(fmt.Sprint("waits-", i), edge.Batch, 0); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 1000 {
			if submit(fmt.Sprint("refused-", i), edge.Urgent, time.Millisecond) == nil {
				t.Fatal("it was let in")
			}
		}
		tasks, _ := l.LiveTasks(mark)
		if len(tasks.Waiting) != liveWaiting || tasks.WaitingTotal < 1490 {
			t.Errorf("waiting: got %d of %d", len(tasks.Waiting), tasks.WaitingTotal)
		}
		if len(tasks.Ended) != liveEnded || tasks.EndedSkipped != 800 || tasks.Ended[liveEnded-1].ID != "refused-999" {
			t.Errorf("ended: got %d and %d, the last %s", len(tasks.Ended), tasks.EndedSkipped, tasks.Ended[len(tasks.Ended)-1].ID)
		}
		text, err := json.Marshal(tasks)
		if err != nil || len(text) > 200<<10 {
			t.Errorf("got %d bytes, %v", len(text), err)
		}
	})
}
