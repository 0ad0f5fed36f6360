package runtime_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/runtime/fake"
)

// after is a workload that is started always, and after another.
func after(name string, on ...edge.Dependency) edge.Workload {
	w := service(name, 1)
	w.Restart, w.DependsOn = edge.RestartAlways, on
	return w
}

func when(name string, c edge.DependencyCondition) edge.Dependency {
	return edge.Dependency{Name: name, When: c}
}

// began lists the workloads in the order in which instances of them were started.
func (h *house) began(kind edge.EventKind) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var keys []string
	for _, e := range h.events {
		if e.Kind == kind {
			keys = append(keys, e.Facts["workload"])
		}
	}
	return keys
}

func TestDepends_Order(t *testing.T) {
	// The names are against the order of the alphabet.
	app := func(c edge.DependencyCondition) []edge.Workload {
		return []edge.Workload{after("a", when("b", c)), after("b", when("c", c)), after("c")}
	}
	t.Run("StartedInOrderAndStoppedInReverse", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			h.sup.Apply(app(edge.WhenStarted))
			settle(150 * time.Millisecond)
			h.wantState("shop/a", edge.InstanceWaiting)
			wantContains(t, h.state("shop/a").Detail, `waits for "b", which has not been started`)
			settle(time.Second)
			if got, want := h.began(edge.EventInstanceStarted), []string{"shop/c", "shop/b", "shop/a"}; !slices.Equal(got, want) {
				t.Errorf("started: got %v, want %v", got, want)
			}
			h.sup.Apply(nil)
			settle(time.Second)
			if got, want := h.began(edge.EventInstanceStopped), []string{"shop/a", "shop/b", "shop/c"}; !slices.Equal(got, want) {
				t.Errorf("stopped: got %v, want %v", got, want)
			}
		})
	})
	t.Run("HealthyIsWaitedFor", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			well := &health{}
			d.Command = well.command
			well.set("ready", true)
			all := app(edge.WhenHealthy)
			all[2].Probes.Readiness = by("ready")
			h := newHouse(t, d)
			h.sup.Apply(all)
			settle(time.Hour)
			h.wantRunning(1)
			wantContains(t, h.state("shop/b").Detail, `waits for "c", which is not ready: readiness probe`)
			h.wantNoWarnings()
			well.set("ready", false)
			settle(time.Second + time.Second)
			h.wantRunning(3)
		})
	})
	t.Run("WhatRunsAlreadyIsAdopted", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			all := app(edge.WhenHealthy)
			for _, w := range all[:2] { // what they depend on is gone
				if _, err := d.Add(w, w.Name); err != nil {
					t.Fatal(err)
				}
			}
			d.StartError = func(edge.Workload) error { return errors.New("no such image") }
			h := newHouse(t, d)
			h.sup.Apply(all)
			settle(time.Minute)
			h.wantRunning(2)
			h.wantEvents(edge.EventInstanceAdopted, 2)
			d.StartError = nil
		})
	})
	t.Run("UpdateFollowsTheOrder", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			all := app(edge.WhenHealthy)
			h.sup.Apply(all)
			settle(time.Minute)
			for i := range all {
				all[i].Image += "-new"
			}
			h.sup.Apply(all)
			settle(time.Minute)
			if got, want := h.began(edge.EventInstanceStarted)[3:], []string{"shop/c", "shop/b", "shop/a"}; !slices.Equal(got, want) {
				t.Errorf("started: got %v, want %v", got, want)
			}
			h.wantRunning(3)
			h.wantEvents(edge.EventDependencyLost, 0)
		})
	})
}

func TestDepends_Completed(t *testing.T) {
	seed := func(code uint32) (d func(context.Context, <-chan struct{}, edge.Workload) edge.Exit) {
		return func(ctx context.Context, stop <-chan struct{}, w edge.Workload) edge.Exit {
			if w.Name == "seed" {
				<-time.After(time.Second)
				return edge.Exit{Code: code}
			}
			select {
			case <-ctx.Done():
			case <-stop:
			}
			return edge.Exit{}
		}
	}
	once := service("seed", 1)
	once.Restart = edge.RestartNo
	t.Run("Well", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Main = seed(0)
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{after("a", when("seed", edge.WhenCompleted)), once})
			settle(900 * time.Millisecond)
			h.wantState("shop/a", edge.InstanceWaiting)
			settle(time.Second)
			h.wantState("shop/a", edge.InstanceReady)
			h.wantNoWarnings()
		})
	})
	t.Run("Failed", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Main = seed(4)
			h := newHouse(t, d)
			optional := when("seed", edge.WhenCompleted)
			optional.Optional = true
			h.sup.Apply([]edge.Workload{after("a", when("seed", edge.WhenCompleted)), after("b", optional), once})
			settle(time.Minute)
			h.wantState("shop/a", edge.InstanceWaiting)
			h.wantState("shop/b", edge.InstanceReady)
			wantContains(t, h.warning("dependency-failed", "shop/a").Detail, `waits for "seed", which exited with code 4`)
			d.Main = seed(0)
			if err := h.sup.Restart(t.Context(), "shop/seed"); err != nil {
				t.Fatal(err)
			}
			settle(time.Minute)
			h.wantState("shop/a", edge.InstanceReady)
			h.wantNoWarnings()
		})
	})
}

func TestDepends_Trouble(t *testing.T) {
	t.Run("LostIsToldAndStopsNobody", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{after("a", when("b", edge.WhenHealthy)), after("b")})
			settle(time.Minute)
			first := h.state("shop/a").ID
			d.Exit(h.state("shop/b").ID, edge.Exit{Code: 1})
			settle(time.Minute)
			h.wantEvents(edge.EventDependencyLost, 1)
			h.wantEvents(edge.EventDependencyBack, 1)
			if got := h.state("shop/a"); got.ID != first {
				t.Errorf("got %s, want %s to run on", got.ID, first)
			}
			d.Exit(first, edge.Exit{Code: 1}) // and starts again without asking
			settle(time.Second)
			h.wantState("shop/a", edge.InstanceReady)
		})
	})
	t.Run("AbsentOneIsWaitedForOnlyIfRequired", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			optional := when("gone", edge.WhenHealthy)
			optional.Optional = true
			h.sup.Apply([]edge.Workload{after("a", when("gone", edge.WhenStarted)), after("b", optional)})
			settle(time.Minute)
			h.wantState("shop/a", edge.InstanceWaiting)
			h.wantState("shop/b", edge.InstanceReady)
			wantContains(t, h.warning("dependency-failed", "shop/a").Detail, `waits for "gone", which is not wanted`)
			none := after("gone")
			none.Replicas = 0
			h.sup.Apply([]edge.Workload{after("a", when("gone", edge.WhenStarted)), none})
			settle(time.Minute)
			h.wantState("shop/a", edge.InstanceReady)
		})
	})
	t.Run("CircleDoesNotHang", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{after("a", when("b", edge.WhenStarted)), after("b", when("a", edge.WhenStarted)), after("c")})
			settle(time.Minute)
			h.wantState("shop/a", edge.InstanceWaiting)
			h.wantState("shop/c", edge.InstanceReady)
		})
	})
}

func TestDepends_Restart(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		h := newHouse(t, d)
		follows := when("b", edge.WhenHealthy)
		follows.Restart = true
		all := []edge.Workload{after("a", follows), after("b"), after("c", when("b", edge.WhenHealthy))}
		h.sup.Apply(all)
		settle(time.Minute)
		first := map[string]string{"a": h.state("shop/a").ID, "c": h.state("shop/c").ID}
		d.Exit(h.state("shop/b").ID, edge.Exit{Code: 1})
		settle(time.Minute)
		if got := h.state("shop/a").ID; got != first["a"] {
			t.Error("an end of what it depends on restarted it, want updates and restarts by hand alone")
		}
		all[1].Image += "-new"
		h.sup.Apply(all)
		settle(time.Minute)
		second := h.state("shop/a").ID
		if second == first["a"] || h.state("shop/c").ID != first["c"] {
			t.Errorf("update: got %s and %s, want another a and the same c", second, h.state("shop/c").ID)
		}
		if err := h.sup.Restart(t.Context(), "shop/b"); err != nil {
			t.Fatal(err)
		}
		settle(time.Minute)
		if got := h.state("shop/a").ID; got == second || h.state("shop/c").ID != first["c"] {
			t.Error("restart by hand: want another a and the same c")
		}
		settle(time.Hour)
		h.wantRunning(3)
		h.wantEvents(edge.EventInstanceStarted, 3+1+2+2)
	})
}
