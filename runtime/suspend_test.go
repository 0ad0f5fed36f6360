package runtime_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/runtime/fake"
)

// outcome is what Execute has returned.
type outcome struct {
	answer edge.Answer
	err    error
	at     time.Time
}

// execute starts a task beside the test, whose model takes a second.
func (h *house) execute(t edge.Task) <-chan outcome {
	ended := make(chan outcome, 1)
	go func() {
		answer, err := h.sup.Execute(context.Background(), t)
		ended <- outcome{answer, err, time.Now()}
	}()
	synctest.Wait()
	return ended
}

// takesASecond is a model that works for a second, in real life of a fake's kind: what
// it says waits while its instance is halted.
func takesASecond(w http.ResponseWriter, r *http.Request) { takes(time.Second)(w, r) }

func takes(long time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(long)
		sayOne(w)
	}
}

func sayOne(w http.ResponseWriter) {
	_, _ = io.WriteString(w, `{"model_name":"digits","outputs":[{"name":"label","datatype":"INT64","shape":[1],"data":[1]}]}`)
}

// suspending starts a house with one instance whose model takes a second and whose
// requests have two.
func suspending(t *testing.T, d *fake.Driver, change func(*edge.Serve)) (h *house, id string) {
	t.Helper()
	h = serving(t, d, 1, func(s *edge.Serve) {
		s.Timeout = 2 * time.Second
		if change != nil {
			change(s)
		}
	}, takesASecond)
	return h, d.Running()[0]
}

func (h *house) wantHalted(id string, want bool) {
	h.t.Helper()
	if got, err := h.driver.Halted(id); err != nil || got != want {
		h.t.Errorf("halted: got %v (%v), want %v", got, err, want)
	}
	state := edge.InstanceReady
	if want {
		state = edge.InstanceSuspended
	}
	if view := h.view("shop/digits"); view.Ready != 1 || view.Instances[0].State != state {
		h.t.Errorf("view: got %d ready, %s; want 1, %s", view.Ready, describe(view), state)
	}
}

func numbered(id string) edge.Task {
	t := task("digits", "{}")
	t.ID, t.Arrived = id, time.Now()
	return t
}

func TestSupervisor_Suspend(t *testing.T) {
	t.Run("TimeStandsStill", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			// It has an answer half a second after the last halt, not while one follows another.
			h := serving(t, d, 1, func(s *edge.Serve) { s.Timeout = 2 * time.Second }, takes(3*time.Minute+time.Second))
			id := d.Running()[0]
			one, began := numbered("one"), time.Now()
			ended := h.execute(one)
			settle(500 * time.Millisecond)
			for range 3 {
				for range 2 {
					if err := h.sup.Suspend(t.Context(), one); err != nil {
						t.Fatal(err)
					}
				}
				h.wantHalted(id, true)
				settle(time.Minute) // longer than its request, its probes and its readiness have
				for range 2 {
					h.sup.Resume(t.Context(), one)
				}
				h.wantHalted(id, false)
			}
			got := <-ended
			if got.err != nil || got.answer.Instance != id {
				t.Errorf("got %+v, want the answer", got)
			}
			if took := got.at.Sub(began); took < 3*time.Minute {
				t.Errorf("answered after %v, while it was halted", took)
			}
			h.wantEvents(edge.EventInstanceUnready, 0)
			h.wantEvents(edge.EventInstanceExited, 0)
			h.wantNoWarnings()
			if now, ever := h.sup.Suspensions(); now != 0 || ever != 3 {
				t.Errorf("suspensions: got %d now and %d ever, want 0 and 3", now, ever)
			}
		})
	})
	t.Run("TimeGoesOnAfterwards", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, func(s *edge.Serve) { s.Timeout = 2 * time.Second }, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // only then it notices that the caller has gone
				<-r.Context().Done()
			})
			one, began := numbered("one"), time.Now()
			ended := h.execute(one)
			settle(1500 * time.Millisecond)
			if err := h.sup.Suspend(t.Context(), one); err != nil {
				t.Fatal(err)
			}
			settle(time.Minute)
			h.sup.Resume(t.Context(), one)
			got := <-ended
			if took := got.at.Sub(began); !errors.Is(got.err, edge.ErrModel) || took != time.Minute+2*time.Second {
				t.Errorf("got %v after %v, want a hung model after the two seconds it had and the minute it was halted", got.err, took)
			}
		})
	})
	t.Run("BeforeItBegan", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h, id := suspending(t, d, nil)
			one := numbered("one")
			if err := h.sup.Suspend(t.Context(), one); err != nil {
				t.Fatal(err)
			}
			ended := h.execute(one)
			settle(time.Minute)
			if len(ended) > 0 {
				t.Error("a task that was to wait was answered")
			}
			h.wantHalted(id, false) // nothing works there
			resumed := time.Now()
			h.sup.Resume(t.Context(), one)
			if got := <-ended; got.err != nil || got.at.Sub(resumed) != time.Second {
				t.Errorf("got %v after %v, want the answer after a second", got.err, got.at.Sub(resumed))
			}
			again := numbered("one") // another one by that name
			if got := <-h.execute(again); got.err != nil {
				t.Error(got.err)
			}
		})
	})
	t.Run("AfterItsEnd", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h, id := suspending(t, d, nil)
			one := numbered("one")
			<-h.execute(one)
			if err := h.sup.Suspend(t.Context(), one); err != nil {
				t.Fatal(err)
			}
			h.wantHalted(id, false)
			h.sup.Resume(t.Context(), one)
			if got := <-h.execute(numbered("one")); got.err != nil {
				t.Error(got.err)
			}
		})
	})
	t.Run("ManyAfterTheirEnds", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h, _ := suspending(t, d, nil)
			for range 200 { // what is remembered of them is bounded, and concerns nobody else
				if err := h.sup.Suspend(t.Context(), numbered("one")); err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Millisecond)
			}
			if got := <-h.execute(numbered("one")); got.err != nil {
				t.Error(got.err)
			}
		})
	})
}
