package scheduler

import (
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
		}
		d := laddered(t, room)
		d.mustSubmit("runs", "m", edge.Urgent, 11*ms)
		_, err := d.submit("task", "large", edge.Normal, 12*ms)
		assertRefused(t, err, edge.ReasonDeadlineUnreachable)
	}
	t.Run("BeforeOthersGiveWay", func(t *testing.T) {
		d := laddered(t, 0)
		d.mustSubmit("runs", "m", edge.Urgent, 11*ms)
		waits := d.mustSubmit("waits", "large", edge.Batch, 90*ms)
		it := d.mustSubmit("task", "large", edge.Normal, 85*ms)
		if it.order().Model != "middle" || waits.phase != waiting {
			t.Errorf("it runs as %q, and the batch task is there: %v; want %q and true", it.order().Model, waits.phase == waiting, "middle")
		}
	})
}
