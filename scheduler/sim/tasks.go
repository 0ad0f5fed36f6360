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
	// Error is the spread of the estimates around the middle of the work, log-normal with mean 1, and Bias
	// what they are multiplied by; Bias 0 is 1.
	Error, Bias float64
}

// DefaultNoise is the spread of real runs of one model on one machine.
const DefaultNoise = 0.1

// Tasks makes the tasks of a load, in the order of their arrival. What arrives when,
// and its deadline and work, do not depend on Error and Bias.
func (l Load) Tasks(seed uint64) ([]Task, error) {
	if l.Load <= 0 || l.Cores < 1 || len(l.Mix) == 0 || l.Length <= 0 && l.Count < 1 || l.Noise < 0 || l.Error < 0 || l.Bias < 0 {
		return nil, fmt.Errorf("cannot make tasks: load %v on %d cores for %v: %w", l.Load, l.Cores, l.Length, edge.ErrInvalid)
	}
	if l.Bias == 0 {
		l.Bias = 1
	}
	mean := time.Duration(float64(l.Mix.Mean()) * math.Exp(l.Noise*l.Noise/2) / l.Load / float64(l.Cores))
	gap := l.Arrivals.Gaps(rand.New(rand.NewPCG(seed, 1)), mean)
	r, wrong := rand.New(rand.NewPCG(seed, 2)), rand.New(rand.NewPCG(seed, 3))
	var tasks []Task
	for at := 0.0; ; {
		at += gap() * float64(mean)
		if l.Length > 0 && at >= float64(l.Length) || l.Length == 0 && len(tasks) == l.Count {
			return tasks, nil
		}
		tasks = append(tasks, l.task(time.Duration(at), r, wrong))
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
