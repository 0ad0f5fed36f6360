package scheduler

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

func TestCore_Evict(t *testing.T) {
	t.Run("AtTheMomentHopeIsLost", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		d.duration = func(*item) (time.Duration, error) { return 80 * ms, errTeachesNothing }
		d.mustSubmit("slow", "m", edge.Normal, time.Second)
		it := d.mustSubmit("waits", "m", edge.Normal, 50*ms)
		d.run()
		assertOutcome(t, it, edge.Evicted)
		assertRefused(t, it.settlement.Err, edge.ReasonHopeless)
		at := it.settlement.At.Sub(d.core.epoch)
		if at <= 40*ms || at > 41*ms {
			t.Errorf("told at %v, want just after 40ms, with the 10ms it takes left", at)
		}
	})
	t.Run("InsteadOfAStartWithoutHope", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		d.duration = func(*item) (time.Duration, error) { return 80 * ms, nil }
		d.mustSubmit("slow", "m", edge.Normal, time.Second)
		it := d.mustSubmit("waits", "m", edge.Normal, 120*ms)
		d.run()
		assertOutcome(t, it, edge.Evicted)
		if at := it.settlement.At.Sub(d.core.epoch); at != 80*ms {
			t.Errorf("told at %v, want 80ms, when the first run showed how long they take", at)
		}
	})
	t.Run("ModelGone", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms), serving("n", 1, 10*ms))
		runs := d.mustSubmit("runs", "m", edge.Normal, time.Second)
		waits := d.mustSubmit("waits", "m", edge.Batch, 0)
		other := d.mustSubmit("other", "n", edge.Normal, time.Second)
		d.core.serve(d.now, []edge.Pool{serving("n", 1, 10*ms)})
		d.act()
		assertOutcome(t, waits, edge.Evicted)
		assertRefused(t, waits.settlement.Err, edge.ReasonUnknownModel)
		d.duration = func(*item) (time.Duration, error) { return 10 * ms, nil }
		d.run()
		assertOutcome(t, other, edge.Completed)
		if runs.phase != settled {
			t.Error("what ran has not ended")
		}
	})
	t.Run("PoolWithoutLanesWaitsWhileThereIsHope", func(t *testing.T) {
		d := newDrive(t, 2, serving("m", 1, 10*ms))
		d.mustSubmit("runs", "m", edge.Normal, time.Second)
		lost, saved := d.mustSubmit("lost", "m", edge.Normal, 100*ms), d.mustSubmit("saved", "m", edge.Normal, 500*ms)
		d.at(ms, func(now instant) { d.core.serve(now, []edge.Pool{serving("m", 0, 10*ms)}) })
		d.at(300*ms, func(now instant) { d.core.serve(now, []edge.Pool{serving("m", 1, 10*ms)}) })
		d.duration = func(*item) (time.Duration, error) { return 10 * ms, nil }
		d.run()
		assertOutcome(t, lost, edge.Evicted)
		if refusal := assertRefused(t, lost.settlement.Err, edge.ReasonHopeless); !strings.Contains(refusal.Detail, "ready") {
			t.Errorf("told %q, want that no instance was ready", refusal.Detail)
		}
		assertOutcome(t, saved, edge.Completed)
	})
}

func TestCore_Finish(t *testing.T) {
	t.Run("AtTheDeadlineIsOnTime", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		d.duration = func(*item) (time.Duration, error) { return 20 * ms, nil }
		it := d.mustSubmit("a", "m", edge.Normal, 20*ms)
		d.run()
		assertOutcome(t, it, edge.Completed)
	})
	t.Run("MissedIsToldAtDeadlineAndKeepsItsSlot", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		d.duration = func(*item) (time.Duration, error) { return 100 * ms, nil }
		it := d.mustSubmit("a", "m", edge.Normal, 20*ms)
		next := d.mustSubmit("b", "m", edge.Batch, 0)
		d.at(50*ms, func(instant) {
			assertOutcome(t, it, edge.Missed)
			if !errors.Is(it.settlement.Err, edge.ErrDeadline) {
				t.Errorf("error is %v, want ErrDeadline", it.settlement.Err)
			}
			if at := it.settlement.At.Sub(d.core.epoch); at > 20*ms+1 {
				t.Errorf("told at %v, want 20ms", at)
			}
			if view := d.core.snapshot(d.now).Running; len(view) != 1 || view[0].State != "missed" {
				t.Errorf("running shows %+v, want the missed task", view)
			}
		})
		d.run()
		if next.started != instant(100*ms) {
			t.Errorf("the next started at %v, want 100ms, when the slot was really free", time.Duration(next.started))
		}
		if got := d.core.models["m"].runs.quantile(50); got != 100*ms {
			t.Errorf("the ghost taught %v, want 100ms", got)
		}
	})
	t.Run("FailureTeachesNothing", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		cause := errors.New("wrong shape")
		d.duration = func(*item) (time.Duration, error) { return ms, cause }
		it := d.mustSubmit("a", "m", edge.Normal, 20*ms)
		d.run()
		assertOutcome(t, it, edge.Failed)
		if !errors.Is(it.settlement.Err, cause) || d.core.models["m"].runs.count != 0 {
			t.Errorf("error %v with %d runs learnt, want the cause and none", it.settlement.Err, d.core.models["m"].runs.count)
		}
	})
	t.Run("MeasuresItsParts", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		d.duration = func(*item) (time.Duration, error) { return 12 * ms, nil }
		d.mustSubmit("a", "m", edge.Normal, time.Second)
		it := d.mustSubmit("b", "m", edge.Normal, time.Second)
		d.run()
		s := it.settlement
		if s.Queue != 12*ms || s.Compute != 12*ms || s.Estimate != 10*ms || s.Slack() != time.Second-24*ms {
			t.Errorf("queue %v, compute %v, estimate %v, slack %v; want 12ms, 12ms, 10ms, 976ms", s.Queue, s.Compute, s.Estimate, s.Slack())
		}
	})
}

func TestCore_Cancel(t *testing.T) {
	d := newDrive(t, 1, serving("m", 1, 10*ms))
	runs, waits := d.mustSubmit("runs", "m", edge.Normal, time.Second), d.mustSubmit("waits", "m", edge.Normal, time.Second)
	third := d.mustSubmit("third", "m", edge.Normal, 2*time.Second)
	for _, it := range []*item{runs, waits} {
		if !d.core.cancel(d.now, it) || d.core.cancel(d.now, it) {
			t.Errorf("task %q: cancelling tells the wrong thing", it.task.ID)
		}
		assertOutcome(t, it, edge.Cancelled)
		if !errors.Is(it.settlement.Err, edge.ErrCancelled) {
			t.Errorf("error is %v, want ErrCancelled", it.settlement.Err)
		}
	}
	d.act()
	d.run()
	if third.started != instant(10*ms) {
		t.Errorf("the third started at %v, want 10ms: the cancelled one was still computing", time.Duration(third.started))
	}
}

func TestCore_Overrun(t *testing.T) {
	d := newDrive(t, 1, serving("m", 1, ms))
	d.teach("m", 10*ms, 10*ms, 10*ms, 10*ms, 10*ms, 10*ms, 10*ms, 10*ms, 10*ms, 10*ms, 30*ms)
	d.duration = func(*item) (time.Duration, error) { return time.Minute, errTeachesNothing }
	it := d.mustSubmit("slow", "m", edge.Normal, time.Hour)
	expect := func(at, from, to time.Duration) {
		d.at(at, func(instant) {
			if got := time.Duration(it.expected); got < from || got > to {
				t.Errorf("at %v the end is expected at %v, want %v to %v", at, got, from, to)
			}
		})
	}
	expect(5*ms, 10*ms, 10*ms)
	expect(15*ms, 30*ms, 30*ms)   // where slow runs end
	expect(31*ms, 59*ms, 61*ms)   // 30 and a grace of 20 × 1.5
	expect(61*ms, 104*ms, 106*ms) // and of 45
	plans := 0
	d.after = func() { plans++ }
	d.run()
	if plans > 40 {
		t.Errorf("a run of a minute cost %d plans, want a few dozen at most", plans)
	}
}

func TestCore_HiccupDoesNotCloseAModel(t *testing.T) {
	// A model that takes 2 ms was measured while the machine was busy with something
	// else: all runs it remembers took 40 ms. From then on only urgent tasks with
	// 20 ms come, a hundred a second.
	d := newDrive(t, 2, serving("m", 1, 2*ms))
	d.duration = func(*item) (time.Duration, error) { return 2 * ms, nil }
	for range windowRuns {
		d.teach("m", 40*ms)
	}
	var refusedUntil time.Duration
	for i := range 500 {
		at := time.Duration(i) * 10 * ms
		d.at(at, func(instant) {
			if _, err := d.submit(fmt.Sprint(i), "m", edge.Urgent, 20*ms); err != nil {
				refusedUntil = at
			}
		})
	}
	d.run()
	if refusedUntil < 900*ms || refusedUntil > 1200*ms {
		t.Errorf("tasks were refused until %v, want about one second", refusedUntil)
	}
	if missed := d.count(edge.Missed); missed > 0 {
		t.Errorf("%d tasks missed, want none: the model is as fast as it was said to be", missed)
	}
}

func TestCore_WrongWordsDoNotCloseAModel(t *testing.T) {
	// A hundred urgent tasks a second with 20 ms, of a model that has never run.
	asked := func(t *testing.T, pool edge.Pool, takes time.Duration) (d *drive, refusedUntil time.Duration) {
		d = newDrive(t, 2, pool)
		d.duration = func(*item) (time.Duration, error) { return takes, nil }
		for i := range 500 {
			at := time.Duration(i) * 10 * ms
			d.at(at, func(instant) {
				if _, err := d.submit(fmt.Sprint(i), "m", edge.Urgent, 20*ms); err != nil {
					refusedUntil = at
				}
			})
		}
		d.run()
		return d, refusedUntil
	}
	for name, pool := range map[string]edge.Pool{"Declared": serving("m", 1, 500*ms), "Assumed": serving("m", 1, 0)} {
		t.Run(name, func(t *testing.T) {
			d, until := asked(t, pool, 2*ms)
			if until < 900*ms || until > 1100*ms {
				t.Errorf("tasks were refused until %v, want about one second: what is said of a model is believed, and not for ever", until)
			}
			if missed := d.count(edge.Missed); missed > 0 {
				t.Errorf("%d tasks missed, want none", missed)
			}
		})
	}
	t.Run("TrueOnesCostOneTry", func(t *testing.T) {
		d, _ := asked(t, serving("m", 1, 500*ms), 500*ms)
		if missed, done := d.count(edge.Missed), d.count(edge.Completed); missed != 1 || done > 0 {
			t.Errorf("%d were tried in vain and %d answered, want one try", missed, done)
		}
	})
}

func TestCore_HopelessWishCostsATryNowAndThen(t *testing.T) {
	// The model was declared with 2 ms and truly takes 40.
	d := newDrive(t, 2, serving("m", 1, 2*ms))
	d.duration = func(*item) (time.Duration, error) { return 40 * ms, nil }
	const minutes = 5
	for i := range minutes * 60 * 10 {
		d.at(time.Duration(i)*100*ms, func(instant) {
			_, _ = d.submit(fmt.Sprint(i), "m", edge.Urgent, 20*ms)
		})
	}
	d.run()
	if got, most := d.count(edge.Missed), 5+2*minutes+1; got > most {
		t.Errorf("%d of %d hopeless wishes were tried, want at most %d", got, minutes*600, most)
	}
	if got := d.count(edge.Missed); got < 2 {
		t.Errorf("%d hopeless wishes were tried, want a few: figures must not be believed for ever", got)
	}
}
