package scheduler

import (
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

func TestParseOrder(t *testing.T) {
	for _, order := range Orders {
		if got, err := ParseOrder(order.String()); err != nil || got != order {
			t.Errorf("%q is read as %v, %v", order, got, err)
		}
		if order.Says() == "" {
			t.Errorf("%v says nothing", order)
		}
	}
	_, err := ParseOrder("fastest")
	if !errors.Is(err, edge.ErrInvalid) || !strings.Contains(err.Error(), "plan, fifo, priority, edf, edf-late, edf-hopeless, edf-refuse, latest-start") {
		t.Errorf("error is %v, want ErrInvalid with the names there are", err)
	}
	if got := Order(99); got.String() != "order(99)" || got.Says() != "order(99)" {
		t.Errorf("an order there is not calls itself %v, %s", got, got.Says())
	}
}

// TestCore_Obeys has four tasks of 50 ms wait behind one that takes as long, on a node that could suspend.
func TestCore_Obeys(t *testing.T) {
	for order, want := range map[Order]string{
		Planned:          "runs tight urgent relaxed",
		ByArrival:        "runs batch tight relaxed urgent",
		ByPriority:       "runs urgent tight relaxed",
		ByDeadline:       "runs tight batch urgent relaxed",
		DeadlineTimed:    "runs tight batch urgent relaxed",
		DeadlineHopeful:  "runs tight batch relaxed",
		DeadlineFeasible: "runs tight batch relaxed",
		ByLatestStart:    "runs tight batch relaxed",
	} {
		t.Run(order.String(), func(t *testing.T) {
			d := newSuspendingDrive(t, 1, 4, serving("m", 9, 50*ms))
			d.core.obey(order, 4)
			d.duration = func(*item) (time.Duration, error) { return 50 * ms, errTeachesNothing }
			for _, task := range []struct {
				id     string
				class  edge.Class
				within time.Duration
			}{{"runs", edge.Normal, 60 * ms}, {"batch", edge.Batch, 155 * ms}, {"tight", edge.Normal, 140 * ms}, {"relaxed", edge.Normal, 900 * ms}, {"urgent", edge.Urgent, 160 * ms}} {
				_, _ = d.submit(task.id, "m", task.class, task.within)
			}
			d.run()
			if got := starts(d); got != want {
				t.Errorf("started %q, want %q:\n%s", got, want, &d.log)
			}
			if order != Planned && strings.Contains(d.log.String(), "gave way") {
				t.Errorf("a task gave way:\n%s", &d.log)
			}
		})
	}
}

func TestCore_GivesUpAtTheDeadlineWhereTheOrderSays(t *testing.T) {
	d := newDrive(t, 1, serving("m", 9, 50*ms))
	d.core.obey(ByPriority, 0)
	d.duration = func(*item) (time.Duration, error) { return 500 * ms, errTeachesNothing }
	d.mustSubmit("runs", "m", edge.Normal, time.Second)
	it := d.mustSubmit("waits", "m", edge.Urgent, 100*ms)
	d.run()
	assertOutcome(t, it, edge.Missed)
	if at := it.settlement.At.Sub(d.core.epoch); at > 100*ms+1 || it.settlement.Queue != at || it.settlement.Compute != 0 {
		t.Errorf("told at %v after %v in the queue, want 100ms", at, it.settlement.Queue)
	}
}

func TestCore_KeepsItsBooksInAnyOrder(t *testing.T) {
	for _, order := range Orders {
		ended := map[edge.Outcome]int{}
		for seed := range uint64(40) {
			for _, it := range settledChaos(t, seed, order).ended {
				ended[it.settlement.Outcome]++
			}
		}
		if ended[edge.Completed] == 0 || ended[edge.Missed] == 0 || ended[edge.Refused] == 0 {
			t.Errorf("%v: ended as %v: the test does not test", order, ended)
		}
	}
}
