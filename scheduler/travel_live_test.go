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

// distant answers what it is asked for after a while, or hangs, and says why it was not waited for.
type distant struct {
	after  map[string]time.Duration // by task; those that are not named hang
	panics string                   // the task at which it does
	ended  chan ending
}

type ending struct {
	task  string
	cause error
}

func (d *distant) Ask(ctx context.Context, t edge.Task) (edge.Answer, error) {
	if t.ID == d.panics {
		panic("of its own")
	}
	var answers <-chan time.Time
	if after, known := d.after[t.ID]; known {
		answers = time.After(after)
	}
	select {
	case <-answers:
		d.ended <- ending{t.ID, nil}
		return edge.Answer{Instance: "far away", Route: edge.AnsweredUpstream}, nil
	case <-ctx.Done():
		d.ended <- ending{t.ID, context.Cause(ctx)}
		return edge.Answer{}, ctx.Err()
	}
}

// TestScheduler_Travel has tasks answered elsewhere by the real loop.
func TestScheduler_Travel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &distant{after: map[string]time.Duration{"quick": 5 * ms, "leaves": time.Hour}, panics: "breaks", ended: make(chan ending, 9)}
		local := &executor{}
		s, err := scheduler.New(scheduler.Options{Slots: 1, Executor: local, Remote: far})
		if err != nil {
			t.Fatal(err)
		}
		s.Serve([]edge.Pool{pool("m", 2)})
		s.Govern(scheduler.Rules{Routes: map[string]scheduler.RouteRule{"m": {Mode: edge.RouteUpstreamElseLocal}, "away": {Mode: edge.RouteUpstream}}})
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- s.Run(ctx) }()
		synctest.Wait()
		submit := func(id, model string, within time.Duration) *scheduler.Ticket {
			t.Helper()
			ticket, err := s.Submit(t.Context(), task(id, model, edge.Normal, within))
			if err != nil {
				t.Fatal(err)
			}
			return ticket
		}
		if got := s.Wait(t.Context(), submit("quick", "m", 100*ms)); got.Outcome != edge.Completed || got.Answer.Instance != "far away" || got.Compute != 5*ms {
			t.Errorf("got %+v, want the answer from far away", got)
		}
		<-far.ended
		if got := s.Wait(t.Context(), submit("hangs", "m", 100*ms)); got.Outcome != edge.Completed || got.Answer.Instance == "far away" || !errors.Is((<-far.ended).cause, edge.ErrDeadline) {
			t.Errorf("got %+v, want an answer from here, and the attempt ended for being late", got)
		}
		if got := s.Wait(t.Context(), submit("breaks", "m", 100*ms)); got.Outcome != edge.Completed {
			t.Errorf("got %+v, want an answer from here", got)
		}
		impatient, leave := context.WithTimeout(t.Context(), ms)
		defer leave()
		if got := s.Wait(impatient, submit("leaves", "away", time.Minute)); got.Outcome != edge.Cancelled || !errors.Is((<-far.ended).cause, edge.ErrCancelled) {
			t.Errorf("got %+v, want it cancelled, and the attempt ended for nobody's fault", got)
		}
		late := s.Wait(t.Context(), submit("late", "away", 50*ms))
		if late.Outcome != edge.Missed || !errors.Is(late.Err, edge.ErrDeadline) || late.Slack() < -ms {
			t.Errorf("got %+v, want it told at its deadline", late)
		}
		<-far.ended
		last := submit("last", "away", time.Hour)
		if report := s.Snapshot().Report; report.Away != 1 || report.Attempts != 1 {
			t.Errorf("report = %+v", report)
		}
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
		if got := last.Settlement(); got.Outcome != edge.Cancelled || !errors.Is((<-far.ended).cause, edge.ErrCancelled) {
			t.Errorf("at the end got %+v", got)
		}
	})
}
