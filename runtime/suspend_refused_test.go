package runtime_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/runtime/fake"
)

func TestSupervisor_SuspendRefused(t *testing.T) {
	for name, change := range map[string]func(*edge.Serve){
		"SeveralAtOnce":  func(s *edge.Serve) { s.Concurrency = 2 },
		"NotPreemptible": func(s *edge.Serve) { s.Fixed = true },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *fake.Driver) {
				h, id := suspending(t, d, change)
				one := numbered("one")
				ended := h.execute(one)
				if err := h.sup.Suspend(t.Context(), one); err == nil {
					t.Error("got no error")
				}
				h.wantHalted(id, false)
				if got := <-ended; got.err != nil {
					t.Error(got.err)
				}
				synctest.Wait()
				h.wantNoWarnings() // it is as it is wanted
			})
		})
	}
	t.Run("ByTheKernel", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			refused := edge.WithHint(errors.New("no freezer"), "mount one")
			d.SuspendError = func(string) error { return refused }
			h, id := suspending(t, d, nil)
			one := numbered("one")
			ended := h.execute(one)
			if err := h.sup.Suspend(t.Context(), one); !errors.Is(err, refused) {
				t.Errorf("got %v, want %v", err, refused)
			}
			settle(0)
			h.wantHalted(id, false)
			if got := h.warning("suspend-failed", "shop/digits"); got.Remedy != "mount one" {
				t.Errorf("warning: got %+v, want the remedy", got)
			}
			if got := <-ended; got.err != nil {
				t.Error(got.err)
			}
			refused = nil
			two := numbered("two")
			ended = h.execute(two)
			if err := h.sup.Suspend(t.Context(), two); err != nil {
				t.Fatal(err)
			}
			settle(0)
			h.wantNoWarnings()
			h.sup.Resume(t.Context(), two)
			if got := <-ended; got.err != nil {
				t.Error(got.err)
			}
		})
	})
	t.Run("CannotGoOn", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.ResumeError = func(string) error { return errors.New("stuck") }
			h, id := suspending(t, d, nil)
			one := numbered("one")
			ended := h.execute(one)
			if err := h.sup.Suspend(t.Context(), one); err != nil {
				t.Fatal(err)
			}
			h.sup.Resume(t.Context(), one)
			if got := <-ended; !errors.Is(got.err, edge.ErrModel) {
				t.Errorf("got %v, want %v: its instance is ended", got.err, edge.ErrModel)
			}
			settle(time.Minute)
			if running := d.Running(); len(running) != 1 || running[0] == id {
				t.Errorf("running: got %v, want another instance than %s", running, id)
			}
		})
	})
}

func TestSupervisor_SuspendedEnds(t *testing.T) {
	// Each is done to an instance that is halted in the middle of a task.
	for name, c := range map[string]struct {
		do       func(h *house, id string)
		answered bool
	}{
		"Restart": {func(h *house, id string) {
			if err := h.sup.Restart(context.Background(), "shop/digits"); err != nil {
				h.t.Error(err)
			}
		}, true},
		"Removed":  {func(h *house, _ string) { h.sup.Apply(nil) }, true},
		"Killed":   {func(h *house, id string) { h.driver.Exit(id, edge.Exit{Code: 137, Signal: "SIGKILL"}) }, false},
		"Vanished": {func(h *house, id string) { h.driver.Vanish(id) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *fake.Driver) {
				h, id := suspending(t, d, nil)
				one := numbered("one")
				ended := h.execute(one)
				if err := h.sup.Suspend(t.Context(), one); err != nil {
					t.Fatal(err)
				}
				c.do(h, id)
				got := <-ended
				if (got.err == nil) != c.answered {
					t.Errorf("got %v, want answered %v", got.err, c.answered)
				}
				h.sup.Resume(t.Context(), one)
				settle(time.Minute)
				if now, _ := h.sup.Suspensions(); now != 0 {
					t.Errorf("%d instances are said to be halted", now)
				}
			})
		})
	}
	t.Run("AgentEnds", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h, id := suspending(t, d, nil)
			one := numbered("one")
			ended := h.execute(one)
			if err := h.sup.Suspend(t.Context(), one); err != nil {
				t.Fatal(err)
			}
			h.end()
			<-ended
			if halted, err := d.Halted(id); err != nil || halted {
				t.Errorf("halted: got %v (%v) after the agent's end", halted, err)
			}
			settle(time.Second) // what the model still works on
		})
	})
}
