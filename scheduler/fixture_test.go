package scheduler_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/scheduler"
)

// executor answers each task after a time, with an error, by a panic, or never.
type executor struct {
	mu    sync.Mutex               // guards everything below
	takes map[string]time.Duration // by task id; default 10 ms
	fails map[string]error
	panic map[string]string
	exits map[string]bool // leaves without returning
	order []string
	alive int
}

var _ scheduler.Executor = (*executor)(nil)

func (e *executor) Execute(ctx context.Context, t edge.Task) (edge.Answer, error) {
	e.mu.Lock()
	takes, ok := e.takes[t.ID]
	if !ok {
		takes = 10 * ms
	}
	e.order = append(e.order, t.ID)
	e.alive++
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.alive--
		e.mu.Unlock()
	}()
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return edge.Answer{}, ctx.Err()
	}
	if text := e.panic[t.ID]; text != "" {
		panic(text)
	}
	if e.exits[t.ID] {
		exitGoroutine()
	}
	return edge.Answer{Model: t.Model, Instance: "instance-of-" + t.ID}, e.fails[t.ID]
}

// bench is a scheduler in a synctest bubble with what it reported.
type bench struct {
	*scheduler.Scheduler
	t        *testing.T
	executor *executor
	settled  []edge.Settlement // appended from the loop; read when it rests
	stop     func()
}

// inBubble runs f on a running scheduler of so many slots that serves the models
// "m" (as many lanes as slots) and "narrow" (one lane), 10 ms each.
func inBubble(t *testing.T, slots int, f func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{t: t, executor: &executor{takes: map[string]time.Duration{}, fails: map[string]error{}, panic: map[string]string{}, exits: map[string]bool{}}}
		var err error
		b.Scheduler, err = scheduler.New(scheduler.Options{
			Slots: slots, Executor: b.executor,
			Settled: func(s edge.Settlement) { b.settled = append(b.settled, s) },
		})
		if err != nil {
			t.Fatal(err)
		}
		b.Serve([]edge.Pool{pool("m", slots), pool("narrow", 1)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		b.stop = sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("run ended with %v", err)
			}
		})
		defer b.stop()
		synctest.Wait()
		f(t, b)
		b.stop()
		b.assertConserved()
	})
}

func pool(model string, lanes int) edge.Pool {
	return edge.Pool{Name: "pool-" + model, Lanes: lanes, Models: []edge.ModelCost{{Model: model, Cost: 10 * ms}}}
}

func task(id, model string, class edge.Class, within time.Duration) edge.Task {
	t := edge.Task{ID: id, Model: model, Class: class, Arrived: time.Now()}
	if within > 0 {
		t.Deadline = t.Arrived.Add(within)
	}
	return t
}

func (b *bench) submit(id, model string, class edge.Class, within time.Duration) *scheduler.Ticket {
	b.t.Helper()
	ticket, err := b.Submit(b.t.Context(), task(id, model, class, within))
	if err != nil {
		b.t.Fatalf("task %q was refused: %v", id, err)
	}
	return ticket
}

func (b *bench) assertOutcome(s edge.Settlement, want edge.Outcome) {
	b.t.Helper()
	if s.Outcome != want {
		b.t.Errorf("task %q settled as %v (%v), want %v", s.Task.ID, s.Outcome, s.Err, want)
	}
}

// assertConserved checks, after the end, that everything submitted has settled
// and every settlement was reported.
func (b *bench) assertConserved() {
	b.t.Helper()
	var submitted, settled uint64
	report := b.Snapshot().Report
	for _, class := range report.Classes {
		submitted += class.Submitted
		for _, n := range class.Settled {
			settled += n
		}
	}
	if submitted != settled || settled != uint64(len(b.settled)) {
		b.t.Errorf("%d submitted, %d settled, %d reported", submitted, settled, len(b.settled))
	}
	if report.Running+report.Waiting != 0 {
		b.t.Errorf("%d run and %d wait after the end", report.Running, report.Waiting)
	}
}
