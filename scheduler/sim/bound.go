package sim

import (
	"cmp"
	"slices"
	"time"
)

// Bound is how many of the tasks could be on time at most: what somebody could keep
// who knows everything in advance, suspends at no cost, counts a task done in part for
// that part, and has one processor of cores times the speed. Real cores can only do
// worse, as no task runs on two of them at once.
//
// It is exact for this problem. The work w that can be done of each task by its
// deadline forms a polymatroid, as the flows through a network do: w is possible when
// for all a < b what must be done within [a, b] is at most cores × (b − a). The aim,
// sum of w ÷ work, is linear, so the greedy algorithm finds the best: take tasks in one
// by one and, where that is too much, take out of the tight set what is worth least,
// which is the longest. Taken in by deadline, the sets that can be too much are those of all tasks
// that arrive at or after some instant, one within another.
func Bound(tasks []Task, cores int) float64 {
	b := newBound(tasks, float64(cores))
	order := make([]int, len(tasks))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(tasks[i].Deadline, tasks[j].Deadline) })
	for _, i := range order {
		b.take(i)
	}
	var sum float64
	for i := range tasks {
		sum += b.done[i] / float64(tasks[i].Work)
	}
	return sum
}

// tight is below every amount of work that counts: a picosecond for each second.
const tight = 1e-12

// bound is the greedy algorithm under way. Tasks are in the order of their arrival.
type bound struct {
	tasks []Task
	cores float64
	done  []float64 // ns of work kept of each
	// level is, for each arrival a, the work kept of tasks from a on, + cores × a. It is
	// too much for a deadline d where it exceeds cores × d.
	level levels
	// longest finds, among the tasks from an arrival on, the longest of which something is kept.
	longest maxima
}

func newBound(tasks []Task, cores float64) *bound {
	b := &bound{tasks: tasks, cores: cores, done: make([]float64, len(tasks))}
	start := make([]float64, len(tasks))
	for i, t := range tasks {
		start[i] = cores * float64(t.Arrives)
	}
	b.level, b.longest = newLevels(start), newMaxima(len(tasks))
	return b
}

func (b *bound) take(i int) {
	t := b.tasks[i]
	if t.Work <= 0 || t.Deadline <= t.Arrives {
		return
	}
	b.keep(i, float64(t.Work))
	limit := b.cores * float64(t.Deadline)
	margin := tight * max(limit, float64(time.Second))
	for {
		a, level := b.level.lastAbove(i, limit+margin)
		if a < 0 {
			return
		}
		longest := b.longest.from(a)
		b.keep(longest, -min(level-limit, b.done[longest]))
	}
}

// keep changes how much is kept of a task.
func (b *bound) keep(i int, work float64) {
	b.done[i] += work
	b.level.add(i, work)
	if b.done[i] > 0 {
		b.longest.set(i, float64(b.tasks[i].Work))
	} else {
		b.longest.set(i, 0)
	}
}
