package runtime_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/runtime/fake"
)

// exitWith is a process that ends by itself after a while.
func exitWith(after time.Duration, exit edge.Exit) func(context.Context, <-chan struct{}, edge.Workload) edge.Exit {
	return func(ctx context.Context, stop <-chan struct{}, _ edge.Workload) edge.Exit {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
			return exit
		case <-ctx.Done():
		case <-stop:
		}
		return edge.Exit{}
	}
}

func TestSupervisor_Crash(t *testing.T) {
	t.Run("ServesAgainAtOnce", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Serve = honest
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{modelServer("digits", 1)})
			settle(time.Minute)
			crashed := time.Now()
			d.Exit(d.Running()[0], edge.Exit{Code: 137, Signal: "SIGKILL", OOM: true})
			synctest.Wait()
			if got := h.lanes("shop/digits"); got != 0 {
				t.Errorf("lanes after the crash: got %d, want 0", got)
			}
			for h.lanes("shop/digits") == 0 {
				settle(time.Millisecond)
			}
			// The start itself takes 100 ms here; the supervisor may add a tenth.
			if took := time.Since(crashed); took > 110*time.Millisecond {
				t.Errorf("serving again: got %v, want at most 110ms", took)
			}
			h.wantEvents(edge.EventInstanceExited, 1)
			h.wantNoWarnings()
		})
	})
	t.Run("LoopIsAWarningAndNeverGivenUp", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			var healed atomic.Bool
			failing := exitWith(time.Second, edge.Exit{Code: 3})
			d.Main = func(ctx context.Context, stop <-chan struct{}, w edge.Workload) edge.Exit {
				if healed.Load() {
					return exitWith(time.Hour*24, edge.Exit{})(ctx, stop, w)
				}
				return failing(ctx, stop, w)
			}
			d.Log = func(string) string { return "loads\ncannot open weights: no such file\n" }
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{service("till", 1)})
			settle(time.Hour)
			wantContains(t, h.warning("crash-loop", "shop/till").Detail, "3 ends within 1m0s", "exited with code 3",
				"its last words: loads | cannot open weights: no such file")
			// With jitter at one half the wait settles at 15 s, so a period takes 16.1 s.
			if got := h.kinds()[edge.EventInstanceStarted]; got < 215 || got > 240 {
				t.Errorf("starts within an hour: got %d, want about 225", got)
			}
			if got, _ := d.Instances(t.Context()); len(got) > 2 {
				t.Errorf("containers: got %d, want the present one and the last", len(got))
			}
			healed.Store(true)
			settle(2 * time.Minute)
			h.wantNoWarnings()
			h.wantRunning(1)
			if got, _ := d.Instances(t.Context()); len(got) != 1 {
				t.Errorf("containers once calm: got %d, want 1", len(got))
			}
		})
	})
	t.Run("SlowLoopDoesNotFlap", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Main = exitWith(15*time.Second, edge.Exit{Code: 1})
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{service("till", 1)})
			settle(10 * time.Minute)
			if h.warning("crash-loop", "shop/till").Detail == "" {
				t.Error("got no warning, want crash-loop")
			}
			if got := len(h.raised); got != 1 {
				t.Errorf("raised: got %d times, want once", got)
			}
		})
	})
	t.Run("OnFailureEndsForGood", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Main = exitWith(time.Second, edge.Exit{})
			w := service("job", 1)
			w.Restart = edge.RestartOnFailure
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{w})
			settle(time.Hour)
			h.wantEvents(edge.EventInstanceStarted, 1)
			if got := h.view("shop/job").Instances; len(got) != 1 || got[0].State != edge.InstanceEnded {
				t.Errorf("view: got %v, want one ended instance", got)
			}
			h.end()
			again := newHouse(t, d)
			again.sup.Apply([]edge.Workload{w})
			settle(time.Hour)
			again.wantEvents(edge.EventInstanceStarted, 0) // it has done its job
			again.wantEvents(edge.EventInstanceExited, 0)  // and that is known
		})
	})
	t.Run("VanishedInstanceIsReplaced", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{service("till", 1)})
			settle(time.Minute)
			d.Vanish(d.Running()[0])
			settle(time.Minute)
			h.wantRunning(1)
		})
	})
}

func TestSupervisor_StartFails(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		var missing atomic.Bool
		missing.Store(true)
		d.StartError = func(edge.Workload) error {
			if missing.Load() {
				return edge.WithHint(edge.ErrNotFound, "import the image")
			}
			return nil
		}
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{service("till", 1)})
		settle(time.Hour)
		warning := h.warning("start-failed", "shop/till")
		if warning.Remedy != "import the image" {
			t.Errorf("remedy: got %q, want the driver's hint", warning.Remedy)
		}
		view := h.view("shop/till").Instances
		if len(view) != 1 || view[0].State != edge.InstanceBackoff || view[0].NextTry.IsZero() {
			t.Errorf("view: got %+v, want one in backoff with its next try", view)
		}
		missing.Store(false)
		h.sup.Retry() // as after an import
		settle(200 * time.Millisecond)
		h.wantRunning(1)
		h.wantNoWarnings()
	})
}

func TestSupervisor_DaemonChanged(t *testing.T) {
	t.Run("AbsentAtStart", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.SetDaemon(false)
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{service("till", 1)})
			settle(time.Hour)
			h.wantEvents(edge.EventInstanceFailed, 0)
			h.wantNoWarnings()
			d.SetDaemon(true)
			h.sup.DaemonChanged(edge.DaemonReport{Connected: true})
			settle(110 * time.Millisecond)
			h.wantRunning(1)
		})
	})
	t.Run("ComesBackUnannounced", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.SetDaemon(false)
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{service("till", 1)})
			settle(time.Hour)
			d.SetDaemon(true)
			settle(6 * time.Second)
			h.wantRunning(1)
		})
	})
	t.Run("RestartIsNoCrash", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Serve = honest
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{modelServer("digits", 2)})
			settle(time.Minute)
			d.SetDaemon(false)
			h.sup.DaemonChanged(edge.DaemonReport{})
			settle(time.Minute)
			if _, err := h.sup.Execute(t.Context(), task("digits", "{}")); err != nil {
				t.Errorf("Execute while the daemon is away: got %v, want an answer", err)
			}
			d.Exit(d.Running()[0], edge.Exit{Code: 1}) // nobody can see it
			settle(time.Minute)
			h.wantEvents(edge.EventInstanceExited, 0)
			d.SetDaemon(true)
			h.sup.DaemonChanged(edge.DaemonReport{Connected: true})
			settle(time.Second)
			h.wantRunning(2)
			h.wantEvents(edge.EventInstanceExited, 1)
			h.wantEvents(edge.EventInstanceStarted, 3)
		})
	})
	t.Run("ListOlderThanWhatHappened", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{service("till", 1)})
			settle(time.Minute)
			d.ListDelay = time.Second
			h.sup.DaemonChanged(edge.DaemonReport{Connected: true})
			settle(time.Millisecond)
			h.sup.Apply([]edge.Workload{service("desk", 1)}) // one goes, another comes
			settle(time.Minute)
			h.wantRunning(1)
			h.wantEvents(edge.EventInstanceStarted, 2)
			h.wantEvents(edge.EventInstanceStopped, 1)
			h.wantEvents(edge.EventInstanceExited, 0)
			if got := len(h.sup.Workloads()); got != 1 {
				t.Errorf("workloads: got %d, want 1 and no ghost", got)
			}
		})
	})
	t.Run("WhatVanishedMeanwhileIsMissed", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Blind = true // nothing but the list tells
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{service("till", 2)})
			settle(time.Minute)
			d.SetDaemon(false)
			h.sup.DaemonChanged(edge.DaemonReport{})
			running := d.Running()
			d.Vanish(running[0])
			d.Exit(running[1], edge.Exit{Code: 1})
			settle(time.Minute)
			d.SetDaemon(true)
			h.sup.DaemonChanged(edge.DaemonReport{Connected: true})
			settle(time.Second)
			h.wantRunning(2)
			h.wantEvents(edge.EventInstanceExited, 2)
		})
	})
}

func TestSupervisor_Teardown(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		var stuck atomic.Bool
		stuck.Store(true)
		d.StopError = func(string) error {
			if stuck.Load() {
				return context.DeadlineExceeded
			}
			return nil
		}
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{service("till", 1)})
		settle(time.Second)
		h.sup.Apply(nil)
		settle(time.Minute)
		wantContains(t, h.warning("teardown-failed", "shop/till").Detail, "cannot stop")
		stuck.Store(false)
		settle(time.Minute)
		h.wantRunning(0)
		h.wantNoWarnings()
	})
}

func TestSupervisor_Readiness(t *testing.T) {
	t.Run("NeverReady", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			var ready atomic.Bool
			d.Serve = func(w edge.Workload, _ string) http.Handler {
				return &fake.Model{Names: w.Serve.Models(), Ready: ready.Load}
			}
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{modelServer("digits", 1)})
			settle(29 * time.Second)
			h.wantNoWarnings()
			settle(20 * time.Minute)
			wantContains(t, h.warning("model-not-ready", "shop/digits").Detail, "not ready within 30s", "answers 503")
			if got := h.kinds()[edge.EventInstanceStarted]; got < 20 {
				t.Errorf("starts: got %d, want it tried again and again", got)
			}
			if _, ready, known := h.sup.Model("digits"); ready || !known {
				t.Errorf("model: got ready %v, known %v; want known and not ready", ready, known)
			}
			ready.Store(true)
			settle(time.Minute)
			h.wantNoWarnings()
		})
	})
	bad := map[string]struct {
		metadata string
		want     string
	}{
		"NotJSON":       {`<html>`, "not JSON"},
		"OtherModel":    {`{"name":"cats","inputs":[{"name":"x","datatype":"FP32"}],"outputs":[{"name":"y","datatype":"FP32"}]}`, `describes "cats"`},
		"NoInputs":      {`{"name":"digits","outputs":[{"name":"y","datatype":"FP32"}]}`, "inputs is missing"},
		"OddDatatype":   {`{"name":"digits","inputs":[{"name":"x","datatype":"FLOAT"}],"outputs":[{"name":"y","datatype":"FP32"}]}`, `inputs[0].datatype "FLOAT"`},
		"NegativeShape": {`{"name":"digits","inputs":[{"name":"x","datatype":"FP32","shape":[-2]}],"outputs":[{"name":"y","datatype":"FP32"}]}`, "negative dimension"},
	}
	for name, c := range bad {
		t.Run("Metadata"+name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *fake.Driver) {
				d.Serve = func(edge.Workload, string) http.Handler {
					return &fake.Model{Metadata: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(c.metadata)) }}
				}
				h := newHouse(t, d)
				h.sup.Apply([]edge.Workload{modelServer("digits", 1)})
				settle(10 * time.Second)
				view := h.view("shop/digits").Instances[0]
				if view.State != edge.InstanceStarting {
					t.Errorf("state: got %s, want starting", view.State)
				}
				wantContains(t, view.Detail, c.want)
			})
		})
	}
	t.Run("TensorsLeftOpen", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Serve = func(edge.Workload, string) http.Handler {
				return &fake.Model{Metadata: func(w http.ResponseWriter, _ *http.Request) {
					_, _ = w.Write([]byte(`{"name":"digits","inputs":[],"outputs":[]}`))
				}}
			}
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{modelServer("digits", 1)})
			settle(10 * time.Second)
			if _, ready, _ := h.sup.Model("digits"); !ready {
				t.Errorf("a model that declares no tensors is not ready: %+v", h.view("shop/digits").Instances)
			}
		})
	})
	t.Run("EndlessMetadata", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Serve = func(edge.Workload, string) http.Handler {
				return &fake.Model{Metadata: func(w http.ResponseWriter, r *http.Request) {
					for r.Context().Err() == nil {
						if _, err := w.Write(make([]byte, 64<<10)); err != nil {
							return
						}
					}
				}}
			}
			h := newHouse(t, d)
			w := modelServer("digits", 1)
			w.Serve.ReadyWithin = time.Second
			h.sup.Apply([]edge.Workload{w})
			settle(500 * time.Millisecond)
			wantContains(t, h.view("shop/digits").Instances[0].Detail, "larger than allowed")
		})
	})
	t.Run("FallsSilentAndComesBack", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			var ready atomic.Bool
			ready.Store(true)
			d.Serve = func(w edge.Workload, _ string) http.Handler {
				return &fake.Model{Names: w.Serve.Models(), Ready: ready.Load}
			}
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{modelServer("digits", 1)})
			settle(time.Minute)
			ready.Store(false)
			settle(6 * time.Second)
			if got := h.lanes("shop/digits"); got != 0 {
				t.Errorf("lanes while not ready: got %d, want 0", got)
			}
			if _, err := h.sup.Execute(t.Context(), due(time.Second)); !errors.Is(err, edge.ErrDeadline) {
				t.Errorf("Execute while not ready: got %v, want deadline passed", err)
			}
			h.wantEvents(edge.EventInstanceUnready, 1)
			ready.Store(true)
			settle(time.Second)
			if got := h.lanes("shop/digits"); got != 1 {
				t.Errorf("lanes when ready again: got %d, want 1", got)
			}
			h.wantEvents(edge.EventInstanceStarted, 1)
		})
	})
}

func TestSupervisor_EndedBeforeApply(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		job := service("job", 2)
		job.Restart = edge.RestartNo
		if _, err := d.Add(job, "job-1"); err != nil {
			t.Fatal(err)
		}
		d.AddEnded(job, "job-2", edge.Exit{})
		h := newHouse(t, d)
		settle(time.Second)
		d.Exit("job-1", edge.Exit{Code: 4})
		settle(time.Second)
		h.sup.Apply([]edge.Workload{job})
		settle(time.Minute)
		h.wantEvents(edge.EventInstanceStarted, 0) // both have run
		h.wantEvents(edge.EventInstanceExited, 1)
		if got := h.view("shop/job"); len(got.Instances) != 2 || got.Instances[0].State != edge.InstanceEnded {
			t.Errorf("got %s, want two that have ended", describe(got))
		}
	})
}

func TestSupervisor_UnseenEnd(t *testing.T) {
	for _, policy := range []edge.RestartPolicy{edge.RestartAlways, edge.RestartOnFailure, edge.RestartNo} {
		ways := map[string]func(*fake.Driver, edge.Workload){
			"WhileNoAgentWasThere": func(d *fake.Driver, w edge.Workload) { d.AddLost(w, "job-1") },
			"ListedAsUnknown":      func(d *fake.Driver, w edge.Workload) { d.AddEnded(w, "job-1", edge.Exit{Code: 255}) },
		}
		for name, lose := range ways {
			t.Run(name+"/"+string(policy), func(t *testing.T) {
				bubble(t, func(t *testing.T, d *fake.Driver) {
					job := service("job", 1)
					job.Restart = policy
					lose(d, job)
					h := newHouse(t, d)
					h.sup.Apply([]edge.Workload{job})
					settle(time.Minute)
					h.wantRunning(1)
					h.wantEvents(edge.EventInstanceStarted, 1)
					h.wantEvents(edge.EventInstanceExited, 1)
				})
			})
		}
	}
	t.Run("OneShotThatVanishes", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Blind = true // so that nothing but the list tells
			job := service("job", 1)
			job.Restart = edge.RestartNo
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{job})
			settle(time.Minute)
			d.Vanish(d.Running()[0])
			h.sup.DaemonChanged(edge.DaemonReport{Connected: true})
			settle(time.Minute)
			h.wantRunning(1)
		})
	})
}

func TestSupervisor_RestartPolicyChangesInPlace(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		job := service("job", 1)
		job.Restart = edge.RestartAlways
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{job})
		settle(time.Minute)
		before := d.Running()[0]
		job.Restart = edge.RestartNo
		h.sup.Apply([]edge.Workload{job})
		settle(time.Minute)
		if got := d.Running(); len(got) != 1 || got[0] != before {
			t.Fatalf("running %v, want %s untouched", got, before)
		}
		d.Exit(before, edge.Exit{Code: 1, At: time.Now()})
		settle(time.Minute)
		h.wantRunning(0)
		for _, next := range []struct {
			policy  edge.RestartPolicy
			running int
		}{{edge.RestartNo, 0}, {edge.RestartOnFailure, 1}} {
			job.Restart = next.policy
			h.sup.Apply([]edge.Workload{job})
			settle(time.Minute)
			h.wantRunning(next.running)
		}
		for _, id := range d.Running() {
			d.Exit(id, edge.Exit{At: time.Now()}) // well, this time
		}
		for policy, running := range map[edge.RestartPolicy]int{edge.RestartOnFailure: 0, edge.RestartNo: 0} {
			job.Restart = policy
			h.sup.Apply([]edge.Workload{job})
			settle(time.Minute)
			h.wantRunning(running)
		}
		job.Restart = edge.RestartAlways
		h.sup.Apply([]edge.Workload{job})
		settle(time.Minute)
		h.wantRunning(1)
		h.wantNoWarnings()
	})
}

// TestSupervisor_StartUnanswered: a daemon that answers everything but one kind of start is
// not asked for that all the time, and somebody hears of it.
func TestSupervisor_StartUnanswered(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		var tries atomic.Int64
		var deaf atomic.Bool
		deaf.Store(true)
		d.StartError = func(w edge.Workload) error {
			if w.Name != "till" || !deaf.Load() {
				return nil
			}
			tries.Add(1)
			return fmt.Errorf("its shim does not answer: %w", edge.ErrUnavailable)
		}
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{service("till", 1), service("other", 1)})
		settle(10 * time.Minute)
		if got := tries.Load(); got > 60 {
			t.Errorf("got %d tries in ten minutes, want a pause between them", got)
		}
		wantContains(t, h.warning("start-failed", "shop/till").Detail, "its shim does not answer")
		h.wantRunning(1)
		deaf.Store(false)
		settle(time.Minute)
		h.wantRunning(2)
		h.wantNoWarnings()
	})
}

func TestSupervisor_CrashAfterFailedStarts(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		var missing atomic.Bool
		missing.Store(true)
		d.StartError = func(edge.Workload) error {
			if missing.Load() {
				return edge.ErrNotFound
			}
			return nil
		}
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{service("till", 1)})
		settle(20 * time.Second)
		missing.Store(false)
		settle(20 * time.Second)
		h.wantRunning(1)
		d.Exit(d.Running()[0], edge.Exit{Code: 1})
		settle(d.StartDelay + time.Millisecond) // the first crash costs no more than the start
		h.wantRunning(1)
		h.wantNoWarnings()
	})
}

// exits lists the events of ends.
func (h *house) exits() []edge.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.events), func(e edge.Event) bool { return e.Kind != edge.EventInstanceExited })
}

func TestSupervisor_ToldEnds(t *testing.T) {
	t.Run("RanIsMeasured", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Behind = time.Hour // as if the clock had been set since
			d.Main = exitWith(20*time.Second, edge.Exit{Code: 1})
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{service("till", 1)})
			settle(25 * time.Second)
			if got := h.exits(); len(got) != 1 || got[0].Facts["ran"] != "20s" {
				t.Errorf("got %v, want one end after 20s", got)
			}
		})
	})
	t.Run("RanIsLeftOutForTheAdopted", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			till := service("till", 1)
			if _, err := d.Add(till, "till-1"); err != nil {
				t.Fatal(err)
			}
			settle(time.Hour) // no agent was there
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{till})
			settle(time.Second)
			d.Exit("till-1", edge.Exit{Code: 1})
			settle(time.Second)
			got := h.exits()
			if len(got) != 1 {
				t.Fatalf("got %v, want one end", got)
			}
			if ran, told := got[0].Facts["ran"]; told {
				t.Errorf("ran: got %s of an instance nobody saw start", ran)
			}
		})
	})
	t.Run("FoundEndIsToldOnceWithItsRemoval", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			till := service("till", 1)
			d.AddEnded(till, "till-1", edge.Exit{Code: 1})
			var stuck atomic.Bool
			d.StopError = func(string) error {
				if stuck.Load() {
					return context.DeadlineExceeded
				}
				return nil
			}
			for i, want := range []int{0, 1, 0} { // the first cannot remove it
				stuck.Store(i == 0)
				h := newHouse(t, d)
				h.sup.Apply([]edge.Workload{till})
				settle(time.Minute)
				if got := h.exits(); len(got) != want {
					t.Errorf("agent %d: got %v, want %d ends", i+1, got, want)
				}
				h.end()
			}
		})
	})
}
