package sim_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"holdfast/scheduler/sim"
)

// flow is a schedule in whole units of work on a grid of time slots, made by
// augmenting paths: job → slot → end. Written without anything of the bound.
type flow struct {
	tasks    []sim.Task // times and work are whole numbers of nanoseconds
	cores    int
	parallel int     // how much of one job fits into one slot
	used     [][]int // by job and slot
	slot     []int   // by slot
}

func newFlow(tasks []sim.Task, cores, parallel, slots int) *flow {
	f := &flow{tasks: tasks, cores: cores, parallel: parallel, slot: make([]int, slots)}
	for range tasks {
		f.used = append(f.used, make([]int, slots))
	}
	return f
}

// add does one unit more of the job, if there is a way to.
func (f *flow) add(job int, seen []bool) bool {
	for s := range f.slot {
		if seen[s] || !f.open(job, s) {
			continue
		}
		seen[s] = true
		if f.slot[s] < f.cores {
			f.slot[s]++
			f.used[job][s]++
			return true
		}
		for other := range f.tasks {
			if other != job && f.used[other][s] > 0 && f.add(other, seen) {
				f.used[other][s]--
				f.used[job][s]++
				return true
			}
		}
	}
	return false
}

func (f *flow) open(job, s int) bool {
	t := f.tasks[job]
	return s >= int(t.Arrives) && s < int(t.Deadline) && f.used[job][s] < f.parallel
}

// most does as much of the job as can be.
func (f *flow) most(job int) int {
	done := 0
	for done < int(f.tasks[job].Work) && f.add(job, make([]bool, len(f.slot))) {
		done++
	}
	return done
}

// bruteFraction is the best sum of parts done, by trying the greedy algorithm in
// every order: the corners of a polymatroid are what these give, and one of them is best.
func bruteFraction(tasks []sim.Task, cores, parallel, slots int) float64 {
	best := 0.0
	permute(len(tasks), func(order []int) {
		f, sum := newFlow(tasks, cores, parallel, slots), 0.0
		for _, job := range order {
			sum += float64(f.most(job)) / float64(tasks[job].Work)
		}
		best = max(best, sum)
	})
	return best
}

// bruteWhole is the most jobs that can be done whole.
func bruteWhole(tasks []sim.Task, cores, slots int) int {
	best := 0
	for set := range 1 << len(tasks) {
		f, done := newFlow(tasks, cores, 1, slots), 0
		for job := range tasks {
			if set&(1<<job) == 0 {
				continue
			}
			if f.most(job) < int(tasks[job].Work) {
				done = -1
				break
			}
			done++
		}
		best = max(best, done)
	}
	return best
}

func permute(n int, f func([]int)) {
	order := make([]int, n)
	var fill func(int, int)
	fill = func(at, taken int) {
		if at == n {
			f(order)
			return
		}
		for i := range n {
			if taken&(1<<i) == 0 {
				order[at] = i
				fill(at+1, taken|1<<i)
			}
		}
	}
	fill(0, 0)
}

const slots = 14

func smallCase(r *rand.Rand) ([]sim.Task, int) {
	var tasks []sim.Task
	arrives := 0
	for range 1 + r.IntN(5) {
		arrives = min(arrives+r.IntN(4), slots-2)
		tasks = append(tasks, sim.Task{
			Arrives:  time.Duration(arrives),
			Deadline: time.Duration(arrives + 1 + r.IntN(slots-arrives-1)),
			Work:     time.Duration(1 + r.IntN(8)),
		})
	}
	return tasks, 1 + r.IntN(3)
}

func TestBound_IsTheBestByBruteForce(t *testing.T) {
	tight, looser := 0, 0
	for seed := range uint64(400) {
		tasks, cores := smallCase(rand.New(rand.NewPCG(seed, 17)))
		got, want := sim.Bound(tasks, cores), bruteFraction(tasks, cores, cores, slots)
		if math.Abs(got-want) > 1e-6 {
			t.Fatalf("seed %d: bound of %v on %d cores is %v, want %v", seed, tasks, cores, got, want)
		}
		if want < float64(len(tasks))-1e-6 {
			tight++
		}
		if want > bruteFraction(tasks, cores, 1, slots)+1e-6 {
			looser++
		}
	}
	if tight < 100 {
		t.Errorf("only in %d of 400 cases something had to give: the test does not test", tight)
	}
	t.Logf("something had to give in %d of 400 cases; in %d real cores could do less than one fast processor", tight, looser)
}

func TestBound_NobodyDoesBetter(t *testing.T) {
	for seed := range uint64(400) {
		tasks, cores := smallCase(rand.New(rand.NewPCG(seed, 19)))
		if got, best := sim.Bound(tasks, cores), bruteWhole(tasks, cores, slots); got < float64(best)-1e-6 {
			t.Fatalf("seed %d: bound of %v on %d cores is %v, and %d can be done", seed, tasks, cores, got, best)
		}
	}
}

func TestBound_OfWhatAllPoliciesDo(t *testing.T) {
	for seed := range uint64(3) {
		tasks := servers(t, seed, sim.DefaultBursts(), 1.2, 2)
		bound := sim.Bound(tasks, 2)
		for _, p := range sim.Policies() {
			if got := onTime(t, p, tasks, 2); float64(got) > bound {
				t.Errorf("seed %d: %s kept %d, above the bound of %v", seed, p.Name, got, bound)
			}
		}
		if bound >= float64(len(tasks)) {
			t.Errorf("seed %d: the bound is all %d tasks: this was no overload", seed, len(tasks))
		}
	}
}

func BenchmarkBound(b *testing.B) {
	tasks := servers(b, 1, sim.DefaultBursts(), 1.2, 2)
	for b.Loop() {
		sim.Bound(tasks, 2)
	}
	b.ReportMetric(float64(len(tasks)), "tasks")
}
