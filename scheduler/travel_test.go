package scheduler

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

var errNoRoute = errors.New("no route to host")

// travelling is a drive on which all tasks of the pools' models, and of "elsewhere", take a route.
func travelling(t *testing.T, slots, room int, mode edge.RouteMode, remote func(*item) (time.Duration, error), pools ...edge.Pool) *drive {
	t.Helper()
	d := newSuspendingDrive(t, slots, room, pools...)
	d.core.travels.most = 1000
	d.remote = remote
	d.duration = func(it *item) (time.Duration, error) { return it.size.figure.plan, nil }
	rules := Rules{Routes: map[string]RouteRule{"elsewhere": {Mode: mode}}}
	for _, p := range pools {
		rules.Routes[p.Models[0].Model] = RouteRule{Mode: mode}
	}
	d.after = func() {
		if err := conserved(d.core, len(d.ended)); err != nil {
			t.Fatal(err)
		}
		d.core.snapshot(d.now) // whoever asks may do so at any moment
	}
	d.govern(rules)
	return d
}

// expects has the core know how long attempts take.
func (d *drive) expects(model string, took time.Duration) {
	for range fewTrips {
		d.core.travels.took(&item{task: edge.Task{Model: model}, departed: d.now}, instant(took))
	}
}

func upIn(took time.Duration) func(*item) (time.Duration, error) {
	return func(*item) (time.Duration, error) { return took, nil }
}

func blackHole(*item) (time.Duration, error) { return 24 * time.Hour, nil }

func downAfter(took time.Duration) func(*item) (time.Duration, error) {
	return func(*item) (time.Duration, error) { return took, errNoRoute }
}

// bothWays runs a test where tasks can be suspended and where they cannot.
func bothWays(t *testing.T, f func(t *testing.T, room int)) {
	t.Run("Suspending", func(t *testing.T) { f(t, 4) })
	t.Run("NotSuspending", func(t *testing.T) { f(t, 0) })
}

func wantEnd(t *testing.T, it *item, outcome edge.Outcome, abroad bool, at time.Duration) {
	t.Helper()
	got := time.Duration(it.settlement.At.UnixNano())
	if it.phase != settled || it.settlement.Outcome != outcome || it.abroad != abroad || got != at {
		t.Errorf("task %q ended as %v (%v), abroad %v, after %v; want %v, %v, after %v",
			it.task.ID, it.settlement.Outcome, it.settlement.Err, it.abroad, got, outcome, abroad, at)
	}
}

func TestTravel_UpstreamElseLocal(t *testing.T) {
	const mode = edge.RouteUpstreamElseLocal
	pool := serving("m", 4, 20*ms)
	bothWays(t, func(t *testing.T, room int) {
		t.Run("AnswersInTime", func(t *testing.T) {
			d := travelling(t, 1, room, mode, upIn(30*ms), pool)
			d.expects("m", 30*ms)
			it := d.mustSubmit("a", "m", edge.Normal, 100*ms)
			d.run()
			wantEnd(t, it, edge.Completed, true, 30*ms)
			if it.pool != nil || it.settlement.Compute != 30*ms || it.settlement.Answer.Route != edge.AnsweredUpstream {
				t.Errorf("it was begun here too, or tells it wrong: %+v", it.settlement)
			}
		})
		t.Run("FailsAtOnce", func(t *testing.T) {
			d := travelling(t, 1, room, mode, downAfter(0), pool)
			it := d.mustSubmit("a", "m", edge.Normal, 100*ms)
			d.run()
			wantEnd(t, it, edge.Completed, false, 20*ms)
		})
		t.Run("VanishesForTheFirstTask", func(t *testing.T) {
			d := travelling(t, 1, room, mode, blackHole, pool)
			it := d.mustSubmit("a", "m", edge.Normal, 100*ms)
			d.run()
			wantEnd(t, it, edge.Completed, false, 45*ms) // a quarter of its time is waited for the unknown
		})
		t.Run("VanishesAfterItHasAnsweredSlowly", func(t *testing.T) {
			d := travelling(t, 1, room, mode, blackHole, pool)
			d.expects("m", 200*ms)
			it := d.mustSubmit("a", "m", edge.Normal, 100*ms)
			d.run()
			wantEnd(t, it, edge.Completed, false, 85*ms) // let go 15 ms before its last moment
		})
		t.Run("AnswersAfterItWasBegunHere", func(t *testing.T) {
			d := travelling(t, 1, room, mode, upIn(70*ms), pool)
			d.expects("m", 70*ms)
			it := d.mustSubmit("a", "m", edge.Normal, 100*ms)
			next := d.mustSubmit("b", "m", edge.Normal, 300*ms)
			d.run()
			wantEnd(t, it, edge.Completed, true, 70*ms)
			wantEnd(t, next, edge.Completed, true, 70*ms)
			if it.pool == nil {
				t.Error("it was not begun here")
			}
		})
		t.Run("ManyWithOneDeadline", func(t *testing.T) {
			d := travelling(t, 1, room, mode, blackHole, pool)
			var all []*item
			for i := range 4 { // 4 × 20 ms by 120 ms: the last moment of one is not that of four
				all = append(all, d.mustSubmit(fmt.Sprint(i), "m", edge.Normal, 120*ms))
			}
			d.run()
			for _, it := range all {
				if it.settlement.Outcome != edge.Completed || it.abroad {
					t.Errorf("task %q ended as %v: %v", it.task.ID, it.settlement.Outcome, it.settlement.Err)
				}
			}
		})
		t.Run("WithoutDeadline", func(t *testing.T) {
			d := travelling(t, 1, room, mode, downAfter(time.Hour), pool)
			it := d.mustSubmit("a", "m", edge.Batch, 0)
			d.run()
			wantEnd(t, it, edge.Completed, false, time.Hour+20*ms)
		})
		t.Run("NoTimeHere", func(t *testing.T) {
			d := travelling(t, 1, room, mode, upIn(5*ms), pool)
			it := d.mustSubmit("a", "m", edge.Normal, 10*ms)
			d.run()
			wantEnd(t, it, edge.Completed, true, 5*ms)
		})
		t.Run("NoTimeHereAndNobodyThere", func(t *testing.T) {
			d := travelling(t, 1, room, mode, downAfter(5*ms), pool)
			it := d.mustSubmit("a", "m", edge.Normal, 10*ms)
			d.run()
			wantEnd(t, it, edge.Evicted, false, 5*ms)
			if refusal, _ := edge.AsRefusal(it.settlement.Err); refusal == nil || refusal.Reason != edge.ReasonDeadlineUnreachable || !strings.Contains(refusal.Detail, "in vain (upstream-failed)") {
				t.Errorf("got %v, want what the node said, and that the upstream failed", it.settlement.Err)
			}
		})
		t.Run("LosesItsPlaceAndIsAnswered", func(t *testing.T) {
			d := travelling(t, 1, room, mode, upIn(40*ms), pool, serving("long", 4, 60*ms))
			it := d.mustSubmit("batch", "m", edge.Batch, 69*ms)
			d.mustSubmit("urgent", "long", edge.Urgent, 70*ms)
			if it.phase != away {
				t.Fatalf("it is in phase %d: nothing made it give way", it.phase)
			}
			d.run()
			wantEnd(t, it, edge.Completed, true, 40*ms)
		})
		t.Run("Cancelled", func(t *testing.T) {
			d := travelling(t, 1, room, mode, upIn(40*ms), pool)
			it := d.mustSubmit("a", "m", edge.Normal, 100*ms)
			d.core.cancel(d.now, it)
			d.run()
			wantEnd(t, it, edge.Cancelled, false, 0)
			if d.core.travels.attempts != 0 {
				t.Errorf("%d attempts are left", d.core.travels.attempts)
			}
		})
	})
}

func TestTravel_Upstream(t *testing.T) {
	for _, c := range []struct {
		name    string
		remote  func(*item) (time.Duration, error)
		outcome edge.Outcome
		at      time.Duration
	}{
		{"Answers", upIn(30 * ms), edge.Completed, 30 * ms},
		{"Fails", downAfter(7 * ms), edge.Failed, 7 * ms},
		{"Refuses", func(*item) (time.Duration, error) { return 0, &edge.Refusal{Reason: edge.ReasonModelNotReady} }, edge.Evicted, 0},
		{"Vanishes", blackHole, edge.Missed, 100 * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := travelling(t, 1, 4, edge.RouteUpstream, c.remote, serving("m", 4, 20*ms))
			here := d.mustSubmit("m", "m", edge.Normal, 100*ms)
			there := d.mustSubmit("elsewhere", "elsewhere", edge.Normal, 100*ms)
			d.run()
			wantEnd(t, here, c.outcome, c.outcome == edge.Completed, c.at)
			wantEnd(t, there, c.outcome, c.outcome == edge.Completed, c.at)
		})
	}
	t.Run("TooManyAtOnce", func(t *testing.T) {
		d := travelling(t, 1, 4, edge.RouteUpstream, upIn(30*ms))
		d.core.travels.most = 2
		d.mustSubmit("a", "elsewhere", edge.Normal, 100*ms)
		d.mustSubmit("b", "elsewhere", edge.Normal, 100*ms)
		_, err := d.submit("c", "elsewhere", edge.Normal, 100*ms)
		assertRefused(t, err, edge.ReasonQueueFull)
		d.run()
		d.mustSubmit("d", "elsewhere", edge.Normal, 100*ms)
		d.run()
	})
	t.Run("BatchLeavesPlaces", func(t *testing.T) {
		d := travelling(t, 1, 4, edge.RouteUpstream, upIn(30*ms))
		d.core.travels.most = 4
		d.mustSubmit("a", "elsewhere", edge.Batch, 0)
		d.mustSubmit("b", "elsewhere", edge.Batch, 0)
		_, err := d.submit("c", "elsewhere", edge.Batch, 0)
		assertRefused(t, err, edge.ReasonQueueFull)
		d.mustSubmit("d", "elsewhere", edge.Urgent, 100*ms)
		d.mustSubmit("e", "elsewhere", edge.Normal, 100*ms)
		d.run()
	})
	t.Run("ForbiddenMeanwhile", func(t *testing.T) {
		d := travelling(t, 1, 4, edge.RouteUpstream, upIn(30*ms))
		it := d.mustSubmit("a", "elsewhere", edge.Normal, 100*ms)
		d.govern(Rules{Tenants: map[string]TenantRule{"other": {}}})
		wantEnd(t, it, edge.Evicted, false, 0)
		d.run()
	})
	t.Run("NotThisTenants", func(t *testing.T) {
		d := travelling(t, 1, 4, edge.RouteUpstream, upIn(30*ms))
		d.govern(Rules{Routes: map[string]RouteRule{"elsewhere": {Mode: edge.RouteUpstream, Tenants: []string{"vision"}}}})
		_, err := d.submit("a", "elsewhere", edge.Normal, 100*ms)
		assertRefused(t, err, edge.ReasonUnknownModel)
		d.tenant = "vision"
		d.mustSubmit("b", "elsewhere", edge.Normal, 100*ms)
		d.run()
	})
	t.Run("NobodyToAsk", func(t *testing.T) {
		d := travelling(t, 1, 4, edge.RouteUpstream, nil)
		d.core.travels.most = 0
		_, err := d.submit("a", "elsewhere", edge.Normal, 100*ms)
		assertRefused(t, err, edge.ReasonQueueFull)
	})
}

// TestTravel_Blame counts against an upstream that it did not answer in time, unless the task had
// less time than the way takes.
func TestTravel_Blame(t *testing.T) {
	for name, c := range map[string]struct {
		known  time.Duration // attempts took so far; 0: there were none
		within time.Duration
		want   error
	}{
		"SlowerThanUsual":   {30 * ms, 200 * ms, edge.ErrDeadline},
		"MoreUrgentThanIt":  {200 * ms, 100 * ms, edge.ErrCancelled},
		"NobodyKnowsTheWay": {0, 100 * ms, edge.ErrCancelled},
	} {
		t.Run(name, func(t *testing.T) {
			d := travelling(t, 1, 4, edge.RouteUpstreamElseLocal, blackHole, serving("m", 4, 20*ms))
			if c.known > 0 {
				d.expects("m", c.known)
			}
			it := d.mustSubmit("a", "m", edge.Urgent, c.within)
			d.run()
			if got := it.whyRecalled(); it.settlement.Outcome != edge.Completed || !errors.Is(got, c.want) {
				t.Errorf("its attempt was given up as %v, want %v: %+v", got, c.want, it.settlement)
			}
		})
	}
}

func TestTravel_LocalElseUpstream(t *testing.T) {
	const mode = edge.RouteLocalElseUpstream
	pool := serving("m", 4, 20*ms)
	bothWays(t, func(t *testing.T, room int) {
		d := travelling(t, 1, room, mode, upIn(30*ms), pool)
		here := d.mustSubmit("here", "m", edge.Normal, 39*ms)
		there := d.mustSubmit("there", "m", edge.Normal, 39*ms)
		waiting := d.mustSubmit("batch", "m", edge.Batch, 200*ms)
		d.at(25*ms, func(instant) { // they take all its time
			for i := range 8 {
				_, _ = d.submit(fmt.Sprint("urgent", i), "m", edge.Urgent, 175*ms)
			}
		})
		d.run()
		wantEnd(t, here, edge.Completed, false, 20*ms)
		wantEnd(t, there, edge.Completed, true, 30*ms)
		if waiting.settlement.Outcome != edge.Completed {
			t.Errorf("what gave way ended as %v: %v", waiting.settlement.Outcome, waiting.settlement.Err)
		}
	})
}

// TestTravel_CostsNoDeadline has the same load answered with an upstream that is a black hole, and with none:
// what is kept for it until the last moment is on time as it would be had it never been asked.
func TestTravel_CostsNoDeadline(t *testing.T) {
	bothWays(t, func(t *testing.T, room int) {
		for _, load := range []float64{0.3, 0.7, 0.95} {
			alone, held := 0, 0
			for seed := range uint64(10) {
				alone += blindLoad(t, seed, room, load, edge.RouteLocal)
				held += blindLoad(t, seed, room, load, edge.RouteUpstreamElseLocal)
			}
			t.Logf("load %v: %d on time alone, %d with a black hole before it", load, alone, held)
			if float64(held) < 0.99*float64(alone) {
				t.Errorf("load %v: %d were on time, %d would have been without a route", load, held, alone)
			}
		}
	})
}

// blindLoad is how many of a random load are on time where no attempt ever brings anything.
func blindLoad(t *testing.T, seed uint64, room int, load float64, mode edge.RouteMode) (onTime int) {
	d := travelling(t, 2, room, mode, blackHole, serving("short", 64, 10*ms), serving("long", 64, 60*ms))
	d.after = nil
	d.remote = brokenAfter(5)
	r := rand.New(rand.NewPCG(seed, 77))
	d.duration = func(it *item) (time.Duration, error) {
		return time.Duration(map[string]float64{"short": 10, "long": 60}[it.task.Model] * (0.9 + 0.2*r.Float64()) * float64(ms)), nil
	}
	arrivals := rand.New(rand.NewPCG(seed, 78))
	at := 0.0
	for i := range 400 {
		at += arrivals.ExpFloat64() * 35 / 2 / load
		model, class := "short", edge.Classes[arrivals.IntN(2)]
		if arrivals.IntN(2) == 0 {
			model, class = "long", edge.Classes[1+arrivals.IntN(2)]
		}
		within := time.Duration(map[string]float64{"short": 60, "long": 400}[model]*(1+arrivals.Float64())) * ms
		d.at(time.Duration(at*float64(ms)), func(instant) { _, _ = d.submit(fmt.Sprint(i), model, class, within) })
	}
	d.run()
	return d.count(edge.Completed)
}

// brokenAfter is a black hole that is not asked any more after so many tasks in a row that it did not answer.
func brokenAfter(most int) func(*item) (time.Duration, error) {
	var asked []*item
	return func(it *item) (time.Duration, error) {
		vain := 0
		for _, before := range asked {
			if before.phase == settled {
				vain++
			}
		}
		asked = append(asked, it)
		if vain >= most {
			return 0, errNoRoute
		}
		return blackHole(it)
	}
}

// TestTravel_NothingIsKept is the control of the test above: without a place kept for them, tasks that come
// back from a black hole come too late.
func TestTravel_NothingIsKept(t *testing.T) {
	if got := blindLoad(t, 1, 4, 0.3, edge.RouteUpstream); got != 0 {
		t.Errorf("%d were on time, want none", got)
	}
}
