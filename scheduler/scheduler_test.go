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

func TestNew_ChecksOptions(t *testing.T) {
	good := scheduler.Options{Slots: 1, Executor: &executor{}}
	for name, spoil := range map[string]func(*scheduler.Options){
		"NoSlots":      func(o *scheduler.Options) { o.Slots = 0 },
		"NoExecutor":   func(o *scheduler.Options) { o.Executor = nil },
		"NegativeCost": func(o *scheduler.Options) { o.DefaultCost = -1 },
		"OddOrder":     func(o *scheduler.Options) { o.Order = 99 },
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
