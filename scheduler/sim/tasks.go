package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"holdfast/edge"
)

// Task is one task of a simulation.
type Task struct {
	Model    string
	Class    edge.Class
	Tenant   string
	Arrives  time.Duration
	Deadline time.Duration // since the start, as Arrives is
	Work     time.Duration // of one core, as it will turn out
	Estimate time.Duration // what a scheduler is told
}

// Load says what is to be done.
type Load struct {
	Mix      Mix
	Arrivals Arrivals
	Load     float64 // work that arrives in a second ÷ cores
	Cores    int
	Length   time.Duration // of the arrivals
	Count    int           // of the arrivals, where Length is 0
	Tenant   string
	// Noise is the spread of the work around its middle, log-normal.
	Noise float64
	// Hiccups are runs that take much longer than any other of their model; the load counts them.
	Hiccups Hiccups
	// Error is the spread of the estimates around the middle of the work, log-normal with mean 1, and Bias
	// what they are multiplied by; Bias 0 is 1.
	Error, Bias float64
}

// Hiccups have a part of all runs take a factor longer. The zero value has none.
type Hiccups struct{ Part, Factor float64 }

// mean is what they multiply the mean work by.
func (h Hiccups) mean() float64 { return 1 + h.Part*(h.Factor-1) }

func (h Hiccups) wrong() bool {
	return h.Part < 0 || h.Part > 1 || h.Part > 0 && h.Factor < 1
}

// DefaultNoise is the spread of real runs of one model on one machine.
const DefaultNoise = 0.1

// Tasks makes the tasks of a load, in the order of their arrival. What arrives when,
// and its deadline and work, do not depend on Error and Bias.
func (l Load) Tasks(seed uint64) ([]Task, error) {
	if l.Load <= 0 || l.Cores < 1 || len(l.Mix) == 0 || l.Length <= 0 && l.Count < 1 || l.Noise < 0 || l.Error < 0 || l.Bias < 0 || l.Hiccups.wrong() {
		return nil, fmt.Errorf("cannot make tasks: load %v on %d cores for %v: %w", l.Load, l.Cores, l.Length, edge.ErrInvalid)
	}
	if l.Bias == 0 {
		l.Bias = 1
	}
	mean := time.Duration(float64(l.Mix.Mean()) * math.Exp(l.Noise*l.Noise/2) * l.Hiccups.mean() / l.Load / float64(l.Cores))
	gap := l.Arrivals.Gaps(rand.New(rand.NewPCG(seed, 1)), mean)
	r, wrong := rand.New(rand.NewPCG(seed, 2)), rand.New(rand.NewPCG(seed, 3))
	slow := rand.New(rand.NewPCG(seed, 4))
	var tasks []Task
	for at := 0.0; ; {
		at += gap() * float64(mean)
		if l.Length > 0 && at >= float64(l.Length) || l.Length == 0 && len(tasks) == l.Count {
			return tasks, nil
		}
		t := l.task(time.Duration(at), r, wrong)
		if slow.Float64() < l.Hiccups.Part {
			t.Work = time.Duration(float64(t.Work) * l.Hiccups.Factor)
		}
		tasks = append(tasks, t)
	}
}

func (l Load) task(at time.Duration, r, wrong *rand.Rand) Task {
	k := l.Mix.pick(r.Float64())
	relative := k.Shortest + time.Duration(r.Float64()*float64(k.Longest-k.Shortest))
	return Task{
		Model: k.Model, Class: k.Class, Tenant: l.Tenant, Arrives: at, Deadline: at + relative,
		Work:     time.Duration(float64(k.Work) * math.Exp(l.Noise*r.NormFloat64())),
		Estimate: time.Duration(float64(k.Work) * l.Bias * math.Exp(l.Error*wrong.NormFloat64()-l.Error*l.Error/2)),
	}
}
