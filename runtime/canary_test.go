package runtime_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/runtime/fake"
)

// rivals serves digits in versions that take and fail as their images say.
func rivals(w edge.Workload, _ string) http.Handler {
	return &fake.Model{
		Names: w.Serve.Models(), Version: w.Image,
		Infer: func(out http.ResponseWriter, r *http.Request) {
			took := 10 * time.Millisecond
			if strings.HasSuffix(w.Image, ":slow") {
				took = 30 * time.Millisecond
			}
			pauseFor(r.Context(), took)
			switch {
			case strings.HasSuffix(w.Image, ":failing"):
				http.Error(out, "no", http.StatusInternalServerError)
			case strings.HasSuffix(w.Image, ":picky"):
				http.Error(out, `{"error":"what is that"}`, http.StatusBadRequest)
			default:
				fake.WriteAnswer(out, "digits", 1)
			}
		},
	}
}

// digitsAs is digits in a version that a share of the tasks tries first.
func digitsAs(version string, replicas int, c edge.Canary) edge.Workload {
	w := modelServer("digits", replicas)
	w.Image = "registry.test/digits:" + version
	w.Update.Canary = &c
	return w
}

// tried is a house whose good version is digits:1, and in which another has become a canary.
func tried(t *testing.T, d *fake.Driver, w edge.Workload) *house {
	t.Helper()
	d.Serve = rivals
	h := newHouse(t, d)
	h.sup.Apply([]edge.Workload{digitsAs("1", w.Replicas, *w.Update.Canary)})
	settle(time.Minute)
	h.wantEvents(edge.EventUpdateBegan, 0)
	h.sup.Apply([]edge.Workload{w})
	settle(time.Second)
	return h
}

// stream has so many tasks answered, one after another, and counts by which image.
func (h *house) stream(tasks int) (by map[string]int, failed int) {
	h.t.Helper()
	by = make(map[string]int)
	for range tasks {
		answer, err := h.sup.Execute(context.Background(), due(10*time.Second))
		if err != nil {
			failed++
			continue
		}
		by[answer.Version]++
	}
	settle(0)
	return by, failed
}

func (h *house) wantDigits(image string, replicas int) {
	h.t.Helper()
	view := h.view("shop/digits")
	for _, inst := range view.Instances {
		if inst.Image != image {
			h.t.Errorf("got %s of %s, want %s", inst.ID, inst.Image, image)
		}
	}
	if view.Ready != replicas || len(view.Instances) != replicas {
		h.t.Errorf("got %s, want %d ready", describe(view), replicas)
	}
	if meta, ready, _ := h.sup.Model("digits"); !ready || !slices.Equal(meta.Versions, []string{image}) {
		h.t.Errorf("got a model of versions %v, ready %t, want what %s says of itself", meta.Versions, ready, image)
	}
}

func TestCanary_Share(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		h := tried(t, d, digitsAs("2", 2, edge.Canary{Share: 10, Tasks: 60}))
		view := h.view("shop/digits")
		if view.Update == nil || view.Update.Phase != edge.UpdateCanary || view.Ready != 2 || len(view.Instances) != 3 {
			t.Fatalf("got %s and %+v, want a canary beside two", describe(view), view.Update)
		}
		if got := h.lanes("shop/digits"); got != 2 {
			t.Errorf("lanes: got %d, want 2: the canary adds none", got)
		}
		by, failed := h.stream(500)
		if by["registry.test/digits:2"] != 50 || failed > 0 {
			t.Errorf("got %v and %d failed, want a tenth by the canary", by, failed)
		}
		settle(time.Second) // as old as the figures may be that are shown
		report := h.view("shop/digits").Update.Canary
		if report == nil || report.New.Tasks != 50 || report.Old.Tasks != 450 || report.New.Median != 10*time.Millisecond {
			t.Errorf("report: got %+v, want 50 against 450 tasks", report)
		}
		_, failed = h.stream(200)
		settle(time.Minute)
		if failed > 0 {
			t.Errorf("got %d failed, want none", failed)
		}
		h.wantDigits("registry.test/digits:2", 2)
		if got := h.only(edge.EventCanaryPassed).Facts; got["tasks"] != "60" || got["failed"] != "0" || got["oldTasks"] == "" || got["median"] != "10ms" {
			t.Errorf("facts: got %v, want the figures", got)
		}
		h.wantEvents(edge.EventUpdatePromoted, 1)
		h.wantNoWarnings()
		if got := d.Peak("shop/digits"); got > 3 {
			t.Errorf("got %d at once, want at most 3", got)
		}
	})
}

func TestCanary_TakenBack(t *testing.T) {
	for version, why := range map[string]string{
		"failing": "3 of its 3 tasks failed", "picky": "3 of its 3 tasks failed", "slow": "it is slower",
	} {
		t.Run(version, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *fake.Driver) {
				h := tried(t, d, digitsAs(version, 1, edge.Canary{Share: 20, Tasks: 50}))
				before := h.view("shop/digits").Instances[0].ID
				_, failed := h.stream(300)
				if failed > 0 {
					t.Errorf("got %d failed, want none: what the canary fails the old one answers", failed)
				}
				settle(time.Minute)
				e := h.only(edge.EventUpdateRolledBack)
				wantContains(t, e.Cause, why)
				if e.Facts["tasks"] == "" || e.Facts["oldMedian"] != "10ms" {
					t.Errorf("facts: got %v, want the figures", e.Facts)
				}
				h.wantDigits("registry.test/digits:1", 1)
				if got := h.view("shop/digits").Instances[0].ID; got != before {
					t.Errorf("got instance %s, want %s to have run on", got, before)
				}
				wantContains(t, h.warning("version-failed", "shop/digits").Detail, why)
			})
		})
	}
	t.Run("Crashing", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			breakable(d, time.Second)
			h := tried(t, d, digitsAs("broken", 1, edge.Canary{Share: 20}))
			settle(time.Minute)
			wantContains(t, h.only(edge.EventUpdateRolledBack).Cause, "exited with code 3")
			h.wantDigits("registry.test/digits:1", 1)
			h.wantEvents(edge.EventInstanceStopped, 0)
		})
	})
	t.Run("EndedForGood", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Main = func(ctx context.Context, stop <-chan struct{}, w edge.Workload) edge.Exit {
				if strings.HasSuffix(w.Image, ":1") {
					select {
					case <-stop:
					case <-ctx.Done():
					}
				}
				return edge.Exit{At: time.Now()}
			}
			w := digitsAs("2", 1, edge.Canary{Share: 20})
			w.Restart = edge.RestartOnFailure
			h := tried(t, d, w)
			settle(time.Hour)
			wantContains(t, h.only(edge.EventUpdateRolledBack).Cause, "exited with code 0", "not to be started again")
			h.wantDigits("registry.test/digits:1", 1)
		})
	})
	t.Run("ButPaused", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			w := digitsAs("failing", 1, edge.Canary{Share: 20})
			w.Update.OnFailure = edge.OnFailurePause
			h := tried(t, d, w)
			_, failed := h.stream(100)
			settle(time.Hour)
			if got := phaseOf(h.view("shop/digits")); got != edge.UpdatePaused || failed > 0 {
				t.Errorf("got %q and %d failed, want paused and none", got, failed)
			}
			h.wantEvents(edge.EventUpdateFailed, 1)
			h.sup.Apply([]edge.Workload{digitsAs("1", 1, edge.Canary{Share: 20})})
			settle(time.Minute)
			h.wantDigits("registry.test/digits:1", 1)
			h.wantNoWarnings()
		})
	})
	t.Run("ButGoneOnWith", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			w := digitsAs("slow", 1, edge.Canary{Share: 20, Tasks: 20})
			w.Update.OnFailure = edge.OnFailureContinue
			h := tried(t, d, w)
			h.stream(150)
			settle(time.Minute)
			h.wantDigits("registry.test/digits:slow", 1)
			h.wantEvents(edge.EventUpdateFailed, 1)
		})
	})
	t.Run("WithinTheTrialOfAPolicy", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := tried(t, d, digitsAs("failing", 1, edge.Canary{Share: 20}))
			h.guarded.Store(true)
			h.stream(50)
			settle(time.Second)
			h.wantEvents(edge.EventUpdateRolledBack, 0)
			wantContains(t, h.warning("update-failed", "shop/digits").Detail, "tasks failed")
			h.sup.Apply([]edge.Workload{digitsAs("1", 1, edge.Canary{Share: 20})})
			settle(time.Second)
			h.wantDigits("registry.test/digits:1", 1)
			h.wantNoWarnings()
		})
	})
}

func TestCanary_Decided(t *testing.T) {
	t.Run("ByTimeWhereNoTasksCome", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := tried(t, d, digitsAs("2", 1, edge.Canary{Share: 10}))
			settle(9 * time.Minute)
			h.wantEvents(edge.EventCanaryPassed, 0)
			settle(2 * time.Minute)
			h.wantDigits("registry.test/digits:2", 1)
		})
	})
	t.Run("NeitherWithoutAGoodOne", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			d.Serve = rivals
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{digitsAs("2", 1, edge.Canary{Share: 10})})
			settle(time.Second)
			h.wantDigits("registry.test/digits:2", 1)
		})
	})
	t.Run("ByTheNextAgent", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			w := digitsAs("2", 2, edge.Canary{Share: 50, Tasks: 30})
			h := tried(t, d, w)
			before := d.Running()
			h.stream(20)
			h.again()
			h.sup.Apply([]edge.Workload{w})
			settle(time.Second)
			if got := d.Running(); strings.Join(got, " ") != strings.Join(before, " ") {
				t.Errorf("got %v, want %v to be taken over", got, before)
			}
			by, failed := h.stream(40)
			if by["registry.test/digits:2"] != 20 || failed > 0 {
				t.Errorf("got %v and %d failed, want half by the canary", by, failed)
			}
			h.stream(40)
			settle(time.Minute)
			h.wantDigits("registry.test/digits:2", 2)
		})
	})
	t.Run("OnceOnly", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			w := digitsAs("2", 2, edge.Canary{Share: 50, Tasks: 10})
			h := tried(t, d, w)
			h.stream(21)
			h.wantEvents(edge.EventCanaryPassed, 1)
			h.again() // in the midst of replacing
			h.sup.Apply([]edge.Workload{w})
			settle(time.Minute)
			h.wantDigits("registry.test/digits:2", 2)
			h.wantEvents(edge.EventCanaryPassed, 1)
		})
	})
}

// TestCanary_OtherTerms brings the version that is being tried by other terms.
func TestCanary_OtherTerms(t *testing.T) {
	t.Run("TimeBeginsAnew", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := tried(t, d, digitsAs("2", 1, edge.Canary{Share: 10, For: 10 * time.Minute}))
			settle(9 * time.Minute)
			h.sup.Apply([]edge.Workload{digitsAs("2", 1, edge.Canary{Share: 20, For: 10 * time.Minute})})
			settle(9 * time.Minute)
			h.wantEvents(edge.EventCanaryPassed, 0)
			settle(2 * time.Minute)
			h.wantEvents(edge.EventCanaryPassed, 1)
			h.wantDigits("registry.test/digits:2", 1)
		})
	})
	t.Run("NoneAreGoneOnFrom", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			w := digitsAs("2", 2, edge.Canary{Share: 10, For: time.Hour})
			h := tried(t, d, w)
			canary := h.view("shop/digits").Instances[2].ID
			w.Update.Canary = nil
			h.sup.Apply([]edge.Workload{w})
			settle(time.Minute)
			h.wantDigits("registry.test/digits:2", 2)
			if got := d.Running(); !slices.Contains(got, canary) || len(got) != 2 {
				t.Errorf("got %v, want two and %s among them", got, canary)
			}
			h.wantEvents(edge.EventUpdatePromoted, 1)
			h.wantEvents(edge.EventCanaryPassed, 0)
		})
	})
}

// TestVersions_FailingTasks brings versions that say they are ready and then fail tasks, to
// callers who never stop asking, without a canary: each is taken back, and nobody hears of it.
func TestVersions_FailingTasks(t *testing.T) {
	for _, replicas := range []int{1, 3} {
		for _, parallel := range []int{1, 100} {
			bubble(t, func(t *testing.T, d *fake.Driver) {
				d.Serve = rivals
				h := newHouse(t, d)
				version := func(name string) edge.Workload {
					w := digitsAs(name, replicas, edge.Canary{})
					w.Update = edge.Update{Parallel: parallel}
					return w
				}
				h.sup.Apply([]edge.Workload{version("1")})
				settle(time.Minute)
				before := d.Running()
				ctx, cancel := context.WithCancel(t.Context())
				var clients sync.WaitGroup
				for range replicas {
					clients.Go(func() {
						for ctx.Err() == nil {
							if _, err := h.sup.Execute(context.Background(), due(10*time.Second)); err != nil {
								t.Errorf("%d replicas, %d at a time: got %v, want an answer", replicas, parallel, err)
							}
						}
					})
				}
				settle(time.Second)
				h.sup.Apply([]edge.Workload{version("failing")})
				settle(10 * time.Second)
				wantContains(t, h.only(edge.EventUpdateRolledBack).Cause, "failed answers in a row")
				h.wantDigits("registry.test/digits:1", replicas)
				if got := d.Running(); !slices.Equal(got, before) {
					t.Errorf("got %v, want %v to have run on", got, before)
				}
				begun, gone := time.Now(), h.kinds()[edge.EventInstanceStopped]
				h.sup.Apply([]edge.Workload{version("2")})
				for h.kinds()[edge.EventInstanceStopped] < gone+replicas {
					settle(10 * time.Millisecond)
				}
				if took := time.Since(begun); took > time.Duration(replicas)*time.Second {
					t.Errorf("replaced after %v, want its answers to settle that", took)
				}
				cancel()
				clients.Wait()
				h.wantDigits("registry.test/digits:2", replicas)
			})
		}
	}
}

// TestCanary_Dependents restarts what is to be restarted with the model once it has been
// replaced, and not while a version is only tried.
func TestCanary_Dependents(t *testing.T) {
	for version, restarts := range map[string]int{"2": 1, "failing": 0} {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			w := digitsAs("1", 1, edge.Canary{Share: 50, Tasks: 10})
			other := service("till", 1)
			other.DependsOn = []edge.Dependency{{Name: "digits", When: edge.WhenHealthy, Restart: true}}
			d.Serve = rivals
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{w, other})
			settle(time.Minute)
			w.Image = "registry.test/digits:" + version
			for range 3 {
				h.sup.Apply([]edge.Workload{w, other})
				settle(time.Second)
			}
			before := h.view("shop/till").Instances[0].ID
			for range 3 {
				h.stream(10)
				h.sup.Apply([]edge.Workload{w, other})
				settle(time.Minute)
			}
			h.mu.Lock()
			stopped := 0
			for _, e := range h.events {
				if e.Kind == edge.EventInstanceStopped && e.Facts["workload"] == "shop/till" {
					stopped++
				}
			}
			h.mu.Unlock()
			if stopped != restarts {
				t.Errorf("%s: got %d restarts of %s, want %d", version, stopped, before, restarts)
			}
		})
	}
}

func TestCanary_OthersDie(t *testing.T) {
	t.Run("OldOneIsStartedAgain", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := tried(t, d, digitsAs("2", 1, edge.Canary{Share: 10}))
			d.Exit(h.view("shop/digits").Instances[0].ID, edge.Exit{Code: 1})
			settle(20 * time.Millisecond) // a start takes 100
			by, failed := h.stream(1)
			if by["registry.test/digits:2"] != 1 || failed > 0 || h.lanes("shop/digits") != 1 {
				t.Errorf("meanwhile: got %v, %d failed and %d lanes, want the canary to answer", by, failed, h.lanes("shop/digits"))
			}
			settle(time.Second)
			if by, _ := h.stream(10); by["registry.test/digits:1"] != 9 {
				t.Errorf("got %v, want nine by the old version again", by)
			}
		})
	})
	t.Run("CanaryIsStartedAgain", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := tried(t, d, digitsAs("2", 1, edge.Canary{Share: 10}))
			for range 2 {
				d.Exit(h.view("shop/digits").Instances[1].ID, edge.Exit{Code: 1})
				settle(2 * time.Second)
			}
			if by, _ := h.stream(10); by["registry.test/digits:2"] != 1 {
				t.Errorf("got %v, want one by the canary", by)
			}
			h.wantEvents(edge.EventUpdateRolledBack, 0)
		})
	})
	t.Run("NoLongerWanted", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			h := tried(t, d, digitsAs("2", 1, edge.Canary{Share: 10}))
			h.sup.Apply(nil)
			settle(time.Minute)
			h.wantRunning(0)
			if len(h.kept) > 0 {
				t.Errorf("got %v kept, want nothing", h.kept)
			}
		})
	})
}

// TestCanary_UnderLoad has callers ask while one version after another is tried, each
// failing in its way, and wants none of them to hear of it.
func TestCanary_UnderLoad(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		version := func(name string) edge.Workload {
			w := digitsAs(name, 2, edge.Canary{Share: 30, Tasks: 50})
			w.Update.Monitor = 5 * time.Second
			return w
		}
		h := tried(t, d, version("2"))
		ctx, cancel := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for range 2 {
			clients.Go(func() {
				for ctx.Err() == nil {
					if _, err := h.sup.Execute(context.Background(), due(10*time.Second)); err != nil && !errors.Is(err, edge.ErrUnavailable) {
						t.Errorf("Execute: got %v, want an answer", err)
					}
				}
			})
		}
		for _, name := range []string{"failing", "3", "picky", "slow", "4", "failing"} {
			settle(15 * time.Second)
			h.sup.Apply([]edge.Workload{version(name)})
		}
		settle(15 * time.Second)
		cancel()
		clients.Wait()
		h.wantDigits("registry.test/digits:4", 2)
		h.wantEvents(edge.EventUpdateRolledBack, 3)
		h.wantEvents(edge.EventUpdateRefused, 1)
		h.wantEvents(edge.EventCanaryPassed, 3)
	})
}
