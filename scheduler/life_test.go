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

func TestScheduler_Shed(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		runs := b.submit("runs", "m", edge.Normal, time.Second)
		waits := b.submit("waits", "m", edge.Normal, time.Second)
		begun := time.Now()
		shed := make(chan error)
		go func() { shed <- b.Shed(t.Context()) }()
		<-waits.Done()
		b.assertOutcome(waits.Settlement(), edge.Evicted)
		if refusal, ok := edge.AsRefusal(waits.Settlement().Err); !ok || refusal.Reason != edge.ReasonDraining || time.Since(begun) != 0 {
			t.Errorf("told %v after %v, want draining at once", waits.Settlement().Err, time.Since(begun))
		}
		if err := <-shed; err != nil || time.Since(begun) != 10*ms {
			t.Errorf("shed after %v with %v, want 10ms", time.Since(begun), err)
		}
		b.assertOutcome(runs.Settlement(), edge.Completed)
	})
}

func TestScheduler_ShedGivesUpWithItsContext(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, b *bench) {
		b.executor.takes["slow"] = time.Minute
		slow := b.submit("slow", "m", edge.Normal, time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Shed(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v, want the context's", err)
		}
		b.assertOutcome(b.Wait(t.Context(), slow), edge.Cancelled)
		if err := slow.Settlement().Err; !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("told %v, want unavailable", err)
		}
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

func TestScheduler_KeepsEstimates(t *testing.T) {
	var kept []scheduler.ModelEstimates
	inBubble(t, 1, func(t *testing.T, b *bench) {
		b.executor.takes["slow"] = 30 * ms
		b.Wait(t.Context(), b.submit("slow", "m", edge.Normal, time.Second))
		kept = b.Estimates()
		b.stop()
		if after := b.Estimates(); len(after) != 1 || len(kept) != 1 || after[0].Fastest != 30*ms {
			t.Errorf("kept %+v, and after the end %+v", kept, after)
		}
	})
	garbage := scheduler.ModelEstimates{Model: "narrow", Fastest: -1}
	s, err := scheduler.New(scheduler.Options{Slots: 1, Executor: &executor{}, Estimates: append(kept, garbage)})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Estimates(); len(got) != 1 || got[0].Model != "m" || got[0].Runs[0] != 30*ms {
		t.Errorf("the next begins with %+v", got)
	}
}
