package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// TestTravel_HeldOutsideThePlan: what the plan keeps no time for is let go by the same rules.
func TestTravel_HeldOutsideThePlan(t *testing.T) {
	const mode = edge.RouteUpstreamElseLocal
	bothWays(t, func(t *testing.T, room int) {
		t.Run("WithoutDeadline", func(t *testing.T) {
			d := travelling(t, 1, room, mode, blackHole, serving("m", 4, 20*ms))
			d.expects("m", 40*ms)
			it := d.mustSubmit("a", "m", edge.Batch, 0)
			d.run()
			wantEnd(t, it, edge.Completed, false, 70*ms) // a quarter more than 40, and its own 20
		})
		t.Run("LeftOutForWhatIsForecast", func(t *testing.T) {
			d := travelling(t, 2, room, mode, blackHole, serving("m", 4, 100*ms), serving("pressing", 4, 20*ms), serving("long", 4, 150*ms))
			d.govern(Rules{Routes: map[string]RouteRule{"m": {Mode: mode}}})
			for i := range 3000 { // 30 s of nothing but urgent tasks
				d.at(time.Duration(i/2)*20*ms, func(instant) { _, _ = d.submit(fmt.Sprint(i), "pressing", edge.Urgent, 40*ms) })
			}
			var held *item
			d.at(30*time.Second+40*ms, func(instant) {
				d.mustSubmit("runs", "long", edge.Normal, 300*ms)
				held = d.mustSubmit("held", "m", edge.Batch, 400*ms)
			})
			d.run()
			// It is waited for a quarter of its time, and then there is a free slot for it.
			wantEnd(t, held, edge.Completed, false, 30*time.Second+240*ms)
		})
	})
}

// TestQueueReport_Open: what is away has not ended.
func TestQueueReport_Open(t *testing.T) {
	d := travelling(t, 1, 4, edge.RouteUpstream, upIn(30*ms))
	d.mustSubmit("a", "elsewhere", edge.Normal, 100*ms)
	if got := d.core.reportQueue(); got.Open() != 1 {
		t.Errorf("%d are open of %+v, want 1", got.Open(), got)
	}
	d.run()
	if got := d.core.reportQueue(); got.Open() != 0 {
		t.Errorf("%d are open of %+v, want none", got.Open(), got)
	}
}

// TestTravel_TooFar: what the node has no time for is asked of an upstream that has time for nine of ten, and of
// one that has not only to find out whether it has by now.
func TestTravel_TooFar(t *testing.T) {
	const mode = edge.RouteLocalElseUpstream
	pool := serving("m", 4, 20*ms)
	began := func(t *testing.T, trips ...time.Duration) *drive {
		d := travelling(t, 1, 4, mode, upIn(30*ms), pool)
		for _, took := range trips {
			d.core.travels.took(&item{task: edge.Task{Model: "m"}}, instant(took))
		}
		return d
	}
	t.Run("OneOfTenIsLong", func(t *testing.T) {
		d := began(t, 5*ms, 5*ms, 5*ms, 5*ms, 5*ms, 5*ms, 5*ms, 5*ms, 5*ms, 40*ms)
		d.mustSubmit("a", "m", edge.Normal, 10*ms)
	})
	t.Run("TwoOfTenAreLong", func(t *testing.T) {
		d := began(t, 5*ms, 5*ms, 5*ms, 5*ms, 5*ms, 5*ms, 5*ms, 5*ms, 40*ms, 40*ms)
		_, err := d.submit("a", "m", edge.Normal, 10*ms)
		assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		if !strings.Contains(err.Error(), "its upstream takes 40ms") {
			t.Errorf("got %v, want how long the way is", err)
		}
		if d.core.travels.attempts != 0 {
			t.Errorf("%d attempts are under way", d.core.travels.attempts)
		}
	})
	t.Run("TooFewAreKnown", func(t *testing.T) {
		d := began(t, 40*ms, 40*ms, 40*ms)
		d.mustSubmit("a", "m", edge.Normal, 10*ms)
	})
	t.Run("FindsOut", func(t *testing.T) {
		d := began(t, 40*ms, 40*ms, 40*ms, 40*ms)
		m := d.core.models["m"]
		m.learn(0, m.sized(0), 20*ms) // nobody doubts that the node itself has no time
		d.remote = upIn(5 * ms)
		d.at(9*time.Second, func(instant) {
			_, err := d.submit("early", "m", edge.Normal, 10*ms)
			assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		})
		d.at(10*time.Second, func(instant) { d.mustSubmit("first", "m", edge.Normal, 10*ms) })
		d.at(10*time.Second+time.Millisecond, func(instant) {
			_, err := d.submit("beside", "m", edge.Normal, 10*ms)
			assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		})
		d.at(10*time.Second+6*ms, func(instant) { d.mustSubmit("second", "m", edge.Normal, 10*ms) })
		d.run()
		if got := d.count(edge.Completed); got != 2 {
			t.Errorf("%d were answered, want 2", got)
		}
	})
	t.Run("LearnsFromWhatIsLate", func(t *testing.T) {
		d := began(t)
		d.remote = blackHole
		for i := range 5 {
			d.at(time.Duration(i)*20*ms, func(instant) {
				if _, err := d.submit(fmt.Sprint(i), "m", edge.Normal, 10*ms); (err != nil) != (i == fewTrips) {
					t.Errorf("task %d: got %v, want a no once %d were late", i, err, fewTrips)
				}
			})
		}
		d.run()
	})
	t.Run("GivesWay", func(t *testing.T) {
		d := began(t, 200*ms, 200*ms, 200*ms, 200*ms)
		d.core.serve(d.now, []edge.Pool{pool, serving("long", 4, 60*ms)})
		d.mustSubmit("runs", "long", edge.Normal, 65*ms)
		it := d.mustSubmit("batch", "m", edge.Batch, 130*ms)
		d.mustSubmit("urgent", "long", edge.Urgent, 125*ms)
		wantEnd(t, it, edge.Evicted, false, 0)
	})
	t.Run("UpstreamAloneHasNoOtherHope", func(t *testing.T) {
		d := began(t, 40*ms, 40*ms, 40*ms, 40*ms)
		d.govern(Rules{Routes: map[string]RouteRule{"m": {Mode: edge.RouteUpstream}}})
		d.mustSubmit("a", "m", edge.Normal, 10*ms)
	})
}

// TestTravels_Follow: what is known of one place says nothing of another, and is not kept for good.
func TestTravels_Follow(t *testing.T) {
	d := travelling(t, 1, 4, edge.RouteUpstreamElseLocal, upIn(30*ms), serving("m", 4, 20*ms))
	to := func(to string) Rules {
		return Rules{Routes: map[string]RouteRule{"m": {Mode: edge.RouteUpstreamElseLocal, To: to}}}
	}
	local := to("a")
	local.LocalOnly = true
	d.govern(to("a"))
	d.expects("m", 30*ms)
	for _, step := range []struct {
		rules Rules
		kept  int
	}{{to("a"), 1}, {local, 1}, {to("b"), 0}} {
		if d.govern(step.rules); len(d.core.travels.trips) != step.kept {
			t.Errorf("%d models are known under %+v, want %d", len(d.core.travels.trips), step.rules, step.kept)
		}
	}
	d.expects("m", 30*ms)
	if d.govern(Rules{}); len(d.core.travels.trips) != 0 {
		t.Errorf("%d models are known without routes", len(d.core.travels.trips))
	}
}
