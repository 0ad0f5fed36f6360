package load

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"holdfast/edge"
	"holdfast/scheduler/sim"
)

// Report is what became of the tasks of one load of one kind of arrivals.
type Report struct {
	Order    string        `json:"order"` // the agent runs its queue in
	Arrivals string        `json:"arrivals"`
	Load     float64       `json:"load"`
	Slots    int           `json:"slots"`
	Seed     uint64        `json:"seed"`
	Length   time.Duration `json:"lengthNs"` // by scheduled time
	Tasks    int           `json:"tasks"`

	Exact   bool    `json:"exact"` // the work of every task is known, and not measured beforehand
	Bound   float64 `json:"bound"` // tasks that could be on time at the most
	OnTime  int     `json:"onTime"`
	OfBound float64 `json:"ofBound"` // on time ÷ bound

	Classes []ClassReport `json:"classes"`
	Kinds   []KindReport  `json:"kinds"`
	// Reasons count what the agent said of tasks that were not answered: "refused: queue_full".
	Reasons   map[string]int `json:"reasons,omitempty"`
	Refusals  Quantiles      `json:"refusals"`  // from sending to the answer, of those refused at once
	Generator Quantiles      `json:"generator"` // how late tasks were sent
	Hurried   bool           `json:"hurried"`   // the generator had precedence on its machine
	Machine   *Machine       `json:"machine,omitempty"`
	Failure   string         `json:"failure,omitempty"` // the first one
	// Doubts are what speaks against quoting the figures.
	Doubts []string `json:"doubts,omitempty"`
}

// ClassReport is what became of the tasks of one class. What was submitted is the sum of what
// follows.
type ClassReport struct {
	Class     edge.Class `json:"class"`
	Submitted int        `json:"submitted"`
	OnTime    int        `json:"onTime"`
	Late      int        `json:"late"`    // accepted, and not answered by the deadline
	Refused   int        `json:"refused"` // at once
	Evicted   int        `json:"evicted"` // accepted, and told before the deadline that it will not be
	Failed    int        `json:"failed"`

	Latency Quantiles `json:"latency"` // of those with an answer, from the scheduled instant
	Alone   Quantiles `json:"alone"`   // of tasks with nothing else on the node
	Stretch float64   `json:"stretch"` // p99 ÷ p99 alone
	// Sure is how sure it is that 99 % of the class are on time, and Needed how many tasks it
	// takes to be sure by 99 % with as many not on time among them.
	Sure   float64 `json:"sure"`
	Needed int     `json:"needed"`
}

// KindReport is one kind of task: what it takes, and what the agent counted with in the
// end.
type KindReport struct {
	Kind     string        `json:"kind"`
	Work     time.Duration `json:"workNs"` // in the middle
	Alone    Quantiles     `json:"alone"`
	Estimate time.Duration `json:"estimateNs"`
	Firm     time.Duration `json:"firmNs"` // for urgent tasks
}

// Quantiles of some times.
type Quantiles struct {
	Of  int           `json:"of"`
	P50 time.Duration `json:"p50Ns"`
	P90 time.Duration `json:"p90Ns"`
	P99 time.Duration `json:"p99Ns"`
	Max time.Duration `json:"maxNs"`
}

// sureOf is the part of a class that Sure and Needed are about, and sureBy how sure Needed is.
const sureOf, sureBy = 0.99, 0.99

func (g *Generator) report(tasks []task, before, after view) Report {
	r := Report{Order: g.options.Order, Slots: g.slots, Seed: g.options.Seed, Length: g.options.Length, Tasks: len(tasks), Exact: true, Hurried: g.options.Hurried}
	for _, k := range g.kinds {
		r.Exact = r.Exact && k.input.exact
		r.Kinds = append(r.Kinds, kindReport(k, after.queue))
	}
	r.Reasons = map[string]int{}
	planned := make([]sim.Task, len(tasks))
	var refusals, late times
	for i := range tasks {
		t := &tasks[i]
		planned[i] = t.Task
		late.add(t.sent-t.Arrives, 1)
		if t.outcome == edge.Refused {
			refusals.add(t.answered-t.sent, 1)
		}
		if t.onTime() {
			r.OnTime++
		}
		if t.outcome != edge.Completed && t.reason != "" {
			r.Reasons[fmt.Sprintf("%v: %s", t.outcome, t.reason)]++
		}
		if t.err != nil && r.Failure == "" {
			r.Failure = t.err.Error()
		}
	}
	if r.Bound = sim.Bound(planned, g.slots); r.Bound > 0 {
		r.OfBound = float64(r.OnTime) / r.Bound
	}
	r.Refusals, r.Generator = refusals.quantiles(), late.quantiles()
	for _, class := range edge.Classes {
		if c := g.classReport(class, tasks); c.Submitted > 0 {
			r.Classes = append(r.Classes, c)
		}
	}
	if before.known && after.known {
		r.Machine = after.meter.since(before.meter)
	}
	r.Doubts = r.doubts(after.submitted() - before.submitted())
	return r
}

func kindReport(k *kind, queue edge.QueueReport) KindReport {
	var alone times
	for _, took := range k.alone {
		alone.add(took, 1)
	}
	r := KindReport{Kind: k.String(), Work: k.work, Alone: alone.quantiles()}
	for _, m := range queue.Models {
		if m.Model == k.Model {
			r.Estimate, r.Firm = m.Estimate, m.Firm
		}
	}
	return r
}

func (g *Generator) classReport(class edge.Class, tasks []task) ClassReport {
	c := ClassReport{Class: class}
	var latency, alone times
	for i := range tasks {
		if t := &tasks[i]; t.Class == class {
			c.count(t)
			if t.outcome == edge.Completed {
				latency.add(t.answered-t.Arrives, 1)
			}
		}
	}
	for _, k := range g.kinds {
		if k.Class == class {
			for _, took := range k.alone {
				alone.add(took, k.Share/float64(len(k.alone)))
			}
		}
	}
	c.Latency, c.Alone = latency.quantiles(), alone.quantiles()
	if c.Alone.P99 > 0 {
		c.Stretch = float64(c.Latency.P99) / float64(c.Alone.P99)
	}
	missed := c.Submitted - c.OnTime
	c.Sure, c.Needed = Confidence(c.Submitted, missed, sureOf), Needed(missed, sureOf, sureBy)
	return c
}

func (c *ClassReport) count(t *task) {
	c.Submitted++
	switch {
	case t.onTime():
		c.OnTime++
	case t.outcome == edge.Completed, t.outcome == edge.Missed:
		c.Late++
	case t.outcome == edge.Refused:
		c.Refused++
	case t.outcome == edge.Evicted:
		c.Evicted++
	default:
		c.Failed++
	}
}

// maxOther is the part of the machine that others may use in a run to be quoted.
const maxOther = 0.02

// doubts are why the figures should not be quoted. seen is how many tasks the agent
// had meanwhile.
func (r *Report) doubts(seen uint64) []string {
	var doubts []string
	if r.Length < QuotableLength {
		doubts = append(doubts, fmt.Sprintf("tasks arrived for %v, less than %v", r.Length, QuotableLength))
	}
	switch {
	case r.Machine == nil:
		doubts = append(doubts, "what else the agent's machine did is not known")
	case r.Machine.Other > maxOther:
		doubts = append(doubts, fmt.Sprintf("%.1f %% of the machine went to work that was neither the agent's, its models' nor the generator's", 100*r.Machine.Other))
	}
	if seen != uint64(r.Tasks) {
		doubts = append(doubts, fmt.Sprintf("the agent was asked for %d tasks, and %d are ours", seen, r.Tasks))
	}
	failed := 0
	for _, c := range r.Classes {
		failed += c.Failed
	}
	if failed > 0 {
		doubts = append(doubts, fmt.Sprintf("%d tasks failed, the first one with: %s", failed, cmp.Or(r.Failure, "an error of the model")))
	}
	return doubts
}

// times are some durations, each with a weight.
type times []weighted

type weighted struct {
	took   time.Duration
	weight float64
}

func (t *times) add(took time.Duration, weight float64) { *t = append(*t, weighted{took, weight}) }

// quantiles sorts the times.
func (t times) quantiles() Quantiles {
	if len(t) == 0 {
		return Quantiles{}
	}
	slices.SortFunc(t, func(a, b weighted) int { return cmp.Compare(a.took, b.took) })
	return Quantiles{Of: len(t), P50: t.at(0.50), P90: t.at(0.90), P99: t.at(0.99), Max: t[len(t)-1].took}
}

// at is the shortest of the times that is at least as long as that part of them.
func (t times) at(part float64) time.Duration {
	var all, sum float64
	for _, w := range t {
		all += w.weight
	}
	const rounding = 1e-9 // of the sums
	for _, w := range t {
		if sum += w.weight; sum >= part*all*(1-rounding) {
			return w.took
		}
	}
	return t[len(t)-1].took
}
