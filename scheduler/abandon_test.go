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

// quitter executes tasks until they are abandoned.
type quitter struct {
	mu    sync.Mutex // guards under
	under map[string]context.CancelFunc
}

func (q *quitter) Execute(ctx context.Context, t edge.Task) (edge.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	q.mu.Lock()
	q.under[t.ID] = cancel
	q.mu.Unlock()
	<-ctx.Done()
	return edge.Answer{}, ctx.Err()
}

func (q *quitter) Abandon(t edge.Task) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if cancel := q.under[t.ID]; cancel != nil {
		cancel()
	}
}

// An executor that can end what nobody waits for is told, and its capacity is then free.
func TestScheduler_Abandon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := scheduler.New(scheduler.Options{Slots: 1, Executor: &quitter{under: map[string]context.CancelFunc{}}})
		if err != nil {
			t.Fatal(err)
		}
		s.Serve([]edge.Pool{pool("m", 1)})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { _ = s.Run(ctx); close(ended) }()
		synctest.Wait()
		for _, id := range []string{"a", "b"} {
			if _, err := s.Submit(ctx, task(id, "m", edge.Batch, 0)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		begun := time.Now()
		if !s.Cancel("a") {
			t.Error("the task was not there")
		}
		synctest.Wait()
		running := s.Snapshot().Running
		if len(running) != 1 || running[0].ID != "b" || time.Since(begun) != 0 {
			t.Errorf("got %+v after %v, want the next task begun at once", running, time.Since(begun))
		}
		cancel()
		<-ended
	})
}
