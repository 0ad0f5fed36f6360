package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"holdfast/edge"
)

// laddered is a drive of one slot with a model of 50 ms, its variants of 20 and 5 ms, and others.
func laddered(t *testing.T, room int) *drive {
	pool := edge.Pool{Name: "vision", Lanes: 9, Ladder: true, Models: []edge.ModelCost{
		{Model: "large", Cost: 50 * ms}, {Model: "middle", Cost: 20 * ms}, {Model: "small", Cost: 5 * ms},
	}}
	d := newSuspendingDrive(t, 1, room, pool, serving("m", 9, 10*ms))
	d.duration = func(it *item) (time.Duration, error) { return it.size.figure.plan, nil }
	return d
}

func TestCore_Degrade(t *testing.T) {
	for _, room := range []int{0, 4} {
		for within, want := range map[time.Duration]string{100 * ms: "large", 45 * ms: "middle", 18 * ms: "small"} {
			d := laddered(t, room)
			d.mustSubmit("runs", "m", edge.Urgent, 11*ms)
			it := d.mustSubmit("task", "large", edge.Normal, within)
			if it.order().Model != want || it.task.Model != "large" {
				t.Errorf("with %v it runs as %q, want %q", within, it.order().Model, want)
			}
			d.run()
			assertOutcome(t, it, edge.Completed)
			if why := it.settlement.VariantWhy; (why == edge.WhyLoad) != (want != "large") || want == "large" && why != "" {
				t.Errorf("with %v it was answered by %q because of %q", within, want, why)
			}
		}
		d := laddered(t, room)
		d.mustSubmit("runs", "m", edge.Urgent, 11*ms)
		_, err := d.submit("task", "large", edge.Normal, 12*ms)
		assertRefused(t, err, edge.ReasonDeadlineUnreachable)
	}
	for _, room := range []int{0, 4} {
		t.Run(fmt.Sprint("SmallFromTheStart", room), func(t *testing.T) {
			d := laddered(t, room)
			d.govern(Rules{PreferSmall: edge.WhyOffline})
			plenty := d.mustSubmit("plenty", "large", edge.Normal, time.Second)
			named := &item{task: edge.Task{ID: "named", Model: "large", Version: "1"}, arrived: d.now, deadline: forever}
			if err := d.core.submit(d.now, named); err != nil {
				t.Fatal(err)
			}
			d.act()
			if plenty.order().Model != "small" || named.order().Model != "large" {
				t.Errorf("they run as %q and %q, want the smallest, and the one whose version is named", plenty.order().Model, named.order().Model)
			}
			d.run()
			if plenty.settlement.VariantWhy != edge.WhyOffline || named.settlement.VariantWhy != "" {
				t.Errorf("because of %q and %q, want the first for the node is cut off", plenty.settlement.VariantWhy, named.settlement.VariantWhy)
			}
		})
		t.Run(fmt.Sprint("WhoWouldGoFirstStepsDown", room), func(t *testing.T) {
			d := laddered(t, room)
			d.mustSubmit("runs", "m", edge.Urgent, 11*ms)
			waits := d.mustSubmit("waits", "large", edge.Batch, 90*ms)
			it := d.mustSubmit("task", "large", edge.Normal, 85*ms)
			if it.order().Model != "large" || waits.order().Model != "middle" {
				t.Errorf("they run as %q and %q, want the batch task alone to step down", it.order().Model, waits.order().Model)
			}
			next := d.mustSubmit("next", "large", edge.Urgent, 80*ms)
			if it.order().Model != "middle" || waits.order().Model != "small" || next.order().Model != "large" {
				t.Errorf("they run as %q, %q and %q", it.order().Model, waits.order().Model, next.order().Model)
			}
			d.run()
			for _, it := range d.ended {
				assertOutcome(t, it, edge.Completed)
			}
		})
		t.Run(fmt.Sprint("NotWhoAsksForAVersion", room), func(t *testing.T) {
			d := laddered(t, room)
			d.mustSubmit("runs", "m", edge.Urgent, 11*ms)
			of := func(id string, within time.Duration) (*item, error) {
				it := &item{task: edge.Task{ID: id, Model: "large", Version: "1", Class: edge.Normal}, arrived: d.now, deadline: d.now + instant(within)}
				return it, d.core.submit(d.now, it)
			}
			_, err := of("tight", 45*ms)
			if refusal := assertRefused(t, err, edge.ReasonDeadlineUnreachable); refusal.Earliest < 50*ms {
				t.Errorf("would be accepted with %v, want what its own model takes", refusal.Earliest)
			}
			waits, err := of("waits", 70*ms)
			if err != nil {
				t.Fatal(err)
			}
			_, err = d.submit("task", "large", edge.Urgent, 56*ms)
			if waits.order().Model != "large" {
				t.Errorf("it is to be answered by %q (the next: %v)", waits.order().Model, err)
			}
			d.core.tick(d.now)
		})
		t.Run(fmt.Sprint("NobodyForARefusal", room), func(t *testing.T) {
			d := laddered(t, room)
			d.mustSubmit("runs", "m", edge.Urgent, 11*ms)
			waits := d.mustSubmit("waits", "large", edge.Urgent, 80*ms)
			before := fmt.Sprintf("%+v", d.core.snapshot(d.now))
			asked := &item{task: edge.Task{ID: "asked", Model: "large", Class: edge.Urgent}, deadline: d.now + instant(50*ms)}
			if err := d.core.explain(d.now, asked); err != nil || asked.order().Model != "middle" {
				t.Errorf("asking: %v, as %q", err, asked.order().Model)
			}
			_, err := d.submit("late", "large", edge.Normal, 12*ms)
			assertRefused(t, err, edge.ReasonDeadlineUnreachable)
			if waits.order().Model != "large" {
				t.Errorf("a refusal made it %q", waits.order().Model)
			}
			d.core.tally.submitted[edge.Normal]--
			d.core.tally.settled[edge.Normal][edge.Refused]--
			if after := fmt.Sprintf("%+v", d.core.snapshot(d.now)); after != before {
				t.Errorf("asking changed\n%s to\n%s", before, after)
			}
		})
	}
	t.Run("WhenItsOwnTimeIsShort", func(t *testing.T) {
		d := laddered(t, 0)
		d.duration = func(it *item) (time.Duration, error) {
			if it.task.ID == "runs" {
				return 60 * ms, nil
			}
			return it.size.figure.plan, nil
		}
		d.mustSubmit("runs", "m", edge.Urgent, 11*ms)
		it := d.mustSubmit("task", "large", edge.Normal, 75*ms)
		d.run()
		if assertOutcome(t, it, edge.Completed); it.order().Model != "small" {
			t.Errorf("it was answered by %q, want small: 15ms were left", it.order().Model)
		}
	})
	t.Run("OddLadders", func(t *testing.T) {
		twice := []edge.ModelCost{{Model: "a", Cost: 40 * ms}, {Model: "b", Cost: 20 * ms}, {Model: "a", Cost: 10 * ms}, {Model: "c", Cost: 5 * ms}}
		d := newDrive(t, 1, serving("c", 1, 5*ms), edge.Pool{Name: "p", Lanes: 1, Ladder: true, Models: twice})
		for range 2 {
			_, err := d.submit("x", "a", edge.Normal, 6*ms)
			assertRefused(t, err, edge.ReasonDeadlineUnreachable)
			if it := d.mustSubmit(fmt.Sprint(d.core.seq), "a", edge.Normal, 25*ms); it.order().Model != "b" {
				t.Errorf("it runs as %q, want b: c is of another pool", it.order().Model)
			}
			d.run()
			d.core.serve(d.now, []edge.Pool{serving("c", 1, 5*ms), {Name: "p", Lanes: 1, Ladder: true, Models: twice}})
		}
		d.core.serve(d.now, []edge.Pool{{Name: "p", Lanes: 1, Models: twice}})
		_, err := d.submit("x", "a", edge.Normal, 25*ms)
		assertRefused(t, err, edge.ReasonDeadlineUnreachable)
	})
	t.Run("NotInAnotherOrder", func(t *testing.T) {
		d := laddered(t, 0)
		d.core.obey(DeadlineFeasible, 0)
		d.core.serve(d.now, []edge.Pool{{Name: "vision", Lanes: 9, Ladder: true, Models: []edge.ModelCost{{Model: "large", Cost: 50 * ms}, {Model: "middle", Cost: 20 * ms}}}})
		_, err := d.submit("task", "large", edge.Normal, 45*ms)
		assertRefused(t, err, edge.ReasonDeadlineUnreachable)
	})
}

// TestCore_StepsDownBeforeGivingWay: in a random overload with variants many more are in time than without,
// and firm promises hold.
func TestCore_StepsDownBeforeGivingWay(t *testing.T) {
	for _, room := range []int{0, 16} {
		ended := map[bool]int{}
		for _, ladder := range []bool{false, true} {
			for seed := range uint64(50) {
				r := rand.New(rand.NewPCG(seed, 37))
				var models []edge.ModelCost
				for i, name := range []string{"pair", "narrow", "wide"} {
					models = append(models, edge.ModelCost{Model: name, Cost: time.Duration(23-i*9) * ms})
				}
				d := newSuspendingDrive(t, 1, room, edge.Pool{Name: "p", Lanes: 99, Models: models, Ladder: ladder})
				overload(d, r, func(id, model string, class edge.Class, within time.Duration) {
					_, _ = d.submit(id, model, class, within)
				})
				d.run()
				for _, it := range d.ended {
					switch it.settlement.Outcome {
					case edge.Failed: // as answers do that teach nothing
						ended[ladder]++
					case edge.Missed, edge.Evicted:
						if it.firm {
							t.Fatalf("seed %d: firm task %q: %v", seed, it.task.ID, it.settlement.Err)
						}
					}
				}
			}
		}
		if ended[true] < ended[false]*5/4 {
			t.Errorf("room %d: %d in time with variants and %d without, want a quarter more", room, ended[true], ended[false])
		}
	}
}
