package scheduler

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// errTeachesNothing ends a run without feeding the estimates.
var errTeachesNothing = errors.New("teaches nothing")

// happening is one event of a drive. At one instant answers come before anything
// else, and the rest in the order it was scheduled.
type happening struct {
	at    instant
	order int64
	do    func(now instant)
}

type happenings []happening

func (h happenings) Len() int      { return len(h) }
func (h happenings) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *happenings) Push(x any)   { *h = append(*h, x.(happening)) }
func (h *happenings) Pop() any     { old := *h; x := old[len(old)-1]; *h = old[:len(old)-1]; return x }
func (h happenings) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}

// drive runs a core through virtual time: it is the loop and the executor in one.
type drive struct {
	tb     testing.TB
	core   *core
	now    instant
	events happenings
	order  int64
	log    strings.Builder
	ended  []*item           // in order of settlement
	ends   map[*item]instant // when what runs ends
	left   map[*item]instant // what suspended ones have to run still
	fails  map[*item]error   // how started ones end
	tenant string            // of the tasks submitted

	// duration is how long a started task really runs, and how it ends.
	duration func(*item) (time.Duration, error)
	// remote is how long an attempt upstream takes, and how it ends.
	remote func(*item) (time.Duration, error)
	// after, when set, looks at the core after each event.
	after func()
}

// answersFirst is below every order the drive gives to other events.
const answersFirst = int64(-1) << 40

func newDrive(tb testing.TB, slots int, pools ...edge.Pool) *drive {
	tb.Helper()
	return newSuspendingDrive(tb, slots, 0, pools...)
}

// newSuspendingDrive is a drive whose executor can suspend so many tasks.
func newSuspendingDrive(tb testing.TB, slots, room int, pools ...edge.Pool) *drive {
	tb.Helper()
	d := &drive{
		tb: tb, core: newCore(time.Unix(0, 0), slots, [3]int{1 << 20, 1 << 20, 1 << 20}, 50*time.Millisecond),
		ends: map[*item]instant{}, left: map[*item]instant{}, fails: map[*item]error{},
	}
	d.core.obey(Planned, room)
	d.duration = func(it *item) (time.Duration, error) { return it.size.figure.plan, errTeachesNothing }
	d.core.serve(0, pools)
	return d
}

// at schedules an event.
func (d *drive) at(at time.Duration, do func(now instant)) {
	d.order++
	heap.Push(&d.events, happening{instant(at), d.order, do})
}

// run lets time pass until nothing is left to happen.
func (d *drive) run() {
	d.tb.Helper()
	for d.step() {
	}
}

func (d *drive) step() bool {
	switch {
	case len(d.events) == 0 && d.core.wake == forever:
		return false
	case len(d.events) == 0 || d.core.wake < d.events[0].at:
		d.now = max(d.now, d.core.wake)
		d.core.tick(d.now)
	default:
		next := heap.Pop(&d.events).(happening)
		d.now = next.at
		next.do(d.now)
	}
	d.act()
	return true
}

func (d *drive) act() {
	for _, decision := range d.core.out {
		d.write(decision)
		it := decision.item
		switch decision.kind {
		case settle:
			d.ended = append(d.ended, it)
		case start:
			run, err := d.duration(it)
			d.fails[it] = err
			d.goOn(it, instant(run))
		case suspend:
			d.left[it] = d.ends[it] - d.now
			delete(d.ends, it)
		case resume:
			d.goOn(it, d.left[it])
		case ask:
			d.travel(it)
		}
	}
	d.core.out = d.core.out[:0]
	if d.after != nil {
		d.after()
	}
}

// travel has the attempt return, at the deadline at the latest.
func (d *drive) travel(it *item) {
	took, err := d.remote(it)
	back := d.now + instant(took)
	if back > it.deadline {
		back, err = it.deadline, context.DeadlineExceeded
	}
	d.order++
	heap.Push(&d.events, happening{back, answersFirst + d.order, func(now instant) {
		d.core.returned(now, it, now, edge.Answer{Route: edge.AnsweredUpstream}, err)
	}})
}

// goOn has the item end after so long, unless it is suspended before.
func (d *drive) goOn(it *item, left instant) {
	ends := d.now + left
	d.ends[it] = ends
	d.order++
	heap.Push(&d.events, happening{ends, answersFirst + d.order, func(now instant) {
		if at, runs := d.ends[it]; !runs || at != ends || it.suspended {
			return // it was suspended in between
		}
		delete(d.ends, it)
		d.core.finish(now, it, now, edge.Answer{}, d.fails[it])
	}})
}

func (d *drive) write(decision decision) {
	it := decision.item
	fmt.Fprintf(&d.log, "%d %s ", d.now, it.task.ID)
	if name := [...]string{start: "start", suspend: "suspend", resume: "resume", ask: "ask"}; decision.kind != settle {
		d.log.WriteString(name[decision.kind] + "\n")
		return
	}
	fmt.Fprintf(&d.log, "%v: %v\n", it.settlement.Outcome, it.settlement.Err)
}

// submit asks for a task at this moment; within 0 means without a deadline.
func (d *drive) submit(id, model string, class edge.Class, within time.Duration) (*item, error) {
	it := &item{task: edge.Task{ID: id, Model: model, Class: class, Tenant: d.tenant}, arrived: d.now, deadline: forever}
	if within != 0 {
		it.deadline = d.now + instant(within)
		it.task.Deadline = d.core.epoch.Add(time.Duration(it.deadline))
	}
	err := d.core.submit(d.now, it)
	d.act()
	return it, err
}

// mustSubmit is submit for a task that has to be accepted.
func (d *drive) mustSubmit(id, model string, class edge.Class, within time.Duration) *item {
	d.tb.Helper()
	it, err := d.submit(id, model, class, within)
	if err != nil {
		d.tb.Fatalf("task %q was refused: %v", id, err)
	}
	return it
}

// govern puts rules in force at this moment.
func (d *drive) govern(rules Rules) {
	d.core.govern(d.now, rules.clone())
	d.act()
}

// count is how many tasks ended so.
func (d *drive) count(outcome edge.Outcome) int {
	n := 0
	for _, it := range d.ended {
		if it.settlement.Outcome == outcome {
			n++
		}
	}
	return n
}

// serving is one pool of so many lanes with one model of that name and cost.
func serving(model string, lanes int, cost time.Duration) edge.Pool {
	return edge.Pool{Name: "pool-" + model, Lanes: lanes, Models: []edge.ModelCost{{Model: model, Cost: cost}}}
}

// busy is a suspending drive at a random moment of a random overload.
func busy(t *testing.T, seed uint64) (*drive, *rand.Rand) {
	return busyWith(t, seed, 4)
}

// busyWith can suspend so many more than it has slots; below 0 none.
func busyWith(t *testing.T, seed uint64, beyond int) (*drive, *rand.Rand) {
	r := rand.New(rand.NewPCG(seed, 23))
	slots := 1 + r.IntN(4)
	room := slots + beyond
	if beyond < 0 {
		room = 0
	}
	d := newSuspendingDrive(t, slots, room, serving("short", 64, 5*ms), serving("middle", 64, 9*ms), serving("long", 64, 40*ms))
	d.duration = func(it *item) (time.Duration, error) {
		return time.Duration(float64(it.size.figure.plan) * (0.8 + 0.5*r.Float64())), errTeachesNothing
	}
	for i := range 15 + r.IntN(50) {
		_, _ = d.submit(fmt.Sprint("t", i), []string{"short", "middle", "long"}[r.IntN(3)], edge.Classes[r.IntN(3)], time.Duration(r.IntN(60))*5*ms)
		for range r.IntN(3) {
			if len(d.events) > 0 {
				d.step()
			}
		}
	}
	return d, r
}
