package runtime_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/runtime"
	"holdfast/runtime/fake"
)

func TestNew(t *testing.T) {
	if _, err := runtime.New(runtime.Options{}); err == nil {
		t.Error("without a driver: got no error, want one")
	}
}

func TestSupervisor_Run(t *testing.T) {
	t.Run("StartsWhatIsWanted", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Serve = honest
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{service("till", 2), modelServer("digits", 1)})
			settle(time.Second)
			h.wantRunning(3)
			h.wantEvents(edge.EventInstanceStarted, 3)
			h.wantEvents(edge.EventInstanceReady, 1)
			h.wantNoWarnings()
			if got := h.view("shop/till"); got.Ready != 2 {
				t.Errorf("till: got %s, want 2 ready", describe(got))
			}
			if got := h.lanes("shop/digits"); got != 1 {
				t.Errorf("lanes: got %d, want 1", got)
			}
			meta, ready, known := h.sup.Model("digits")
			if meta.Name != "digits" || !ready || !known {
				t.Errorf("model: got %v, ready %v, known %v", meta, ready, known)
			}
		})
	})
	t.Run("SettledShowsWhatWasApplied", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Serve = honest
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{modelServer("digits", 1)})
			if err := h.sup.Settle(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, _, known := h.sup.Model("digits"); !known {
				t.Error("settled: got an unknown model, want it known")
			}
			h.end()
			if err := h.sup.Settle(t.Context()); !errors.Is(err, edge.ErrUnavailable) {
				t.Errorf("after the end: got %v, want %v", err, edge.ErrUnavailable)
			}
		})
	})
	t.Run("EndingStopsNothingAndTheNextAdopts", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Serve = honest
			wanted := []edge.Workload{service("till", 2), modelServer("digits", 1)}
			first := newHouse(t, d)
			first.sup.Apply(wanted)
			settle(time.Second)
			before := d.Running()
			first.end()
			synctest.Wait()

			second := newHouse(t, d)
			second.sup.Apply(wanted)
			settle(time.Second)
			if got := d.Running(); len(got) != 3 || got[0] != before[0] || got[1] != before[1] || got[2] != before[2] {
				t.Errorf("running: got %v, want the same %v", got, before)
			}
			if got := d.Stopped(); len(got) != 0 {
				t.Errorf("stopped: got %v, want none", got)
			}
			second.wantEvents(edge.EventInstanceAdopted, 3)
			second.wantEvents(edge.EventInstanceStarted, 0)
			if _, ready, _ := second.sup.Model("digits"); !ready {
				t.Error("adopted model: got not ready, want ready")
			}
		})
	})
	t.Run("UnknownIsNotEmpty", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			if _, err := d.Add(service("till", 1), "till-1"); err != nil {
				t.Fatal(err)
			}
			h := newHouse(t, d)
			settle(time.Hour)
			h.wantRunning(1)
			if got := h.view("shop/till").Instances; len(got) != 1 || got[0].State != edge.InstanceUnknown {
				t.Errorf("before Apply: got %v, want one unknown instance", got)
			}
			h.sup.Apply(nil)
			settle(time.Minute)
			h.wantRunning(0)
			h.wantEvents(edge.EventInstanceStopped, 1)
			if got := h.sup.Workloads(); len(got) != 0 {
				t.Errorf("workloads: got %v, want none", got)
			}
		})
	})
	t.Run("SurplusAndForeignAreRetired", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			old := service("till", 1)
			old.Image = "registry.test/till:0"
			for id, w := range map[string]edge.Workload{"a": service("till", 1), "b": service("till", 1), "c": old, "d": service("gone", 1)} {
				if _, err := d.Add(w, id); err != nil {
					t.Fatal(err)
				}
			}
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{service("till", 1)})
			settle(time.Minute)
			h.wantRunning(1)
			h.wantEvents(edge.EventInstanceAdopted, 1)
			h.wantEvents(edge.EventInstanceStopped, 3)
			h.wantEvents(edge.EventInstanceStarted, 0)
		})
	})
	t.Run("OnlyOnce", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			synctest.Wait()
			if err := h.sup.Run(t.Context()); err == nil {
				t.Error("second Run: got no error, want one")
			}
		})
	})
}

func TestSupervisor_Apply(t *testing.T) {
	t.Run("Scales", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			for _, replicas := range []int{1, 4, 2, 0, 1} {
				h.sup.Apply([]edge.Workload{service("till", replicas)})
				settle(time.Minute)
				h.wantRunning(replicas)
			}
			h.wantEvents(edge.EventInstanceExited, 0)
			h.mu.Lock()
			defer h.mu.Unlock()
			for _, e := range h.events {
				if e.Kind == edge.EventInstanceStopped && e.Cause != "more instances than replicas" {
					t.Errorf("stopped since %q, and nothing but its number was changed", e.Cause)
				}
			}
		})
	})
	t.Run("UpdateStartsFirst", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Serve = honest
			h := newHouse(t, d)
			w := modelServer("digits", 3)
			h.sup.Apply([]edge.Workload{w})
			settle(time.Minute)

			w.Image = "registry.test/digits:2"
			h.sup.Apply([]edge.Workload{w})
			for range 100 { // at every moment of the update
				settle(10 * time.Millisecond)
				if got := h.lanes("shop/digits"); got < 3 {
					t.Fatalf("lanes during the update: got %d, want at least 3", got)
				}
			}
			settle(time.Minute)
			if got := d.Peak("shop/digits"); got != 4 {
				t.Errorf("most at once: got %d, want 4", got)
			}
			for _, inst := range h.view("shop/digits").Instances {
				if inst.Image != w.Image || inst.State != edge.InstanceReady {
					t.Errorf("after the update: got %s of %s, want ready of %s", inst.State, inst.Image, w.Image)
				}
			}
			h.wantRunning(3)
			h.wantEvents(edge.EventInstanceStopped, 3)
		})
	})
	t.Run("BrokenUpdateKeepsTheOldOneServing", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Serve = honest
			h := newHouse(t, d)
			w := modelServer("digits", 1)
			h.sup.Apply([]edge.Workload{w})
			settle(time.Minute)
			d.StartError = func(edge.Workload) error { return edge.ErrWrongPlatform }
			w.Image = "registry.test/digits:2"
			h.sup.Apply([]edge.Workload{w})
			settle(time.Hour)
			if _, err := h.sup.Execute(t.Context(), task("digits", "{}")); err != nil {
				t.Errorf("Execute: got %v, want an answer of the old version", err)
			}
			wantContains(t, h.warning("version-failed", "shop/digits").Detail, "digits:2", "cannot be started", edge.ErrWrongPlatform.Error())
			h.wantRunning(1)
		})
	})
	t.Run("RefusesWhatCannotRun", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			till := service("till", 1)
			h.sup.Apply([]edge.Workload{till})
			settle(time.Second)
			broken := till
			broken.Image = ""
			twin := modelServer("digits", 1)
			thief := modelServer("thief", 1)
			thief.Serve.Model = "digits"
			h.sup.Apply([]edge.Workload{broken, twin, thief})
			settle(time.Second)
			h.wantRunning(2) // the last usable till, and digits
			wantContains(t, h.warning("spec-invalid", "shop/till").Detail, "image is empty")
			wantContains(t, h.warning("spec-invalid", "shop/thief").Detail, `already served by workload "shop/digits"`)
			h.sup.Apply([]edge.Workload{till})
			settle(time.Minute)
			h.wantRunning(1)
			h.wantNoWarnings()
		})
	})
}

// TestSupervisor_ModelOfTwo: a workload that cannot be what it is to be runs on as it was,
// but does not answer in the place of the one that has its model by now.
func TestSupervisor_ModelOfTwo(t *testing.T) {
	for _, heir := range []string{"archive", "zebra"} {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Serve = func(w edge.Workload, _ string) http.Handler {
				return &fake.Model{Names: w.Serve.Models(), Version: w.Name}
			}
			h := newHouse(t, d)
			w := modelServer("digits", 1)
			h.sup.Apply([]edge.Workload{w})
			settle(time.Second)
			w.Image = ""
			other := modelServer(heir, 1)
			other.Serve.Model = "digits"
			h.sup.Apply([]edge.Workload{w, other})
			settle(time.Minute)
			for range 30 {
				h.sup.Retry() // which changes nothing, and is a turn
				settle(time.Second)
				if answer, err := h.sup.Execute(t.Context(), task("digits", "{}")); err != nil || answer.Version != heir {
					t.Errorf("got %q, %v, want an answer by %s", answer.Version, err, heir)
				}
			}
			h.wantRunning(2)
		})
	}
}

func TestSupervisor_Restart(t *testing.T) {
	t.Run("WorkloadIsReplacedWithoutAGap", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Serve = honest
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{modelServer("digits", 1)})
			settle(time.Second)
			before := d.Running()[0]
			if err := h.sup.Restart(t.Context(), "shop/digits"); err != nil {
				t.Fatal(err)
			}
			for range 50 {
				settle(10 * time.Millisecond)
				if got := h.lanes("shop/digits"); got < 1 {
					t.Fatalf("lanes: got %d, want at least 1", got)
				}
			}
			settle(time.Second)
			if got := d.Running(); len(got) != 1 || got[0] == before {
				t.Errorf("running: got %v, want one other than %s", got, before)
			}
		})
	})
	t.Run("SurplusIsNotTakenInstead", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			w := modelServer("digits", 1)           // which nobody serves: none gets ready, so that both stay
			for _, id := range []string{"a", "b"} { // a former agent was killed while it replaced one by the other
				if _, err := d.Add(w, id); err != nil {
					t.Fatal(err)
				}
			}
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{w})
			settle(time.Second)
			h.wantRunning(2)
			if err := h.sup.Restart(t.Context(), w.Key()); err != nil {
				t.Fatal(err)
			}
			settle(time.Second)
			h.wantEvents(edge.EventInstanceAdopted, 1)
			h.wantEvents(edge.EventInstanceStarted, 1)
		})
	})
	t.Run("OneInstance", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{service("till", 2)})
			settle(time.Second)
			if err := h.sup.Restart(t.Context(), d.Running()[0]); err != nil {
				t.Fatal(err)
			}
			settle(time.Second)
			h.wantRunning(2)
			h.wantEvents(edge.EventInstanceStopped, 1)
			h.wantEvents(edge.EventInstanceStarted, 3)
		})
	})
	t.Run("Unknown", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			if err := h.sup.Restart(t.Context(), "shop/none"); !errors.Is(err, edge.ErrNotFound) {
				t.Errorf("got %v, want not found", err)
			}
			h.end()
			if err := h.sup.Restart(context.Background(), "shop/none"); !errors.Is(err, edge.ErrUnavailable) {
				t.Errorf("after the end: got %v, want unavailable", err)
			}
		})
	})
}

func TestSupervisor_Retry(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		var missing atomic.Bool
		missing.Store(true)
		d.Main = func(ctx context.Context, stop <-chan struct{}, w edge.Workload) edge.Exit {
			if w.Name == "crashing" {
				return exitWith(time.Second, edge.Exit{Code: 1})(ctx, stop, w)
			}
			return exitWith(24*time.Hour, edge.Exit{})(ctx, stop, w)
		}
		d.StartError = func(w edge.Workload) error {
			if w.Name == "till" && missing.Load() {
				return edge.ErrNotFound
			}
			return nil
		}
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{service("till", 1), service("crashing", 1)})
		settle(time.Hour)
		for h.view("shop/crashing").Instances[0].State != edge.InstanceBackoff {
			settle(time.Millisecond)
		}
		crashing := h.view("shop/crashing").Instances[0].NextTry

		h.sup.Retry() // too early: it fails, and begins a new row
		settle(d.StartDelay + time.Millisecond)
		if next := time.Until(h.view("shop/till").Instances[0].NextTry); next > time.Second {
			t.Errorf("next try after a retry: got in %v, want the backoff to begin anew", next)
		}
		missing.Store(false)
		h.sup.Retry()
		settle(d.StartDelay + time.Millisecond)
		h.wantRunning(1)
		if got := h.view("shop/crashing").Instances[0].NextTry; !got.Equal(crashing) {
			t.Errorf("next try of what crashes: got %v, want %v as before", got, crashing)
		}
	})
}

func TestSupervisor_Alive(t *testing.T) {
	t.Run("AnswersWhileItRuns", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			if err := h.sup.Alive(t.Context()); err != nil {
				t.Errorf("got %v, want alive", err)
			}
			h.end()
			if err := h.sup.Alive(t.Context()); !errors.Is(err, edge.ErrUnavailable) {
				t.Errorf("after the end: got %v, want unavailable", err)
			}
		})
	})
	t.Run("SilentWhileItIsStuck", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			synctest.Wait()
			h.slow = time.Hour // the loop waits for whoever is told of pools
			h.sup.Apply([]edge.Workload{modelServer("digits", 1)})
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := h.sup.Alive(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want deadline exceeded", err)
			}
		})
	})
}

// TestSupervisor_Update replaces instances in the ways a workload may ask for.
func TestSupervisor_Update(t *testing.T) {
	update := func(t *testing.T, d *fake.Driver, u edge.Update) (h *house, begun time.Time) {
		w := service("till", 3)
		w.Update = u
		h = newHouse(t, d)
		h.sup.Apply([]edge.Workload{w})
		settle(time.Minute)
		w.Image += "-new"
		h.sup.Apply([]edge.Workload{w})
		return h, time.Now()
	}
	t.Run("OneBesideTheOthers", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h, _ := update(t, d, edge.Update{})
			settle(3 * time.Second) // a start takes 100 ms, and three seconds show that it does not end at once
			h.wantEvents(edge.EventInstanceStopped, 0)
			settle(150 * time.Millisecond)
			h.wantEvents(edge.EventInstanceStopped, 1)
			settle(time.Minute)
			h.wantRunning(3)
			if got := d.Peak("shop/till"); got != 4 {
				t.Errorf("got %d at once, want 4", got)
			}
		})
	})
	t.Run("AllAtOnce", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h, _ := update(t, d, edge.Update{Parallel: 100})
			settle(3150 * time.Millisecond)
			h.wantRunning(3)
			h.wantEvents(edge.EventInstanceStopped, 3)
		})
	})
	t.Run("StopFirst", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h, _ := update(t, d, edge.Update{StopFirst: true})
			settle(50 * time.Millisecond)
			h.wantRunning(2)
			settle(time.Minute)
			h.wantRunning(3)
			if got := d.Peak("shop/till"); got != 3 {
				t.Errorf("got %d at once, want 3", got)
			}
			h.wantEvents(edge.EventInstanceStopped, 3)
			h.wantEvents(edge.EventInstanceExited, 0)
		})
	})
	t.Run("DelayBetweenSteps", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h, begun := update(t, d, edge.Update{Delay: 10 * time.Second})
			for h.kinds()[edge.EventInstanceStopped] < 3 {
				settle(100 * time.Millisecond)
			}
			if took := time.Since(begun); took < 23*time.Second || took > 25*time.Second {
				t.Errorf("got three steps in %v, want ten seconds between them, and three until the last has settled", took)
			}
			h.wantRunning(3)
		})
	})
}
