package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"holdfast/edge"
)

// crowded is a drive at a random moment of a random overload: slots and scarce
// lanes taken, tasks of all classes waiting, some of them late already.
func crowded(tb testing.TB, seed uint64) (*drive, *rand.Rand) {
	tb.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	slots := 1 + r.IntN(4)
	d := newDrive(tb, slots,
		serving("wide", slots+r.IntN(2), 5*time.Millisecond),
		serving("narrow", 1, 9*time.Millisecond),
		serving("pair", 2, 23*time.Millisecond),
		serving("down", 1, 4*time.Millisecond))
	wrong := r.IntN(3) == 0 // runs take longer than estimated, which makes accepted tasks late
	d.duration = func(it *item) (time.Duration, error) {
		if wrong {
			return it.size.figure.plan * time.Duration(1+r.IntN(3)), errTeachesNothing
		}
		return it.size.figure.plan, errTeachesNothing
	}
	for i := range 2 + r.IntN(25) {
		randomSubmit(d, r, fmt.Sprint("t", i))
		for range r.IntN(3) {
			if len(d.events) > 0 {
				d.step()
			}
		}
	}
	if r.IntN(2) == 0 {
		d.core.serve(d.now, []edge.Pool{
			serving("wide", slots, 5*time.Millisecond), serving("narrow", 1, 9*time.Millisecond),
			serving("pair", 1, 23*time.Millisecond), serving("down", 0, 4*time.Millisecond),
		})
		d.act()
	}
	return d, r
}

func randomSubmit(d *drive, r *rand.Rand, id string) (*item, error) {
	models := []string{"wide", "narrow", "pair", "down"}
	within := time.Duration(r.IntN(40)) * 5 * time.Millisecond // 0: none
	return d.submit(id, models[r.IntN(len(models))], edge.Classes[r.IntN(3)], within)
}

// candidate is a newcomer for a crowded drive, as judge would prepare it.
func candidate(d *drive, r *rand.Rand) entry {
	models := []string{"wide", "narrow", "pair"}
	m := d.core.models[models[r.IntN(len(models))]]
	it := &item{
		task: edge.Task{ID: "newcomer", Model: m.name, Class: edge.Classes[r.IntN(3)]}, model: m, size: m.sized(0),
		seq: d.core.seq + 1, arrived: d.now, deadline: d.now + instant(r.IntN(120))*instant(time.Millisecond),
	}
	it.firm = d.core.firm[it.task.Class]
	return it.entry()
}

func TestPlan_PlacesAsDispatcherWill(t *testing.T) {
	scarce := 0
	for seed := range uint64(1000) {
		d, _ := crowded(t, seed)
		want := oracleOf(d.core, d.now, nil).ends()
		d.core.plan.base.begin(d.now, d.core.runners)
		for i, e := range d.core.queue.entries() {
			got := d.core.plan.placeBase(i)
			if got != want[e.item] {
				t.Fatalf("seed %d: %s is planned to end at %d, want %d", seed, e.item.task.ID, got, want[e.item])
			}
			if e.size.pool.segment > 0 {
				scarce++
			}
		}
	}
	if scarce == 0 {
		t.Fatal("no task ever waited for a scarce lane: the test does not test")
	}
}

func TestPlan_AdmitsExactlyWhatIsFeasible(t *testing.T) {
	verdicts := map[bool]int{}
	for seed := range uint64(1000) {
		d, r := crowded(t, seed)
		for range 5 {
			e := candidate(d, r)
			got, want := d.core.plan.admits(d.now, &e), feasible(d.core, d.now, &e)
			if got != want {
				t.Fatalf("seed %d: admits %v a task of %q with %d left, want %v", seed, got, e.item.task.Model, e.deadline-d.now, want)
			}
			verdicts[got]++
		}
	}
	if verdicts[true] < 500 || verdicts[false] < 500 {
		t.Fatalf("verdicts are one-sided: %v", verdicts)
	}
}

func TestPlan_EarliestIsFirstThatIsAdmitted(t *testing.T) {
	for seed := range uint64(500) {
		d, r := crowded(t, seed)
		e := candidate(d, r)
		e.deadline = d.core.plan.earliest(d.now, &e)
		e.item.deadline = e.deadline
		if !d.core.plan.admits(d.now, &e) {
			t.Fatalf("seed %d: the deadline offered is not accepted", seed)
		}
		if !feasible(d.core, d.now, &e) {
			t.Fatalf("seed %d: the deadline offered is accepted and not feasible", seed)
		}
		assertNoneShorter(t, seed, d, e)
	}
}

// assertNoneShorter tries every shorter deadline that could matter: just below the
// one offered, those of other tasks, and every half millisecond, as all costs are
// whole ones.
func assertNoneShorter(t *testing.T, seed uint64, d *drive, e entry) {
	t.Helper()
	offered := e.deadline
	shorter := []instant{offered - 1}
	for _, other := range d.core.queue.entries() {
		shorter = append(shorter, other.deadline, other.deadline+1)
	}
	for at := d.now; at < offered; at += instant(time.Millisecond / 2) {
		shorter = append(shorter, at)
	}
	for _, deadline := range shorter {
		if deadline >= offered {
			continue
		}
		e.deadline, e.item.deadline = deadline, deadline
		if feasible(d.core, d.now, &e) {
			t.Fatalf("seed %d: offered %d, and %d is feasible", seed, offered-d.now, deadline-d.now)
		}
	}
}

func TestPlan_EarliestWithoutBudget(t *testing.T) {
	// Past its budget the search may overlook a shorter deadline, seldom and only
	// with several slots. What it offers is accepted all the same.
	exact, all := 0, 0
	for seed := range uint64(500) {
		d, r := crowded(t, seed)
		e := candidate(d, r)
		best := d.core.plan.earliest(d.now, &e)
		d.core.plan.searchSteps = -1
		e.deadline = d.core.plan.earliest(d.now, &e)
		if !d.core.plan.admits(d.now, &e) {
			t.Fatalf("seed %d: the deadline offered is not accepted", seed)
		}
		if d.core.slots == 1 && e.deadline != best {
			t.Fatalf("seed %d: with one slot the short search offers %d, want %d", seed, e.deadline, best)
		}
		all++
		if e.deadline == best {
			exact++
		}
	}
	if exact < all*95/100 {
		t.Errorf("the short search was exact in %d of %d cases, want 95 %%", exact, all)
	}
	t.Logf("the short search was exact in %d of %d cases", exact, all)
}
