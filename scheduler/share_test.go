package scheduler

import (
	"math/rand/v2"
	"testing"
	"time"

	"holdfast/edge"
)

func TestShare_GivesNoMoreThanItFills(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 41))
		cores := []float64{0.1, 0.25, 1.5}[r.IntN(3)]
		var s share
		s.follow(0, cores)
		taken, now := time.Duration(0), instant(0)
		for range 500 {
			now += instant(r.ExpFloat64() * 2e8)
			if work := time.Duration(r.ExpFloat64() * 1e8); s.holds(now, work) {
				s.take(now, work)
				taken += work
			}
		}
		most := time.Duration(cores * float64(now+shareSpan))
		if longest := 2 * time.Second; taken > most+longest || taken < most*6/10 && cores < 1 {
			t.Fatalf("seed %d: %v taken of %v", seed, taken, most)
		}
	}
}

func TestShare_ComesBack(t *testing.T) {
	var s share
	s.follow(0, 1)
	s.take(0, 5*time.Second)
	if s.holds(0, ms) {
		t.Error("an empty share holds something")
	}
	s.take(0, -5*time.Second)
	if !s.holds(0, 5*time.Second) {
		t.Error("what was given back is gone")
	}
	s.take(0, time.Hour)
	if s.holds(instant(5*time.Second), ms) || !s.holds(instant(11*time.Second), ms) {
		t.Error("a debt is not bounded by what the share saves up")
	}
	if s.holds(instant(9*time.Second), time.Hour) || !s.holds(instant(time.Hour), time.Hour) {
		t.Error("a task longer than the share saves up fits when it is full, and only then")
	}
	var unbounded share
	if !unbounded.holds(0, time.Hour) {
		t.Error("no share bounds something")
	}
}

func TestBusyness_LendsWhatIsIdle(t *testing.T) {
	for _, c := range []struct {
		running int
		want    bool
	}{{0, true}, {1, true}, {2, false}} {
		var b busyness
		for at := instant(0); at < instant(10*time.Second); at += instant(37 * ms) {
			b.pass(at, c.running)
		}
		if got := b.lends(2); got != c.want {
			t.Errorf("with %d of 2 slots busy it lends: %v, want %v", c.running, got, c.want)
		}
	}
	var b busyness
	b.pass(instant(time.Hour), 2)
	b.pass(instant(time.Hour+ms), 2)
	if b.lends(2) {
		t.Error("a busy hour is looked at as if it had been idle")
	}
}

// shares are two tenants of a drive, with so many cores each.
func shares(d *drive, cores float64) {
	d.govern(Rules{Tenants: map[string]TenantRule{"small": {CPU: cores}, "large": {CPU: cores}}})
}

func TestCore_Shares(t *testing.T) {
	// fill has the large tenant use up its share, and the node be busy with it for 3 s. What is
	// submitted in between is outside.
	fill := func(d *drive, between func()) {
		d.tenant = "large"
		d.duration = func(it *item) (time.Duration, error) { return it.size.figure.plan, nil }
		d.mustSubmit("first", "long", edge.Normal, time.Minute)
		between()
		for d.now < instant(3*time.Second) && len(d.events) > 0 && d.events[0].at < instant(3*time.Second) && d.step() {
		}
		d.now = instant(3 * time.Second)
		d.core.tick(d.now)
		d.act()
		d.tenant = "small"
	}
	for _, room := range []int{0, 4} {
		d := newSuspendingDrive(t, 1, room, serving("long", 9, 5*time.Second), serving("m", 9, 100*ms))
		shares(d, 1)
		fill(d, func() {
			if it := d.mustSubmit("urgent", "m", edge.Urgent, 30*time.Second); it.firm || !it.outside {
				t.Error("an urgent task is inside a share that is used up")
			}
		})
		if it := d.mustSubmit("inside", "m", edge.Urgent, 30*time.Second); !it.firm {
			t.Error("an urgent task inside the share is not firm")
		}
		d.run()
		if got := &d.core.tenants.named["small"].share; got.at(d.now+instant(time.Second)) != got.size() {
			t.Errorf("%d of the share are left after a while, want all", got.at(d.now))
		}
	}
	t.Run("OutsideGivesWayFirst", func(t *testing.T) {
		d := newDrive(t, 1, serving("long", 9, 5*time.Second), serving("m", 9, 100*ms), serving("n", 9, 200*ms))
		shares(d, 1)
		var outside *item
		fill(d, func() { outside = d.mustSubmit("short", "m", edge.Normal, 5150*ms) })
		inside := d.mustSubmit("batch", "n", edge.Batch, 2450*ms)
		d.mustSubmit("newcomer", "n", edge.Normal, 2340*ms)
		assertOutcome(t, outside, edge.Evicted)
		if inside.phase != waiting {
			t.Error("a batch task inside its share gave way before one outside of its own")
		}
	})
	t.Run("WhatIsGivenBackCountsAgain", func(t *testing.T) {
		d := newDrive(t, 1, serving("long", 9, 5*time.Second))
		shares(d, 1)
		d.tenant = "large"
		runs := d.mustSubmit("runs", "long", edge.Normal, time.Minute)
		d.tenant = "small"
		waits := d.mustSubmit("waits", "long", edge.Normal, time.Minute)
		d.core.cancel(d.now, waits)
		if again := d.mustSubmit("again", "long", edge.Normal, time.Minute); again.outside || runs.outside {
			t.Error("a share was charged for what did not run")
		}
	})
}
