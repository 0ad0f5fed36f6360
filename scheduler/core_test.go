package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// teach makes the model's runs known, so that classes with different figures meet.
func (d *drive) teach(name string, runs ...time.Duration) {
	m := d.core.models[name]
	for _, run := range runs {
		m.learn(d.now, m.sized(0), run)
	}
}

func assertRefused(t *testing.T, err error, want edge.Reason) *edge.Refusal {
	t.Helper()
	refusal, ok := edge.AsRefusal(err)
	if !ok || refusal.Reason != want {
		t.Fatalf("verdict is %v, want a refusal with %q", err, want)
	}
	return refusal
}

func assertOutcome(t *testing.T, it *item, want edge.Outcome) {
	t.Helper()
	if it.phase != settled || it.settlement.Outcome != want {
		t.Fatalf("task %q: settled %v as %v (%v), want %v", it.task.ID, it.phase == settled, it.settlement.Outcome, it.settlement.Err, want)
	}
}

func TestCore_Submit(t *testing.T) {
	t.Run("RunsInDeadlineOrder", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		d.mustSubmit("first", "m", edge.Normal, 100*ms)
		d.mustSubmit("never", "m", edge.Urgent, 0)
		d.mustSubmit("late", "m", edge.Urgent, 300*ms)
		d.mustSubmit("early", "m", edge.Batch, 200*ms)
		d.mustSubmit("never2", "m", edge.Urgent, 0)
		d.duration = func(*item) (time.Duration, error) { return 10 * ms, nil }
		d.run()
		if got, want := starts(d), "first early late never never2"; got != want {
			t.Errorf("started %s, want %s", got, want)
		}
	})
	t.Run("TiesGoByClassThenArrival", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, ms))
		d.mustSubmit("runs", "m", edge.Batch, time.Second)
		for i, class := range []edge.Class{edge.Batch, edge.Normal, edge.Urgent, edge.Urgent} {
			d.mustSubmit(fmt.Sprintf("%v%d", class, i), "m", class, time.Second)
		}
		d.run()
		if got, want := starts(d), "runs urgent2 urgent3 normal1 batch0"; got != want {
			t.Errorf("started %s, want %s", got, want)
		}
	})
	t.Run("RefusesNewcomerThatCannotMakeIt", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		d.mustSubmit("runs", "m", edge.Normal, 100*ms)
		_, err := d.submit("late", "m", edge.Normal, 15*ms)
		refusal := assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		if refusal.Earliest != 20*ms || refusal.RetryAfter != 5*ms {
			t.Errorf("earliest %v, retry after %v, want 20ms and 5ms", refusal.Earliest, refusal.RetryAfter)
		}
		d.mustSubmit("again", "m", edge.Normal, refusal.Earliest)
	})
	t.Run("RefusesNewcomerThatPushesOthersBack", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		d.mustSubmit("runs", "m", edge.Normal, 100*ms)
		d.mustSubmit("tight", "m", edge.Urgent, 25*ms)
		_, err := d.submit("pushy", "m", edge.Urgent, 20*ms)
		if refusal := assertRefused(t, err, edge.ReasonDeadlineUnreachable); refusal.Earliest != 30*ms {
			t.Errorf("earliest %v, want 30ms: behind the task it would have pushed back", refusal.Earliest)
		}
	})
	t.Run("SaysWhenWaitingDoesNotHelp", func(t *testing.T) {
		d := newDrive(t, 2, serving("m", 2, 10*ms))
		_, err := d.submit("short", "m", edge.Normal, ms)
		refusal := assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		if refusal.RetryAfter != 0 || refusal.Earliest != 10*ms || !strings.Contains(refusal.Detail, "declared") {
			t.Errorf("refusal is %+v, want no retry, earliest 10ms, and the declared cost named", refusal)
		}
	})
	t.Run("CountsFirmTasksCarefully", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, ms))
		d.teach("m", spread...)
		_, err := d.submit("urgent", "m", edge.Urgent, 20*ms)
		assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		d.mustSubmit("normal", "m", edge.Normal, 20*ms)
	})
	t.Run("CountsScarceLanes", func(t *testing.T) {
		d := newDrive(t, 4, serving("narrow", 1, 10*ms), serving("wide", 4, 10*ms))
		d.mustSubmit("n1", "narrow", edge.Normal, 100*ms)
		_, err := d.submit("n2", "narrow", edge.Normal, 15*ms)
		assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		d.mustSubmit("w", "wide", edge.Normal, 15*ms)
	})
	t.Run("CountsEarliestFromArrival", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		d.at(50*ms, func(now instant) {
			it := &item{task: edge.Task{ID: "slow-door", Model: "m", Class: edge.Normal}, arrived: now - instant(5*ms), deadline: now + instant(4*ms)}
			refusal := assertRefused(t, d.core.submit(now, it), edge.ReasonDeadlineUnreachable)
			if refusal.Earliest != 15*ms {
				t.Errorf("earliest %v, want 15ms: 10 of work and 5 spent at the door", refusal.Earliest)
			}
		})
		d.run()
	})
	t.Run("JudgesAgainstThePresent", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		overdue := d.mustSubmit("overdue", "m", edge.Normal, 15*ms)
		hopeless := d.mustSubmit("hopeless", "m", edge.Normal, 30*ms)
		d.now = instant(25 * ms) // nobody looked at the clock in between
		_, err := d.submit("next", "m", edge.Normal, 10*ms)
		assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		assertOutcome(t, overdue, edge.Missed)
		assertOutcome(t, hopeless, edge.Evicted)
		d.mustSubmit("roomy", "m", edge.Normal, 100*ms)
	})
	t.Run("NotATaskOfItsOwn", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		d.mustSubmit("a", "m", edge.Normal, time.Second)
		if _, err := d.submit("a", "m", edge.Normal, time.Second); !errors.Is(err, edge.ErrExists) {
			t.Errorf("the same id again: %v, want ErrExists", err)
		}
		if _, err := d.submit("", "m", edge.Normal, time.Second); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("no id: %v, want ErrInvalid", err)
		}
		if _, err := d.submit("b", "m", 9, time.Second); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("class 9: %v, want ErrInvalid", err)
		}
		if got := d.core.tally.submitted[edge.Normal]; got != 1 {
			t.Errorf("%d tasks count as submitted, want 1", got)
		}
		d.run()
		d.mustSubmit("a", "m", edge.Normal, time.Second) // free again
	})
}

func starts(d *drive) string {
	var ids []string
	for line := range strings.Lines(d.log.String()) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[2] == "start" {
			ids = append(ids, fields[1])
		}
	}
	return strings.Join(ids, " ")
}

func TestCore_RefusesFor(t *testing.T) {
	t.Run("UnknownModel", func(t *testing.T) {
		_, err := newDrive(t, 1).submit("a", "nothing", edge.Normal, time.Second)
		assertRefused(t, err, edge.ReasonUnknownModel)
	})
	t.Run("ModelNotReady", func(t *testing.T) {
		_, err := newDrive(t, 1, serving("m", 0, ms)).submit("a", "m", edge.Normal, time.Second)
		if refusal := assertRefused(t, err, edge.ReasonModelNotReady); refusal.RetryAfter != time.Second {
			t.Errorf("retry after %v, want 1s", refusal.RetryAfter)
		}
	})
	t.Run("DeadlinePassed", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		for _, within := range []time.Duration{-time.Hour, -1} {
			_, err := d.submit("a", "m", edge.Normal, within)
			if refusal := assertRefused(t, err, edge.ReasonDeadlinePassed); refusal.Earliest != 10*ms {
				t.Errorf("earliest %v, want 10ms", refusal.Earliest)
			}
		}
		it := &item{task: edge.Task{ID: "now", Model: "m"}, deadline: d.now}
		assertRefused(t, d.core.submit(d.now, it), edge.ReasonDeadlinePassed)
	})
	t.Run("QueueFull", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		d.core.limits = [3]int{5, 2, 5}
		d.mustSubmit("runs", "m", edge.Batch, 0)
		d.mustSubmit("ahead", "m", edge.Urgent, time.Second)
		d.mustSubmit("w1", "m", edge.Normal, 2*time.Second)
		d.mustSubmit("w2", "m", edge.Normal, 0)
		_, err := d.submit("w3", "m", edge.Normal, 0)
		if refusal := assertRefused(t, err, edge.ReasonQueueFull); refusal.RetryAfter != 20*ms {
			t.Errorf("retry after %v, want 20ms, when the first of the class is planned to start", refusal.RetryAfter)
		}
		d.mustSubmit("other", "m", edge.Urgent, 3*time.Second)

		d.core.serve(d.now, []edge.Pool{serving("m", 0, 10*ms), serving("n", 1, 10*ms)})
		_, err = d.submit("w4", "n", edge.Normal, 0)
		if refusal := assertRefused(t, err, edge.ReasonQueueFull); refusal.RetryAfter != time.Second {
			t.Errorf("retry after %v, want 1s, as those in the way are not planned at all", refusal.RetryAfter)
		}
	})
	t.Run("Draining", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		runs, waits := d.mustSubmit("runs", "m", edge.Normal, time.Second), d.mustSubmit("waits", "m", edge.Normal, time.Second)
		d.core.draining = true
		_, err := d.submit("late", "m", edge.Normal, time.Second)
		assertRefused(t, err, edge.ReasonDraining)
		d.duration = func(*item) (time.Duration, error) { return ms, nil }
		d.run()
		assertOutcome(t, waits, edge.Completed)
		if runs.phase != settled || !d.core.idle() {
			t.Error("what was accepted has not ended")
		}
	})
}

func TestCore_Explain(t *testing.T) {
	d := newDrive(t, 1, serving("m", 1, 10*ms))
	d.mustSubmit("runs", "m", edge.Normal, 100*ms)
	before := fmt.Sprintf("%+v", d.core.snapshot(d.now))
	explain := func(within time.Duration) error {
		it := &item{task: edge.Task{ID: "x", Model: "m", Class: edge.Normal}, deadline: d.now + instant(within)}
		return d.core.explain(d.now, it)
	}
	refusal := assertRefused(t, explain(15*ms), edge.ReasonDeadlineUnreachable)
	if err := explain(refusal.Earliest); err != nil {
		t.Errorf("the deadline offered would be refused: %v", err)
	}
	if after := fmt.Sprintf("%+v", d.core.snapshot(d.now)); after != before {
		t.Errorf("explaining changed the state:\n%s\n%s", before, after)
	}
}

func TestCore_Serve(t *testing.T) {
	t.Run("ShrunkPoolStartsNothingUntilLanesAreFree", func(t *testing.T) {
		d := newDrive(t, 4, serving("m", 3, 10*ms))
		for i := range 3 {
			d.mustSubmit(fmt.Sprint("run", i), "m", edge.Normal, time.Second)
		}
		d.core.serve(d.now, []edge.Pool{serving("m", 1, 10*ms)})
		it := d.mustSubmit("next", "m", edge.Normal, time.Second)
		d.run()
		if it.started != instant(10*ms) {
			t.Errorf("started at %v, want 10ms", time.Duration(it.started))
		}
	})
	t.Run("ReturningPoolRemembersItsBusyLanes", func(t *testing.T) {
		d := newDrive(t, 4, serving("m", 1, 10*ms))
		d.mustSubmit("run", "m", edge.Normal, time.Second)
		d.core.serve(d.now, nil)
		d.core.serve(d.now, []edge.Pool{serving("m", 1, 10*ms)})
		it := d.mustSubmit("next", "m", edge.Normal, time.Second)
		d.run()
		if it.started != instant(10*ms) {
			t.Errorf("started at %v, want 10ms", time.Duration(it.started))
		}
		d.core.serve(d.now, nil)
		if len(d.core.pools)+len(d.core.retired) != 0 {
			t.Error("a pool with no busy lane is kept though nobody serves it")
		}
	})
	t.Run("FirstReadyPoolAnswersASharedModel", func(t *testing.T) {
		shared := []edge.ModelCost{{Model: "m", Cost: 10 * ms}}
		d := newDrive(t, 2, edge.Pool{Name: "old", Models: shared}, edge.Pool{Name: "new", Lanes: 1, Models: shared},
			edge.Pool{Name: "spare", Lanes: 1, Models: shared})
		it := d.mustSubmit("a", "m", edge.Normal, time.Second)
		if it.pool.name != "new" {
			t.Errorf("runs in %q, want %q", it.pool.name, "new")
		}
		models := d.core.snapshot(d.now).Report.Models
		if len(models) != 1 || models[0].Pool != "new" || models[0].Lanes != 1 {
			t.Errorf("reported as %+v, want one model in the pool that answers it", models)
		}
	})
	t.Run("OddInput", func(t *testing.T) {
		d := newDrive(t, 2, edge.Pool{Name: "p", Lanes: -3, Models: []edge.ModelCost{{Model: "m", Cost: -1}, {Model: "m"}}},
			edge.Pool{Name: "p", Lanes: 9, Models: []edge.ModelCost{{Model: "n"}}})
		_, err := d.submit("a", "m", edge.Normal, time.Second)
		assertRefused(t, err, edge.ReasonModelNotReady)
		_, err = d.submit("b", "n", edge.Normal, time.Second)
		assertRefused(t, err, edge.ReasonUnknownModel)
	})
}

func TestCore_Stop(t *testing.T) {
	d := newDrive(t, 1, serving("m", 1, 10*ms))
	runs, waits := d.mustSubmit("runs", "m", edge.Normal, time.Second), d.mustSubmit("waits", "m", edge.Normal, time.Second)
	d.core.stop(d.now)
	d.act()
	assertOutcome(t, waits, edge.Evicted)
	assertRefused(t, waits.settlement.Err, edge.ReasonDraining)
	assertOutcome(t, runs, edge.Cancelled)
	if !errors.Is(runs.settlement.Err, edge.ErrUnavailable) {
		t.Errorf("error is %v, want ErrUnavailable", runs.settlement.Err)
	}
	d.run()
	if !d.core.idle() {
		t.Error("the slot did not come free")
	}
}

// spread are runs that mostly take 10 ms, and one in a dozen up to 22 ms.
var spread = slices.Concat(slices.Repeat([]time.Duration{10 * ms}, 22), []time.Duration{15 * ms, 22 * ms})

// TestCore_Tries holds a model open whose figures hold nothing but a hiccup of the machine that has passed, while
// others wait and run.
func TestCore_Tries(t *testing.T) {
	hiccup := slices.Concat(slices.Repeat([]time.Duration{20 * ms}, 40), slices.Repeat([]time.Duration{80 * ms}, 24))
	under := func(t *testing.T, room int) *drive {
		d := newSuspendingDrive(t, 1, room, serving("m", 9, 20*ms), serving("long", 9, time.Second), serving("other", 9, 20*ms))
		d.teach("m", hiccup...)
		d.duration = func(it *item) (time.Duration, error) {
			if it.task.Model == "long" {
				return time.Second, nil
			}
			return 20 * ms, nil
		}
		d.mustSubmit("runs", "long", edge.Batch, time.Minute)
		d.mustSubmit("waits", "long", edge.Batch, time.Minute)
		return d
	}
	t.Run("UnderLoad", func(t *testing.T) {
		d := under(t, 4)
		_, err := d.submit("fresh", "m", edge.Urgent, 50*ms)
		assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		var after *item
		d.at(1100*ms, func(instant) {
			trial := d.mustSubmit("trial", "m", edge.Urgent, 50*ms)
			_, err := d.submit("beside", "m", edge.Urgent, 50*ms)
			assertRefused(t, err, edge.ReasonDeadlineUnreachable)
			if !trial.trial {
				t.Error("let in, and not as a trial")
			}
		})
		d.at(1200*ms, func(instant) {
			if after = d.mustSubmit("after", "m", edge.Urgent, 50*ms); after.trial || after.estimate != 26*ms {
				t.Errorf("trial %v, counted with %v: want the figures to have recovered", after.trial, after.estimate)
			}
		})
		d.run()
		assertOutcome(t, after, edge.Completed)
		assertOutcome(t, d.ended[slices.IndexFunc(d.ended, func(it *item) bool { return it.task.ID == "trial" })], edge.Completed)
	})
	t.Run("NotWhereThereIsNoTimeForIt", func(t *testing.T) {
		d := under(t, 0)              // what runs cannot be suspended
		d.at(1100*ms, func(instant) { // and the second one has just begun
			_, err := d.submit("trial", "m", edge.Urgent, 50*ms)
			assertRefused(t, err, edge.ReasonDeadlineUnreachable)
			if at := d.core.models["m"].trialAt; at == forever {
				t.Error("a refused task counts as a trial that is under way")
			}
		})
		d.run()
	})
	t.Run("AgainAfterOneThatNeverRan", func(t *testing.T) {
		d := under(t, 4)
		d.at(1100*ms, func(now instant) {
			d.mustSubmit("ahead", "other", edge.Urgent, 25*ms)
			trial := d.mustSubmit("trial", "m", edge.Urgent, 50*ms)
			d.core.cancel(now, trial)
			if got, want := d.core.models["m"].trialAt, now+trialPause; got != want {
				t.Errorf("the next trial may be at %v, want %v", got, want)
			}
		})
		d.run()
	})
}
