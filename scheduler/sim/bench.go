package sim

import (
	"context"
	"fmt"
	"time"

	"holdfast/edge"
)

// Bench compares policies over loads and arrivals.
type Bench struct {
	Load     Load // of every cell, but for its arrivals and load
	Arrivals []Arrivals
	Loads    []float64
	Seeds    int // from 1 on; their counts are added
	Policies []Policy
}

// Cell is what the policies made of one load of one kind of arrivals.
type Cell struct {
	Arrivals string    `json:"arrivals"`
	Load     float64   `json:"load"`
	Cores    int       `json:"cores"`
	Tasks    int       `json:"tasks"`
	Bound    float64   `json:"bound"` // tasks that could be on time at the most
	Outcomes []Outcome `json:"outcomes"`
}

// Outcome is one policy in one cell.
type Outcome struct {
	Policy  string            `json:"policy"`
	OfBound float64           `json:"ofBound"` // on time ÷ bound
	OnTime  float64           `json:"onTime"`  // ÷ submitted
	Classes map[string]Counts `json:"classes"`
	// UrgentBroken is the part of the urgent tasks that were accepted and not answered in
	// time, told before the deadline or not.
	UrgentBroken float64 `json:"urgentBroken"`
	// UrgentOverlong is the part of the urgent tasks for which that is so though nobody could have known
	// better: their own work was longer than all the time they had.
	UrgentOverlong float64 `json:"urgentOverlong,omitempty"`
	Smaller        float64 `json:"smaller,omitempty"` // ÷ submitted: on time, by a smaller variant
	Suspensions    int     `json:"suspensions"`
	Wasted         float64 `json:"wasted"` // part of the work done that was for tasks not on time
}

// Run fills the cells. It stops between two of them when ctx ends.
func (b Bench) Run(ctx context.Context) ([]Cell, error) {
	if b.Seeds < 1 || len(b.Policies) == 0 {
		return nil, fmt.Errorf("cannot compare %d policies with %d seeds: %w", len(b.Policies), b.Seeds, edge.ErrInvalid)
	}
	var cells []Cell
	for _, arrivals := range b.Arrivals {
		for _, load := range b.Loads {
			cell, err := b.cell(ctx, arrivals, load)
			if err != nil {
				return nil, err
			}
			cells = append(cells, cell)
		}
	}
	return cells, nil
}

func (b Bench) cell(ctx context.Context, arrivals Arrivals, load float64) (Cell, error) {
	l := b.Load
	l.Arrivals, l.Load = arrivals, load
	cell := Cell{Arrivals: arrivals.Name(), Load: load, Cores: l.Cores}
	results := make([]Result, len(b.Policies))
	for seed := range uint64(b.Seeds) {
		if err := ctx.Err(); err != nil {
			return cell, err
		}
		tasks, err := l.Tasks(seed + 1)
		if err != nil {
			return cell, err
		}
		cell.Tasks += len(tasks)
		cell.Bound += Bound(tasks, l.Cores)
		for i, p := range b.Policies {
			result, err := p.Run(tasks, l.Cores)
			if err != nil {
				return cell, err
			}
			results[i].Add(result)
		}
	}
	for i := range results {
		cell.Outcomes = append(cell.Outcomes, outcomeOf(b.Policies[i].Name, &results[i], cell.Bound))
	}
	return cell, nil
}

func outcomeOf(policy string, r *Result, bound float64) Outcome {
	total, urgent := r.Total(), r.Classes[edge.Urgent]
	o := Outcome{
		Policy: policy, Classes: map[string]Counts{}, Suspensions: r.Suspensions,
		OfBound: ratio(float64(total.OnTime), bound), OnTime: ratio(float64(total.OnTime), float64(total.Submitted)),
		UrgentBroken:   ratio(float64(urgent.Missed+urgent.Evicted), float64(urgent.Submitted)),
		UrgentOverlong: ratio(float64(urgent.Overlong), float64(urgent.Submitted)),
		Smaller:        ratio(float64(total.Smaller), float64(total.Submitted)),
		Wasted:         ratio(float64(r.Wasted), float64(r.Busy)),
	}
	for _, class := range edge.Classes {
		o.Classes[class.String()] = r.Classes[class]
	}
	return o
}

// ratio of nothing to nothing is 0.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// QuotableLength is how long a run is whose figures are worth quoting.
const QuotableLength = 600 * time.Second
