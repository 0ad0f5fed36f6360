//go:build !race

package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"holdfast/edge"
)

// TestCore_BadInputWhileSuspending: what is wrong about the input breaks no book, and everybody is told by its
// deadline at the latest.
func TestCore_BadInputWhileSuspending(t *testing.T) {
	newDrive := func(t *testing.T, pools ...edge.Pool) *drive {
		d := newSuspendingDrive(t, 2, 6, pools...)
		d.after = func() {
			if err := conserved(d.core, len(d.ended)); err != nil {
				t.Fatal(err)
			}
		}
		return d
	}
	told := func(t *testing.T, d *drive, submitted int) {
		t.Helper()
		if len(d.ended) != submitted || len(d.core.open) > 0 {
			t.Errorf("%d of %d have ended, %d are open", len(d.ended), submitted, len(d.core.open))
		}
		for _, it := range d.ended {
			if at := instant(it.settlement.At.Sub(d.core.epoch)); it.deadline != forever && at > it.deadline+1 {
				t.Fatalf("task %q is told %v after its deadline", it.task.ID, time.Duration(at-it.deadline))
			}
		}
	}
	for _, wrong := range []float64{0.1, 10} {
		t.Run(fmt.Sprintf("EstimatesWrong%vTimes", wrong), func(t *testing.T) {
			r := rand.New(rand.NewPCG(5, 6))
			d := newDrive(t, serving("m", 99, 20*ms))
			d.duration = func(*item) (time.Duration, error) {
				return time.Duration(wrong * (18 + 4*r.Float64()) * float64(ms)), nil
			}
			for i := range 1000 {
				d.at(time.Duration(float64(i)*wrong*8*float64(ms)), func(instant) {
					_, _ = d.submit(fmt.Sprint(i), "m", edge.Classes[i%3], 400*ms)
				})
			}
			d.run()
			told(t, d, 1000)
			if got := d.count(edge.Completed); got < 600 {
				t.Errorf("%d of about 800 possible were answered in time", got)
			}
		})
	}
	t.Run("ThousandsWithOneDeadline", func(t *testing.T) {
		d := newDrive(t, serving("m", 9999, ms))
		d.duration = func(*item) (time.Duration, error) { return ms, nil }
		d.after = nil
		for i := range 3000 {
			_, _ = d.submit(fmt.Sprint(i), "m", edge.Classes[i%3], 500*ms)
		}
		d.run()
		told(t, d, 3000)
		if got := d.count(edge.Completed); got < 990 || got > 1000 {
			t.Errorf("%d of 3000 were on time, want the 1000 that fit", got)
		}
	})
	t.Run("ThoseThatNeverEnd", func(t *testing.T) {
		d := newDrive(t, serving("stuck", 99, 10*ms), serving("m", 99, 10*ms))
		d.duration = func(it *item) (time.Duration, error) {
			if it.task.Model == "stuck" {
				return 24 * time.Hour, errTeachesNothing
			}
			return 10 * ms, errTeachesNothing
		}
		for i := range 3 {
			d.at(time.Duration(i)*50*ms, func(instant) { _, _ = d.submit(fmt.Sprint("stuck", i), "stuck", edge.Batch, time.Second) })
		}
		for i := range 100 {
			d.at(time.Duration(i)*40*ms, func(instant) { _, _ = d.submit(fmt.Sprint(i), "m", edge.Urgent, 100*ms) })
		}
		for d.now < instant(time.Minute) && d.step() {
		}
		if got := d.count(edge.Failed); got < 95 {
			t.Errorf("%d of 100 were answered beside three that never end", got)
		}
		d.run()
		told(t, d, 103)
	})
	t.Run("DeadlinesShorterThanAnyEstimate", func(t *testing.T) {
		d := newDrive(t, serving("m", 99, 10*ms))
		for i := range 200 {
			_, err := d.submit(fmt.Sprint(i), "m", edge.Classes[i%3], time.Duration(i+1)*40*time.Microsecond)
			if refusal := assertRefused(t, err, edge.ReasonDeadlineUnreachable); refusal.Earliest != 10*ms || refusal.RetryAfter != 0 {
				t.Fatalf("told %+v, want 10ms, and that waiting does not help", refusal)
			}
		}
		d.run()
		told(t, d, 200)
	})
	t.Run("NobodyStarvesUntold", func(t *testing.T) {
		d := newDrive(t, serving("long", 99, 300*ms), serving("m", 99, 10*ms))
		d.duration = func(it *item) (time.Duration, error) { return it.size.figure.plan, errTeachesNothing }
		for i := range 40 {
			d.at(time.Duration(i)*100*ms, func(instant) { _, _ = d.submit(fmt.Sprint("batch", i), "long", edge.Batch, 3*time.Second) })
		}
		for i := range 2000 { // asks for twice the node, for as long
			d.at(time.Duration(i)*2500*time.Microsecond, func(instant) { _, _ = d.submit(fmt.Sprint(i), "m", edge.Urgent, 50*ms) })
		}
		d.run()
		told(t, d, 2040)
	})
}
