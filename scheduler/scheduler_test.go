package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/scheduler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

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

func TestNew_ChecksOptions(t *testing.T) {
	good := scheduler.Options{Slots: 1, Executor: &executor{}}
	for name, spoil := range map[string]func(*scheduler.Options){
		"NoSlots":      func(o *scheduler.Options) { o.Slots = 0 },
		"NoExecutor":   func(o *scheduler.Options) { o.Executor = nil },
		"NegativeCost": func(o *scheduler.Options) { o.DefaultCost = -1 },
		"NoQueue":      func(o *scheduler.Options) { o.QueueLimit = map[edge.Class]int{edge.Batch: 0} },
		"OddClass":     func(o *scheduler.Options) { o.QueueLimit = map[edge.Class]int{7: 1} },
	} {
		t.Run(name, func(t *testing.T) {
			bad := good
			spoil(&bad)
			if _, err := scheduler.New(bad); !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("error is %v, want ErrInvalid", err)
			}
		})
	}
	if _, err := scheduler.New(good); err != nil {
		t.Errorf("good options: %v", err)
	}
}

func TestScheduler_Submit(t *testing.T) {
	t.Run("AnswersInDeadlineOrder", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			first := b.submit("first", "m", edge.Normal, time.Second)
			last := b.submit("late", "m", edge.Urgent, 300*ms)
			b.submit("early", "m", edge.Batch, 200*ms)
			s := b.Wait(t.Context(), last)
			b.assertOutcome(s, edge.Completed)
			if s.Queue != 20*ms || s.Compute != 10*ms || s.Answer.Instance != "instance-of-late" || s.Err != nil {
				t.Errorf("settlement is %+v", s)
			}
			if got, want := strings.Join(b.executor.order, " "), "first early late"; got != want {
				t.Errorf("ran %s, want %s", got, want)
			}
			select {
			case <-first.Done():
			default:
				t.Error("the first has no settlement")
			}
		})
	})
	t.Run("RefusesAtOnce", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			b.submit("runs", "m", edge.Normal, time.Second)
			asked := time.Now()
			_, err := b.Submit(t.Context(), task("tight", "m", edge.Normal, 15*ms))
			refusal, ok := edge.AsRefusal(err)
			if !ok || refusal.Reason != edge.ReasonDeadlineUnreachable || refusal.Earliest != 20*ms {
				t.Fatalf("verdict is %v, want deadline_unreachable with 20ms", err)
			}
			if waited := time.Since(asked); waited != 0 {
				t.Errorf("the refusal took %v", waited)
			}
			if explained := b.Explain(task("tight", "m", edge.Normal, 15*ms)); explained == nil || explained.Error() != err.Error() {
				t.Errorf("explained as %v, want %v", explained, err)
			}
			if err := b.Explain(task("tight", "m", edge.Normal, refusal.Earliest)); err != nil {
				t.Errorf("the deadline offered: %v", err)
			}
			b.Wait(t.Context(), b.submit("tight", "m", edge.Normal, refusal.Earliest))
			if got := b.settled[0]; got.Task.ID != "tight" || got.Outcome != edge.Refused || got.Err == nil {
				t.Errorf("first reported is %+v, want the refusal", got)
			}
		})
	})
	t.Run("KeepsLanesOfItsPool", func(t *testing.T) {
		inBubble(t, 4, func(t *testing.T, b *bench) {
			b.submit("n1", "narrow", edge.Normal, time.Second)
			n2 := b.submit("n2", "narrow", edge.Normal, time.Second)
			b.submit("m1", "m", edge.Normal, 2*time.Second)
			synctest.Wait()
			if got := b.Snapshot(); got.Report.Running != 2 || len(got.Waiting) != 1 || got.Waiting[0].ID != "n2" {
				t.Errorf("snapshot is %+v", got)
			}
			if s := b.Wait(t.Context(), n2); s.Queue != 10*ms {
				t.Errorf("waited %v, want 10ms", s.Queue)
			}
		})
	})
	t.Run("WithoutArrivalCountsFromNow", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			bare := edge.Task{ID: "bare", Model: "m"}
			ticket, err := b.Submit(t.Context(), bare)
			if err != nil {
				t.Fatal(err)
			}
			if s := b.Wait(t.Context(), ticket); s.Queue != 0 || s.Task.Arrived.IsZero() || s.Slack() != 0 {
				t.Errorf("settlement is %+v", s)
			}
		})
	})
	t.Run("UntilDoneContextOnly", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			ctx, cancel := context.WithCancel(t.Context())
			ticket, err := b.Submit(ctx, task("a", "m", edge.Normal, time.Second))
			if err != nil {
				t.Fatal(err)
			}
			cancel()
			b.assertOutcome(b.Wait(t.Context(), ticket), edge.Completed)
		})
	})
}

func TestScheduler_Execute(t *testing.T) {
	t.Run("ErrorFailsItsTaskOnly", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			cause := errors.New("wrong shape")
			b.executor.fails["bad"] = cause
			bad, good := b.submit("bad", "m", edge.Normal, 100*ms), b.submit("good", "m", edge.Normal, 200*ms)
			s := b.Wait(t.Context(), bad)
			b.assertOutcome(s, edge.Failed)
			if !errors.Is(s.Err, cause) {
				t.Errorf("error is %v, want the cause", s.Err)
			}
			b.assertOutcome(b.Wait(t.Context(), good), edge.Completed)
		})
	})
	t.Run("PanicFailsItsTaskOnly", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			b.executor.panic["bad"] = "index out of range"
			bad, good := b.submit("bad", "m", edge.Normal, 100*ms), b.submit("good", "m", edge.Normal, 200*ms)
			s := b.Wait(t.Context(), bad)
			b.assertOutcome(s, edge.Failed)
			if s.Err == nil || !strings.Contains(s.Err.Error(), "index out of range") {
				t.Errorf("error is %v, want the panic named", s.Err)
			}
			b.assertOutcome(b.Wait(t.Context(), good), edge.Completed)
		})
	})
	t.Run("LeavingFailsItsTaskOnly", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			b.executor.exits["bad"] = true
			bad, good := b.submit("bad", "m", edge.Normal, 100*ms), b.submit("good", "m", edge.Normal, 200*ms)
			b.assertOutcome(b.Wait(t.Context(), bad), edge.Failed)
			b.assertOutcome(b.Wait(t.Context(), good), edge.Completed)
		})
	})
	t.Run("SlowIsToldAtItsDeadlineAndKeepsItsSlot", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			b.executor.takes["slow"] = 500 * ms
			slow, next := b.submit("slow", "m", edge.Normal, 50*ms), b.submit("next", "m", edge.Batch, 0)
			begun := time.Now()
			s := b.Wait(t.Context(), slow)
			b.assertOutcome(s, edge.Missed)
			if waited := time.Since(begun); waited < 50*ms || waited > 51*ms || !errors.Is(s.Err, edge.ErrDeadline) {
				t.Errorf("told after %v that %v, want 50ms and ErrDeadline", waited, s.Err)
			}
			if running := b.Snapshot().Running; len(running) != 1 || running[0].State != "missed" || running[0].Reason == "" {
				t.Errorf("running shows %+v, want the slow one", running)
			}
			if s := b.Wait(t.Context(), next); s.Queue != 500*ms {
				t.Errorf("the next waited %v, want 500ms", s.Queue)
			}
		})
	})
	t.Run("AnswerAtTheDeadlineCounts", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			for i := range 50 {
				b.assertOutcome(b.Wait(t.Context(), b.submit(fmt.Sprint(i), "m", edge.Normal, 10*ms)), edge.Completed)
			}
		})
	})
	t.Run("HopelessIsToldEarly", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			b.executor.takes["slow"] = 500 * ms
			b.submit("slow", "m", edge.Normal, time.Second)
			begun := time.Now()
			s := b.Wait(t.Context(), b.submit("waits", "m", edge.Normal, 100*ms))
			b.assertOutcome(s, edge.Evicted)
			if told := time.Since(begun); told < 90*ms || told > 91*ms {
				t.Errorf("told after %v, want 90ms, with the 10ms it takes left", told)
			}
		})
	})
}

func TestScheduler_Cancel(t *testing.T) {
	t.Run("ByContext", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			runs, waits := b.submit("runs", "m", edge.Normal, time.Second), b.submit("waits", "m", edge.Normal, time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 3*ms)
			defer cancel()
			for _, ticket := range []*scheduler.Ticket{runs, waits} {
				s := b.Wait(ctx, ticket)
				b.assertOutcome(s, edge.Cancelled)
				if !errors.Is(s.Err, edge.ErrCancelled) {
					t.Errorf("error is %v, want ErrCancelled", s.Err)
				}
			}
			if s := b.Wait(t.Context(), b.submit("next", "m", edge.Normal, time.Second)); s.Queue != 7*ms {
				t.Errorf("the next waited %v, want 7ms: the cancelled one still computed", s.Queue)
			}
		})
	})
	t.Run("ByID", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			ticket := b.submit("a", "m", edge.Normal, time.Second)
			if b.Cancel("b") || !b.Cancel("a") || b.Cancel("a") {
				t.Error("cancel tells the wrong thing")
			}
			b.assertOutcome(ticket.Settlement(), edge.Cancelled)
		})
	})
	t.Run("Storm", func(t *testing.T) {
		inBubble(t, 2, func(t *testing.T, b *bench) {
			var clients sync.WaitGroup
			for i := range 300 {
				clients.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i%40)*ms)
					defer cancel()
					ticket, err := b.Submit(t.Context(), task(fmt.Sprint(i), []string{"m", "narrow"}[i%2], edge.Classes[i%3], time.Duration(20+i)*ms))
					if err == nil {
						b.Wait(ctx, ticket)
					}
				})
			}
			clients.Wait()
		})
	})
}

func TestScheduler_Serve(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		for i := range 100 {
			b.Serve(nil)
			_, err := b.Submit(t.Context(), task(fmt.Sprint("a", i), "m", edge.Normal, time.Second))
			if refusal, ok := edge.AsRefusal(err); !ok || refusal.Reason != edge.ReasonUnknownModel {
				t.Fatalf("verdict is %v, want unknown_model", err)
			}
			b.Serve([]edge.Pool{pool("m", 1)})
			b.Wait(t.Context(), b.submit(fmt.Sprint("b", i), "m", edge.Normal, time.Second))
		}
		models := b.Snapshot().Report.Models
		if len(models) != 1 || models[0].Runs != 64 || models[0].Estimate != 10*ms || models[0].Firm != 13*ms {
			t.Errorf("models are reported as %+v", models)
		}
		b.Recheck()
	})
}

func TestScheduler_Drain(t *testing.T) {
	t.Run("ReturnsWhenEverythingEnded", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			b.submit("runs", "m", edge.Normal, time.Second)
			waits := b.submit("waits", "m", edge.Normal, time.Second)
			begun := time.Now()
			if err := b.Drain(t.Context()); err != nil || time.Since(begun) != 20*ms {
				t.Errorf("drained after %v with %v, want 20ms", time.Since(begun), err)
			}
			b.assertOutcome(waits.Settlement(), edge.Completed)
			_, err := b.Submit(t.Context(), task("late", "m", edge.Normal, time.Second))
			if refusal, ok := edge.AsRefusal(err); !ok || refusal.Reason != edge.ReasonDraining || !b.Snapshot().Report.Draining {
				t.Errorf("verdict is %v, want draining", err)
			}
			b.Undrain()
			b.submit("again", "m", edge.Normal, time.Second)
		})
	})
	t.Run("GivesUpWithItsContext", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			b.executor.takes["slow"] = time.Minute
			b.submit("slow", "m", edge.Normal, time.Hour)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := b.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error is %v, want the context's", err)
			}
		})
	})
}

func TestScheduler_Run(t *testing.T) {
	t.Run("SettlesEverythingAtItsEnd", func(t *testing.T) {
		inBubble(t, 1, func(t *testing.T, b *bench) {
			b.executor.takes["runs"] = time.Hour
			runs, waits := b.submit("runs", "m", edge.Batch, 0), b.submit("waits", "m", edge.Batch, 0)
			b.stop()
			s := b.Wait(t.Context(), runs)
			b.assertOutcome(s, edge.Cancelled)
			if !errors.Is(s.Err, edge.ErrUnavailable) {
				t.Errorf("error is %v, want ErrUnavailable", s.Err)
			}
			s = b.Wait(t.Context(), waits)
			b.assertOutcome(s, edge.Evicted)
			if refusal, ok := edge.AsRefusal(s.Err); !ok || refusal.Reason != edge.ReasonDraining {
				t.Errorf("error is %v, want draining", s.Err)
			}
			if b.executor.alive != 0 {
				t.Errorf("%d executors outlived the run", b.executor.alive)
			}
			assertUnavailable(t, b.Scheduler)
			if err := b.Run(t.Context()); !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("running twice: %v, want ErrInvalid", err)
			}
		})
	})
	t.Run("AnswersWhileExecutorsTakeTheirTimeToEnd", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s, err := scheduler.New(scheduler.Options{Slots: 1, Executor: deaf{}})
			if err != nil {
				t.Fatal(err)
			}
			s.Serve([]edge.Pool{pool("m", 1)})
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { _ = s.Run(ctx); close(ended) }()
			synctest.Wait()
			if _, err := s.Submit(ctx, task("a", "m", edge.Batch, 0)); err != nil {
				t.Fatal(err)
			}
			cancel()
			synctest.Wait()
			assertUnavailable(t, s)
			begun := time.Now()
			<-ended
			if waited := time.Since(begun); waited != time.Minute {
				t.Errorf("run ended after %v, want after the executor's minute", waited)
			}
		})
	})
	t.Run("NotYet", func(t *testing.T) {
		s, err := scheduler.New(scheduler.Options{Slots: 3, Executor: &executor{}})
		if err != nil {
			t.Fatal(err)
		}
		assertUnavailable(t, s)
		if got := s.Snapshot().Report.Slots; got != 3 {
			t.Errorf("%d slots are reported, want 3", got)
		}
	})
}

// deaf is an executor that does not listen to its context.
type deaf struct{}

func (deaf) Execute(context.Context, edge.Task) (edge.Answer, error) {
	<-time.After(time.Minute)
	return edge.Answer{}, nil
}

func assertUnavailable(t *testing.T, s *scheduler.Scheduler) {
	t.Helper()
	_, err := s.Submit(t.Context(), task("x", "m", edge.Normal, time.Second))
	for name, err := range map[string]error{"submit": err, "explain": s.Explain(edge.Task{ID: "x"}), "drain": s.Drain(t.Context())} {
		if !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
	}
	if s.Cancel("x") {
		t.Error("cancelled a task that is not there")
	}
	s.Recheck()
	s.Undrain()
}
