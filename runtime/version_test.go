package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/runtime/fake"
)

// broken is a version of till that ends a second after its start.
const broken = "registry.test/till:broken"

// breakable makes the driver's broken images end of themselves after so long.
func breakable(d *fake.Driver, after time.Duration) {
	d.Main = func(ctx context.Context, stop <-chan struct{}, w edge.Workload) edge.Exit {
		var ends <-chan time.Time
		if strings.HasSuffix(w.Image, ":broken") {
			ends = time.After(after)
		}
		select {
		case <-ctx.Done():
		case <-stop:
		case <-ends:
			return edge.Exit{Code: 3}
		}
		return edge.Exit{}
	}
}

// versionOf is till in a version.
func versionOf(version string, replicas int) edge.Workload {
	w := service("till", replicas)
	w.Image = "registry.test/till:" + version
	return w
}

// wantVersion wants as many ready instances of an image and no other.
func (h *house) wantVersion(image string, replicas int) {
	h.t.Helper()
	view := h.view("shop/till")
	good := 0
	for _, inst := range view.Instances {
		if inst.State == edge.InstanceReady && inst.Image == image {
			good++
		}
	}
	if good != replicas || len(view.Instances) != replicas {
		h.t.Errorf("got %s, want %d ready of %s", describe(view), replicas, image)
	}
}

// facts of the only event of a kind.
func (h *house) only(kind edge.EventKind) edge.Event {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []edge.Event
	for _, e := range h.events {
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		h.t.Fatalf("%s: got %d events, want one", kind, len(found))
	}
	return found[0]
}

func phaseOf(view edge.WorkloadView) edge.UpdatePhase {
	if view.Update == nil {
		return ""
	}
	return view.Update.Phase
}

func TestVersions_TakenBack(t *testing.T) {
	good := versionOf("1", 2)
	rollback := func(t *testing.T, d *fake.Driver, change func(*edge.Workload)) *house {
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{good})
		settle(time.Minute)
		bad := versionOf("broken", 2)
		if change != nil {
			change(&bad)
		}
		h.sup.Apply([]edge.Workload{bad})
		return h
	}
	t.Run("CrashesWithinItsTime", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			breakable(d, time.Second)
			h := rollback(t, d, nil)
			settle(50 * time.Millisecond)
			h.wantEvents(edge.EventUpdateBegan, 1)
			settle(10 * time.Second)
			h.wantVersion(good.Image, 2)
			e := h.only(edge.EventUpdateRolledBack)
			wantContains(t, e.Cause, "exited with code 3")
			if e.Subject != "shop/till" || e.Facts["image"] != broken || e.Facts["goodImage"] != good.Image {
				t.Errorf("event: got %+v", e)
			}
			wantContains(t, h.warning("version-failed", "shop/till").Detail, broken, good.Image, "exited with code 3")
			if got := phaseOf(h.view("shop/till")); got != edge.UpdateTakenBack {
				t.Errorf("phase: got %q, want taken-back", got)
			}
			if got := h.standing(); len(got) != 1 {
				t.Errorf("warnings: got %v, want version-failed alone", got)
			}
		})
	})
	t.Run("OldOnesRunOnMeanwhile", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			breakable(d, time.Second)
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{good})
			settle(time.Minute)
			before := d.Running()
			h.sup.Apply([]edge.Workload{versionOf("broken", 2)})
			settle(time.Minute)
			if got := d.Running(); !slices.Equal(got, before) {
				t.Errorf("got %v, want %v as before", got, before)
			}
			h.wantEvents(edge.EventUpdateRolledBack, 1)
		})
	})
	t.Run("NotTriedAgain", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			breakable(d, time.Second)
			h := rollback(t, d, nil)
			settle(time.Minute)
			started := h.kinds()[edge.EventInstanceStarted]
			h.sup.Apply([]edge.Workload{versionOf("broken", 2)})
			settle(time.Minute)
			h.again()
			h.sup.Apply([]edge.Workload{versionOf("broken", 2)})
			settle(time.Minute)
			h.wantEvents(edge.EventInstanceStarted, started)
			h.wantEvents(edge.EventUpdateRefused, 1) // told by the second one, which did not take it back
			h.wantVersion(good.Image, 2)
			wantContains(t, h.warning("version-failed", "shop/till").Detail, "exited with code 3")
		})
	})
	t.Run("AnotherIsTried", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			breakable(d, time.Second)
			h := rollback(t, d, nil)
			settle(time.Minute)
			h.sup.Apply([]edge.Workload{versionOf("2", 2)})
			settle(time.Minute)
			h.wantVersion("registry.test/till:2", 2)
			h.wantEvents(edge.EventUpdatePromoted, 1)
			h.wantNoWarnings()
			h.sup.Apply([]edge.Workload{versionOf("broken", 2)})
			settle(time.Minute)
			h.wantVersion("registry.test/till:2", 2)
			h.wantEvents(edge.EventUpdateRolledBack, 1) // it is remembered over the next good one
		})
	})
	t.Run("APersonHasItTriedAgain", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			breakable(d, time.Second)
			h := rollback(t, d, nil)
			settle(time.Minute)
			if err := h.sup.Restart(t.Context(), "shop/till"); err != nil {
				t.Fatal(err)
			}
			settle(time.Minute)
			h.wantEvents(edge.EventUpdateRolledBack, 2)
			h.wantVersion(good.Image, 2)
			d.Main = nil // what was in its way is gone
			if err := h.sup.Restart(t.Context(), "shop/till"); err != nil {
				t.Fatal(err)
			}
			settle(time.Minute)
			h.wantVersion(broken, 2)
			h.wantNoWarnings()
		})
	})
	t.Run("NeverReady", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			well := &health{}
			d.Command = well.command
			well.set("ready", true)
			h := rollback(t, d, func(w *edge.Workload) {
				w.Image, w.Probes.Readiness = "registry.test/till:2", by("ready")
			})
			settle(20 * time.Second)
			h.wantEvents(edge.EventUpdateRolledBack, 0)
			settle(20 * time.Second)
			h.wantVersion(good.Image, 2)
			wantContains(t, h.only(edge.EventUpdateRolledBack).Cause, "not ready")
			h.wantEvents(edge.EventInstanceExited, 0)
		})
	})
	t.Run("CannotBeStarted", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			missing := true
			d.StartError = func(w edge.Workload) error {
				if missing && w.Image == "registry.test/till:2" {
					return edge.ErrNotFound
				}
				return nil
			}
			h := rollback(t, d, func(w *edge.Workload) { w.Image = "registry.test/till:2" })
			settle(10 * time.Second)
			h.wantVersion(good.Image, 2)
			wantContains(t, h.only(edge.EventUpdateRolledBack).Cause, "cannot be started")
			missing = false
			h.sup.Retry() // its image has come
			settle(time.Minute)
			h.wantVersion("registry.test/till:2", 2)
			h.wantNoWarnings()
		})
	})
	t.Run("DaemonAwayIsNobodysFault", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := rollback(t, d, func(w *edge.Workload) { w.Image = "registry.test/till:2" })
			d.SetDaemon(false)
			h.sup.DaemonChanged(edge.DaemonReport{})
			settle(time.Hour)
			d.SetDaemon(true)
			h.sup.DaemonChanged(edge.DaemonReport{Connected: true})
			settle(time.Minute)
			h.wantVersion("registry.test/till:2", 2)
			h.wantEvents(edge.EventUpdateRolledBack, 0)
			h.wantNoWarnings()
		})
	})
	t.Run("OnlyWhatRestarts", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			breakable(d, time.Second)
			h := newHouse(t, d)
			good, bad := good, versionOf("broken", 2)
			good.Restart, bad.Restart = edge.RestartNo, edge.RestartNo
			h.sup.Apply([]edge.Workload{good})
			settle(time.Minute)
			h.sup.Apply([]edge.Workload{bad})
			settle(time.Minute)
			h.wantEvents(edge.EventUpdateRolledBack, 0)
			h.wantRunning(0) // each has done its work, and none is run again
		})
	})
}

func TestVersions_Kept(t *testing.T) {
	t.Run("AgentEndedInTheMidst", func(t *testing.T) {
		for after := 50 * time.Millisecond; after < 5*time.Second; after += 177 * time.Millisecond {
			bubble(t, func(t *testing.T, d *fake.Driver) {
				breakable(d, time.Second)
				h := newHouse(t, d)
				h.sup.Apply([]edge.Workload{versionOf("1", 2)})
				settle(time.Minute)
				h.sup.Apply([]edge.Workload{versionOf("broken", 2)})
				settle(after)
				h.again()
				h.sup.Apply([]edge.Workload{versionOf("broken", 2)})
				settle(20 * time.Second)
				h.wantVersion("registry.test/till:1", 2)
				h.wantEvents(edge.EventUpdateRolledBack, 1)
				if got := d.Peak("shop/till"); got > 3 {
					t.Errorf("after %v: got %d at once, want at most 3", after, got)
				}
			})
		}
	})
	t.Run("PowerCut", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			breakable(d, time.Second)
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{versionOf("1", 2)})
			settle(time.Minute)
			h.sup.Apply([]edge.Workload{versionOf("broken", 2)})
			settle(300 * time.Millisecond)
			h.end()
			for _, id := range d.Running() {
				d.Vanish(id)
			}
			h.begin(h.kept)
			h.sup.Apply([]edge.Workload{versionOf("broken", 2)})
			settle(20 * time.Second)
			h.wantVersion("registry.test/till:1", 2)
			h.wantEvents(edge.EventUpdateRolledBack, 1)
		})
	})
	t.Run("WhatEndsTheAgentIsHeldAgainstIt", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{versionOf("1", 1)})
			settle(time.Minute)
			for range 3 {
				h.sup.Apply([]edge.Workload{versionOf("2", 1)})
				settle(time.Second)
				h.wantEvents(edge.EventUpdateRolledBack, 0)
				h.again()
			}
			h.sup.Apply([]edge.Workload{versionOf("2", 1)})
			settle(time.Second)
			h.wantVersion("registry.test/till:1", 1)
			wantContains(t, h.only(edge.EventUpdateRolledBack).Cause, "ended 3 times")
		})
	})
	t.Run("ButNotWhatEndsItNowAndThen", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{versionOf("1", 1)})
			settle(time.Minute)
			long := versionOf("2", 1)
			long.Probes.Readiness, long.Update.Monitor = by("ready"), time.Minute
			well := &health{}
			d.Command = well.command
			for range 8 {
				h.sup.Apply([]edge.Workload{long})
				settle(30 * time.Second)
				well.set("ready", true) // it is ill for a while, so that it is never ready for long enough
				settle(15 * time.Second)
				well.set("ready", false)
				settle(25 * time.Second)
				h.wantEvents(edge.EventUpdateRolledBack, 0)
				h.wantEvents(edge.EventUpdatePromoted, 0)
				h.again()
			}
		})
	})
	t.Run("WrittenOnChangeOnly", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{versionOf("1", 1)})
			settle(time.Minute)
			keeps := h.keeps
			for i := range 10 {
				h.sup.Apply([]edge.Workload{versionOf("1", 1+i%3)}) // scaling is no change
				d.Exit(d.Running()[0], edge.Exit{Code: 1})
				settle(time.Minute)
			}
			if h.keeps != keeps || keeps != 2 {
				t.Errorf("got %d and then %d writes, want two: of the trial, and of its end", keeps, h.keeps)
			}
			h.sup.Apply(nil)
			settle(time.Minute)
			if len(h.kept) != 0 {
				t.Errorf("got %v kept of what is not wanted, want nothing", h.kept)
			}
		})
	})
}

func TestVersions_FailureAction(t *testing.T) {
	bad := func(action edge.FailureAction) edge.Workload {
		w := versionOf("broken", 2)
		w.Update.OnFailure = action
		return w
	}
	deploy := func(t *testing.T, d *fake.Driver, w edge.Workload) *house {
		breakable(d, time.Second)
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{versionOf("1", 2)})
		settle(time.Minute)
		h.sup.Apply([]edge.Workload{w})
		return h
	}
	t.Run("Pause", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := deploy(t, d, bad(edge.OnFailurePause))
			settle(time.Hour)
			h.wantEvents(edge.EventUpdateRolledBack, 0)
			if got := h.only(edge.EventUpdateFailed).Facts["action"]; got != "pause" {
				t.Errorf("action: got %q, want pause", got)
			}
			if got := phaseOf(h.view("shop/till")); got != edge.UpdatePaused {
				t.Errorf("phase: got %q, want paused", got)
			}
			if !slices.ContainsFunc(h.view("shop/till").Instances, func(i edge.InstanceView) bool {
				return i.Image == "registry.test/till:1" && i.State == edge.InstanceReady
			}) {
				t.Errorf("got %s, want the old version beside", describe(h.view("shop/till")))
			}
			d.Main = nil
			if err := h.sup.Restart(t.Context(), "shop/till"); err != nil {
				t.Fatal(err)
			}
			settle(time.Minute)
			h.wantVersion(broken, 2)
			h.wantNoWarnings()
		})
	})
	t.Run("Continue", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := deploy(t, d, bad(edge.OnFailureContinue))
			settle(time.Hour)
			h.wantEvents(edge.EventUpdateRolledBack, 0)
			h.wantEvents(edge.EventUpdateFailed, 1)
			if h.warning("crash-loop", "shop/till").Detail == "" || h.warning("update-failed", "shop/till").Detail == "" {
				t.Errorf("warnings: got %v, want crash-loop and update-failed", h.standing())
			}
		})
	})
	t.Run("GuardedByAnother", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			breakable(d, time.Second)
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{versionOf("1", 2)})
			settle(time.Minute)
			h.guarded.Store(true)
			h.sup.Apply([]edge.Workload{bad("")})
			settle(time.Minute)
			h.wantEvents(edge.EventUpdateRolledBack, 0)
			wantContains(t, h.warning("update-failed", "shop/till").Detail, "exited with code 3")
			h.guarded.Store(false) // and did nothing
			settle(5 * time.Second)
			h.wantVersion("registry.test/till:1", 2)
			h.wantEvents(edge.EventUpdateRolledBack, 1)
		})
	})
	t.Run("GuardedUnlessItSaysWhat", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			breakable(d, time.Second)
			h := newHouse(t, d)
			h.guarded.Store(true)
			h.sup.Apply([]edge.Workload{versionOf("1", 2)})
			settle(time.Minute)
			h.sup.Apply([]edge.Workload{bad(edge.OnFailureRollback)})
			settle(time.Minute)
			h.wantVersion("registry.test/till:1", 2)
		})
	})
	t.Run("NotWhatIsForbidden", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			breakable(d, time.Second)
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{versionOf("1", 2)})
			settle(time.Minute)
			h.forbids = "registry.test/till:1"
			h.sup.Apply([]edge.Workload{bad("")})
			settle(time.Minute)
			h.wantEvents(edge.EventUpdateRolledBack, 0)
			wantContains(t, h.warning("update-failed", "shop/till").Detail, "cannot be taken back", "not permitted")
		})
	})
	t.Run("ShareThatMayFail", func(t *testing.T) {
		for share, want := range map[float64]int{0: 1, 0.4: 1, 0.5: 0} {
			bubble(t, func(t *testing.T, d *fake.Driver) {
				h := newHouse(t, d)
				h.sup.Apply([]edge.Workload{versionOf("1", 2)})
				settle(time.Minute)
				w := versionOf("2", 2)
				w.Update.MaxFailed, w.Update.Monitor = share, time.Minute
				h.sup.Apply([]edge.Workload{w})
				settle(time.Second)
				for range 4 { // the same seat: the other one is ready
					d.Exit(h.view("shop/till").Instances[0].ID, edge.Exit{Code: 1})
					settle(2 * time.Second)
				}
				h.wantEvents(edge.EventUpdateRolledBack, want)
			})
		}
	})
}

// TestVersions_ModelGivenAway: a version is not gone back to whose model another workload has
// taken, in whatever order the next agent hears of them.
func TestVersions_ModelGivenAway(t *testing.T) {
	good, failed, heir := modelServer("digits", 1), modelServer("digits", 1), modelServer("numbers", 1)
	failed.Serve.Model, heir.Serve.Model = "letters", "digits"
	for range 16 {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Serve = honest
			h := &house{t: t, driver: d}
			h.begin(map[string]edge.Versions{"shop/digits": {Good: &good, Failed: []edge.FailedVersion{{Hash: failed.SpecHash(), Why: "it failed"}}}})
			t.Cleanup(h.end)
			h.sup.Apply([]edge.Workload{failed, heir})
			settle(time.Minute)
			for _, model := range []string{"digits", "letters"} {
				if _, err := h.sup.Execute(t.Context(), task(model, "{}")); err != nil {
					t.Errorf("%s: got %v, want an answer", model, err)
				}
			}
			if got := h.view("shop/digits").Workload.Serve.Model; got != "letters" {
				t.Errorf("got model %q served twice", got)
			}
		})
	}
}

// TestVersions_NoneKnown wants a version before which none was good to be kept trying.
func TestVersions_NoneKnown(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		breakable(d, time.Second)
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{versionOf("broken", 1)})
		settle(time.Minute)
		if got := h.standing(); !slices.Equal(got, []string{"crash-loop shop/till"}) {
			t.Errorf("warnings: got %v, want crash-loop alone", got)
		}
		if got := h.view("shop/till").Update; got == nil || got.Phase != edge.UpdateTrial || got.Good != "" {
			t.Errorf("update: got %+v, want a trial with nothing to go back to", got)
		}
		h.sup.Apply([]edge.Workload{versionOf("2", 1)})
		settle(time.Minute)
		h.wantVersion("registry.test/till:2", 1)
		if _, err := h.sup.Execute(t.Context(), task("till", "{}")); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("Execute: got %v, want not found", err)
		}
	})
}

// TestVersions_Unproven goes back to a version that was well and had no time to show it.
func TestVersions_Unproven(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		breakable(d, time.Second)
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{versionOf("1", 1)})
		settle(4 * time.Second)
		h.sup.Apply([]edge.Workload{versionOf("broken", 1)})
		settle(time.Minute)
		h.wantVersion("registry.test/till:1", 1)
		for i := range 20 { // only the last ones are remembered
			w := versionOf("broken", 1)
			w.Env = []string{fmt.Sprintf("TRY=%d", i)}
			h.sup.Apply([]edge.Workload{w})
			settle(time.Minute)
		}
		h.wantVersion("registry.test/till:1", 1)
		if got := len(h.kept["shop/till"].Failed); got != 8 {
			t.Errorf("got %d failed versions kept, want 8", got)
		}
	})
}
