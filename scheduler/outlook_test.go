//go:build !race

package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// keptByHand is the outlook's rule written plainly, for pools with lanes enough: which of
// what waits and runs is kept, and whether the newcomer is.
func keptByHand(c *core, now instant, newcomer *item) (out map[*item]bool, ok bool) {
	type job struct {
		entry
		work time.Duration
	}
	var jobs []job
	for _, e := range c.queue.entries() {
		jobs = append(jobs, job{e, e.cost()})
	}
	for _, it := range slices.Concat(c.runners, c.parked) {
		e := it.remainder(now)
		if it == c.pressedGhost(now) {
			e.deadline = it.deadline
		}
		jobs = append(jobs, job{e, e.left})
	}
	e := newcomer.entry()
	jobs = append(jobs, job{e, e.cost()})
	slices.SortFunc(jobs, func(a, b job) int { return compare(a.before(&b.entry)) })
	out = map[*item]bool{}
	slots := time.Duration(c.slots)
	for i, j := range jobs {
		left := time.Duration(j.deadline - now)
		if j.deadline == forever {
			continue
		}
		if j.work > left && !j.ghost {
			out[j.item] = true
			if j.item == newcomer {
				return nil, false
			}
			continue
		}
		gone := []*item{}
		for !j.ghost {
			var sum time.Duration
			for _, before := range jobs[:i] {
				if !out[before.item] {
					sum += before.work
				}
			}
			if sum+slots*j.work <= slots*left {
				break
			}
			candidates := slices.DeleteFunc(slices.Clone(jobs[:i+1]), func(k job) bool {
				return out[k.item] || k.firm && k.item != newcomer
			})
			if len(candidates) == 0 { // then everybody stays
				for _, it := range gone {
					delete(out, it)
				}
				break
			}
			first := slices.MinFunc(candidates, func(a, b job) int { return compare(a.worse(&b.entry, c.busyness.lends(c.slots))) })
			if first.item == newcomer {
				return nil, false
			}
			out[first.item] = true
			if first.item == j.item { // then the others may stay
				for _, it := range gone {
					delete(out, it)
				}
				break
			}
			gone = append(gone, first.item)
		}
	}
	return out, true
}

func TestOutlook_KeepsWhatTheRuleSays(t *testing.T) {
	verdicts, left := map[bool]int{}, 0
	for seed := range uint64(1000) {
		d, r := busy(t, seed)
		for range 5 {
			m := d.core.models[[]string{"short", "middle", "long"}[r.IntN(3)]]
			it := &item{
				task: edge.Task{ID: "newcomer", Class: edge.Classes[r.IntN(3)]}, model: m, size: m.sized(0),
				seq: d.core.seq + 1, deadline: d.now + instant(1+r.IntN(200))*instant(ms),
			}
			it.firm = d.core.firm[it.task.Class]
			want, ok := keptByHand(d.core, d.now, it)
			if got := d.core.outlook.walk(d.now, it); got != ok {
				t.Fatalf("seed %d: lets the newcomer in: %v, want %v", seed, got, ok)
			}
			verdicts[ok]++
			if !ok {
				continue
			}
			for _, e := range slices.Concat(d.core.queue.entries(), d.core.outlook.others) {
				if e.out != want[e.item] {
					t.Fatalf("seed %d: %q of class %v is left out: %v, want %v", seed, e.item.task.ID, e.class, e.out, want[e.item])
				}
				if e.out {
					left++
				}
			}
		}
	}
	if verdicts[true] < 500 || verdicts[false] < 500 || left < 500 {
		t.Fatalf("verdicts %v, %d left out: the test does not test", verdicts, left)
	}
}

func TestOutlook_FirmTasksAreKept(t *testing.T) {
	suspensions, gaveWay, seeds := 0, 0, uint64(100)
	if testing.Short() {
		seeds = 20
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 31))
		slots := 1 + r.IntN(4)
		d := newSuspendingDrive(t, slots, 64, serving("wide", 99, 5*ms), serving("narrow", 99, 9*ms), serving("pair", 99, 23*ms))
		overload(d, r, func(id, model string, class edge.Class, within time.Duration) {
			_, _ = d.submit(id, model, class, within)
		})
		d.run()
		for _, it := range d.ended {
			bad := it.settlement.Outcome == edge.Missed || it.settlement.Outcome == edge.Evicted
			if bad && it.firm {
				t.Fatalf("seed %d: firm task %q: %v", seed, it.task.ID, it.settlement.Err)
			}
			if bad {
				gaveWay++
			}
		}
		suspensions += strings.Count(d.log.String(), " suspend\n")
	}
	if suspensions == 0 || gaveWay == 0 {
		t.Fatalf("%d suspensions, %d gave way: the test does not test", suspensions, gaveWay)
	}
}

func TestOutlook_EarliestIsAccepted(t *testing.T) {
	offered := 0
	for seed := range uint64(1500) {
		d, r := busy(t, seed)
		it, err := d.submit("newcomer", "middle", edge.Classes[r.IntN(3)], 10*ms+time.Duration(r.IntN(10))*ms)
		refusal, refused := edge.AsRefusal(err)
		if !refused || refusal.Earliest == 0 {
			continue
		}
		offered++
		if _, err := d.submit("again", "middle", it.task.Class, refusal.Earliest); err != nil {
			t.Fatalf("seed %d: the deadline offered, %v, is refused: %v", seed, refusal.Earliest, err)
		}
	}
	if offered < 50 {
		t.Fatalf("%d offers: the test does not test", offered)
	}
}

func TestCore_Suspend(t *testing.T) {
	exact := func(it *item) (time.Duration, error) { return it.size.figure.plan, nil }
	t.Run("AtOnceForThePressing", func(t *testing.T) {
		d := newSuspendingDrive(t, 1, 2, serving("long", 1, time.Second), serving("short", 1, 10*ms))
		d.duration = exact
		long := d.mustSubmit("long", "long", edge.Batch, 10*time.Second)
		var short *item
		d.at(100*ms, func(instant) { short = d.mustSubmit("short", "short", edge.Urgent, 20*ms) })
		d.run()
		assertOutcome(t, short, edge.Completed)
		assertOutcome(t, long, edge.Completed)
		if at := long.settlement.At.Sub(d.core.epoch); short.started != instant(100*ms) || at != 1010*ms {
			t.Errorf("short started at %v and long ended at %v, want 100ms and 1.01s", time.Duration(short.started), at)
		}
	})
	t.Run("NotBeforeItIsNeeded", func(t *testing.T) {
		d := newSuspendingDrive(t, 1, 2, serving("long", 1, 300*ms), serving("short", 1, 10*ms))
		d.duration = exact
		d.mustSubmit("long", "long", edge.Batch, 10*time.Second)
		patient := d.mustSubmit("patient", "short", edge.Normal, time.Second)
		d.run()
		if strings.Contains(d.log.String(), "suspend") || patient.started != instant(300*ms) {
			t.Errorf("started at %v, want 300ms and no suspension:\n%s", time.Duration(patient.started), &d.log)
		}
	})
	t.Run("WhenWaitingLongerWouldBreakThePlan", func(t *testing.T) {
		d := newSuspendingDrive(t, 1, 2, serving("long", 1, time.Second), serving("short", 1, 10*ms))
		d.duration = exact
		d.mustSubmit("long", "long", edge.Batch, 10*time.Second)
		it := d.mustSubmit("waits", "short", edge.Normal, 500*ms)
		d.run()
		if at := time.Duration(it.started); at < 385*ms || at > 395*ms {
			t.Errorf("started at %v, want 390ms, with 100ms of slack left", at)
		}
		assertOutcome(t, it, edge.Completed)
	})
	t.Run("NoMoreThanThereIsRoomFor", func(t *testing.T) {
		d := newSuspendingDrive(t, 1, 1, serving("long", 2, time.Second), serving("short", 1, 10*ms))
		d.duration = exact
		d.mustSubmit("first", "long", edge.Batch, time.Minute)
		d.at(ms, func(instant) { d.mustSubmit("second", "long", edge.Batch, 1500*ms) })
		d.at(2*ms, func(instant) { d.mustSubmit("third", "short", edge.Urgent, 50*ms) })
		d.after = func() {
			if len(d.core.parked) > 1 {
				t.Errorf("%d are suspended", len(d.core.parked))
			}
		}
		d.run()
	})
	t.Run("WhoHoldsTheLaneGoesFirst", func(t *testing.T) {
		d := newSuspendingDrive(t, 1, 2, serving("one", 1, 50*ms), serving("other", 1, 50*ms))
		d.duration = exact
		d.mustSubmit("batch", "one", edge.Batch, 10*time.Second)
		d.at(ms, func(instant) { d.mustSubmit("in-between", "other", edge.Urgent, 60*ms) })
		var same *item
		d.at(2*ms, func(instant) { same = d.mustSubmit("same", "one", edge.Urgent, 200*ms) })
		d.run()
		assertOutcome(t, same, edge.Completed)
		if got, want := starts(d), "batch in-between same"; got != want {
			t.Errorf("started %s, want %s", got, want)
		}
	})
	t.Run("GhostsComeToTheirEnd", func(t *testing.T) {
		d := newSuspendingDrive(t, 1, 2, serving("long", 1, 100*ms), serving("short", 1, 10*ms))
		d.duration = exact
		d.mustSubmit("long", "long", edge.Batch, 0)
		d.at(10*ms, func(instant) { d.mustSubmit("short", "short", edge.Urgent, 50*ms) })
		d.at(12*ms, func(now instant) { d.core.cancel(now, d.core.open["long"]) })
		d.run()
		if !d.core.idle() {
			t.Error("a suspended task whose caller has gone never ends")
		}
	})
}

// TestCore_Stays is what cannot be suspended: what it takes of the slots is promised to nobody.
func TestCore_Stays(t *testing.T) {
	fixed := edge.Pool{Name: "fixed", Lanes: 9, Fixed: true, Models: []edge.ModelCost{{Model: "fixed", Cost: time.Second}}}
	under := func(t *testing.T, slots int) *drive {
		d := newSuspendingDrive(t, slots, 2, fixed, serving("long", 9, time.Second), serving("short", 9, 10*ms))
		d.duration = func(it *item) (time.Duration, error) { return it.size.figure.plan, nil }
		d.after = func() {
			for _, it := range d.core.parked {
				if it.pool.fixed {
					t.Errorf("%q is suspended", it.task.ID)
				}
			}
		}
		return d
	}
	t.Run("HoldsTheOnlySlot", func(t *testing.T) {
		d := under(t, 1)
		d.mustSubmit("runs", "fixed", edge.Batch, time.Minute)
		_, err := d.submit("urgent", "short", edge.Urgent, 50*ms)
		refusal := assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		if refusal.Earliest < 1010*ms || refusal.Earliest > 1020*ms {
			t.Errorf("would be accepted with %v, want 1.01s", refusal.Earliest)
		}
		waits := d.mustSubmit("waits", "short", edge.Urgent, refusal.Earliest)
		d.run()
		assertOutcome(t, waits, edge.Completed)
	})
	t.Run("LeavesTheOthers", func(t *testing.T) {
		d := under(t, 2)
		d.mustSubmit("runs", "fixed", edge.Batch, time.Minute)
		d.mustSubmit("gives way", "long", edge.Batch, time.Minute)
		d.at(ms, func(instant) {
			for i := range 4 {
				d.mustSubmit(fmt.Sprint("urgent-", i), "short", edge.Urgent, 45*ms)
			}
			_, err := d.submit("too many", "short", edge.Urgent, 45*ms)
			assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		})
		d.run()
		for _, it := range d.ended {
			if it.settlement.Outcome != edge.Refused {
				assertOutcome(t, it, edge.Completed)
			}
		}
	})
	t.Run("CountsItsRest", func(t *testing.T) {
		d := under(t, 1)
		d.mustSubmit("runs", "fixed", edge.Batch, time.Minute)
		var late *item
		d.at(970*ms, func(instant) {
			_, err := d.submit("soon", "short", edge.Urgent, 35*ms)
			assertRefused(t, err, edge.ReasonDeadlineUnreachable)
			late = d.mustSubmit("late", "short", edge.Urgent, 45*ms)
		})
		d.run()
		assertOutcome(t, late, edge.Completed)
	})
	t.Run("SinceItWasServedSo", func(t *testing.T) {
		d := under(t, 1)
		d.mustSubmit("runs", "long", edge.Batch, time.Minute)
		d.mustSubmit("first", "short", edge.Urgent, 50*ms)
		pool := serving("long", 9, time.Second)
		pool.Fixed = true
		d.core.serve(d.now, []edge.Pool{pool, serving("short", 9, 10*ms)})
		d.run()
		for _, it := range d.ended {
			assertOutcome(t, it, edge.Completed)
		}
	})
}

func TestCore_GiveWay(t *testing.T) {
	t.Run("TheLongestOfTheLeastClass", func(t *testing.T) {
		for _, room := range []int{0, 4} {
			d := newSuspendingDrive(t, 1, room, serving("m", 9, 10*ms), serving("n", 9, 20*ms), serving("long", 9, 40*ms))
			d.mustSubmit("runs", "m", edge.Urgent, 12*ms)
			d.mustSubmit("normal", "n", edge.Normal, 100*ms)
			longest := d.mustSubmit("batch", "long", edge.Batch, 55*ms)
			d.mustSubmit("urgent", "m", edge.Urgent, 30*ms)
			assertOutcome(t, longest, edge.Evicted)
			if refusal := assertRefused(t, longest.settlement.Err, edge.ReasonDeadlineUnreachable); !strings.Contains(refusal.Detail, "gave way") {
				t.Errorf("told %q, want that it gave way", refusal.Detail)
			}
		}
	})
	t.Run("NobodyWhereThatDoesNotHelp", func(t *testing.T) {
		d := newDrive(t, 2, serving("m", 1, 10*ms), serving("n", 1, 30*ms))
		d.mustSubmit("runs", "m", edge.Urgent, 100*ms)
		d.mustSubmit("running", "n", edge.Batch, 100*ms)
		waits := d.mustSubmit("waits", "n", edge.Batch, 100*ms)
		d.mustSubmit("next", "m", edge.Urgent, 20*ms)
		_, err := d.submit("late", "m", edge.Urgent, 25*ms)
		assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		if waits.phase != waiting {
			t.Error("a task gave way though that freed nothing for the newcomer")
		}
	})
	t.Run("NotForItsEqual", func(t *testing.T) {
		d := newDrive(t, 1, serving("m", 1, 10*ms))
		d.mustSubmit("runs", "m", edge.Normal, 100*ms)
		waits := d.mustSubmit("waits", "m", edge.Normal, 25*ms)
		_, err := d.submit("same", "m", edge.Normal, 24*ms)
		assertRefused(t, err, edge.ReasonDeadlineUnreachable)
		if waits.phase != waiting {
			t.Error("a task gave way for one just like it")
		}
	})
}

// BenchmarkReplan makes the whole plan anew, with suspension, for so many waiting tasks.
func BenchmarkReplan(b *testing.B) {
	for _, n := range []int{128, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCore(time.Now(), 2, [3]int{n + 2, n + 2, n + 2}, 50*time.Millisecond)
			c.room = 6
			c.serve(0, []edge.Pool{serving("digits", 8, time.Millisecond), serving("surface", 8, 2*time.Millisecond)})
			for i := range n + 2 {
				it := &item{
					task:     edge.Task{ID: fmt.Sprint(i), Model: []string{"digits", "surface"}[i%2], Class: edge.Classes[i%3]},
					deadline: instant(time.Duration(i+10) * 3 * time.Millisecond),
				}
				if err := c.submit(0, it); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				c.outlook.walk(0, nil)
			}
		})
	}
}

func TestOutlook_AllocatesNothing(t *testing.T) {
	d, _ := busy(t, 3)
	c := d.core
	if got := testing.AllocsPerRun(100, func() { c.settleDown(d.now) }); got > 0 {
		t.Errorf("planning anew allocates %v times", got)
	}
}
