package sim

import (
	"time"

	"holdfast/edge"
)

const ms = time.Millisecond

// Kind is one kind of task: a model asked in one class.
type Kind struct {
	Model  string
	Class  edge.Class
	Weight float64       // its part of all tasks
	Work   time.Duration // of one core, in the middle
	// A deadline lies evenly between the two after the arrival.
	Shortest, Longest time.Duration
}

// Mix is what tasks there are.
type Mix []Kind

// Servers is the mix of the figures in docs/scheduling.md: medians of well-known
// vision and language models at batch size 1 on one CPU core as published with
// Proteus (ASPLOS 2024), rounded. Half of the tasks are urgent, 35 % normal, 15 %
// batch; a class's part is divided evenly among its models. The mean is 112 ms, of which
// batch is 61 %.
func Servers() Mix {
	return Mix{
		{"u19", edge.Urgent, 0.50 / 2, 19 * ms, 50 * ms, 100 * ms},
		{"u26", edge.Urgent, 0.50 / 2, 26500 * time.Microsecond, 50 * ms, 100 * ms},
		{"n57", edge.Normal, 0.35 / 3, 57 * ms, 300 * ms, 1000 * ms},
		{"n97", edge.Normal, 0.35 / 3, 97 * ms, 300 * ms, 1000 * ms},
		{"n121", edge.Normal, 0.35 / 3, 121 * ms, 300 * ms, 1000 * ms},
		{"b238", edge.Batch, 0.15 / 3, 238 * ms, 5000 * ms, 15000 * ms},
		{"b400", edge.Batch, 0.15 / 3, 400 * ms, 5000 * ms, 15000 * ms},
		{"b735", edge.Batch, 0.15 / 3, 735 * ms, 5000 * ms, 15000 * ms},
	}
}

// Defaults is the mix with the deadlines the classes have by default: 100 ms, 1 s and
// 10 minutes.
func Defaults() Mix {
	mix := Servers()
	for i := range mix {
		mix[i].Shortest = mix[i].Class.DefaultDeadline()
		mix[i].Longest = mix[i].Shortest
	}
	return mix
}

// Mean is the mean work of a task, without noise.
func (m Mix) Mean() time.Duration {
	var sum, weights float64
	for _, k := range m {
		sum += k.Weight * float64(k.Work)
		weights += k.Weight
	}
	return time.Duration(sum / weights)
}

// pick is the kind that a number in [0, 1) falls to.
func (m Mix) pick(u float64) Kind {
	var weights float64
	for _, k := range m {
		weights += k.Weight
	}
	u *= weights
	for _, k := range m[:len(m)-1] {
		if u -= k.Weight; u < 0 {
			return k
		}
	}
	return m[len(m)-1]
}
