package runtime_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/runtime/fake"
)

// due is a task that has to be answered within the given time.
func due(within time.Duration) edge.Task {
	t := task("digits", "{}")
	t.Deadline = time.Now().Add(within)
	return t
}

func TestSupervisor_ExecutePerseveres(t *testing.T) {
	t.Run("UntilTheRestartedOneIsReady", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			var now, most atomic.Int32
			h := serving(t, d, 1, nil, func(w http.ResponseWriter, r *http.Request) {
				most.Store(max(most.Load(), now.Add(1)))
				pauseFor(r.Context(), 100*time.Millisecond)
				now.Add(-1)
				fake.WriteAnswer(w, "digits", 1)
			})
			d.Exit(d.Running()[0], edge.Exit{Code: 1})
			synctest.Wait()
			errs := make(chan error, 10)
			for range cap(errs) {
				go func() { _, err := h.sup.Execute(t.Context(), due(time.Minute)); errs <- err }()
			}
			for range cap(errs) {
				if err := <-errs; err != nil {
					t.Errorf("got %v, want an answer", err)
				}
			}
			if got := most.Load(); got != 1 {
				t.Errorf("at once: got %d, want 1, for there is one lane", got)
			}
		})
	})
	t.Run("PastAllThatFellDeafTogether", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 5, nil, nil)
			for _, id := range d.Running() {
				d.Deafen(id)
			}
			if _, err := h.sup.Execute(t.Context(), due(time.Minute)); err != nil {
				t.Errorf("got %v, want an answer of a new one", err)
			}
		})
	})
	t.Run("UntilTheDeafOneIsReplaced", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, nil)
			deaf := d.Running()[0]
			d.Deafen(deaf)
			synctest.Wait()
			answer, err := h.sup.Execute(t.Context(), due(time.Minute))
			if err != nil || answer.Instance == deaf {
				t.Errorf("got %v of %q, want an answer of a new instance", err, answer.Instance)
			}
		})
	})
	ends := map[string]struct {
		end  func(*house)
		want error
	}{
		"NoLongerThanTheDeadline": {end: func(*house) {}, want: edge.ErrDeadline},
		"UntilTheModelIsGone":     {end: func(h *house) { h.sup.Apply(nil) }, want: edge.ErrNotFound},
		"UntilTheAgentStops":      {end: (*house).end, want: edge.ErrUnavailable},
	}
	for name, c := range ends {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *fake.Driver) {
				h := serving(t, d, 1, nil, nil)
				d.StartDelay = time.Hour
				d.Exit(d.Running()[0], edge.Exit{Code: 1})
				synctest.Wait()
				began, done := time.Now(), make(chan error, 1)
				go func() { _, err := h.sup.Execute(t.Context(), due(time.Minute)); done <- err }()
				synctest.Wait()
				c.end(h)
				if err := <-done; !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
				if took := time.Since(began); took > time.Minute {
					t.Errorf("took %v, want at most 1m", took)
				}
			})
		})
	}
	t.Run("NoLongerThanItsCaller", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, nil, nil)
			d.StartDelay = time.Hour
			d.Exit(d.Running()[0], edge.Exit{Code: 1})
			synctest.Wait()
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if _, err := h.sup.Execute(ctx, due(time.Minute)); !errors.Is(err, edge.ErrCancelled) {
				t.Errorf("got %v, want cancelled", err)
			}
		})
	})
	t.Run("WithoutDeadlineForOneTimeout", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := serving(t, d, 1, func(s *edge.Serve) { s.Timeout = 7 * time.Second }, nil)
			d.StartDelay = time.Hour
			d.Exit(d.Running()[0], edge.Exit{Code: 1})
			synctest.Wait()
			began := time.Now()
			if _, err := h.sup.Execute(t.Context(), task("digits", "{}")); !errors.Is(err, edge.ErrUnavailable) {
				t.Errorf("got %v, want unavailable", err)
			}
			if took := time.Since(began); took != 7*time.Second {
				t.Errorf("took %v, want 7s", took)
			}
		})
	})
}

// picky works for a minute on small inputs and closes on large ones unread.
func picky(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength > 1<<10 {
		conn, _, _ := w.(http.Hijacker).Hijack()
		conn.Close()
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	pauseFor(r.Context(), time.Minute)
	fake.WriteAnswer(w, "digits", 1)
}

// TestSupervisor_ExecuteDoubts has one lane closed unread while the other works: the
// instance cannot be asked whether it is ready, and must neither be counted nor
// killed meanwhile.
func TestSupervisor_ExecuteDoubts(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		h := serving(t, d, 1, func(s *edge.Serve) { s.Concurrency, s.Timeout = 2, 5*time.Minute }, picky)
		working, refused := make(chan error, 1), make(chan error, 1)
		go func() { _, err := h.sup.Execute(t.Context(), task("digits", "{}")); working <- err }()
		synctest.Wait()
		large := task("digits", strings.Repeat(" ", 1<<20))
		go func() { _, err := h.sup.Execute(t.Context(), large); refused <- err }()
		settle(time.Second)
		if got := h.lanes("shop/digits"); got != 0 {
			t.Errorf("lanes while in doubt: got %d, want 0", got)
		}
		if _, ready, _ := h.sup.Model("digits"); ready {
			t.Error("model in doubt: got ready, want not ready")
		}
		if err := <-working; err != nil {
			t.Errorf("at work: got %v, want an answer", err)
		}
		if err := <-refused; !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("closed on unread: got %v, want unavailable", err)
		}
		settle(time.Second)
		if got := h.lanes("shop/digits"); got != 2 {
			t.Errorf("lanes once asked: got %d, want 2", got)
		}
		h.wantEvents(edge.EventInstanceExited, 0)
	})
}
