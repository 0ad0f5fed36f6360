package sim

import (
	"time"

	"holdfast/edge"
)

// Counts are how tasks ended.
type Counts struct {
	Submitted int `json:"submitted"`
	OnTime    int `json:"onTime"`
	Smaller   int `json:"smaller,omitempty"`  // of those: answered by a smaller variant
	Refused   int `json:"refused"`            // at once
	Evicted   int `json:"evicted"`            // told before the deadline
	Missed    int `json:"missed"`             // at the deadline or later
	Overlong  int `json:"overlong,omitempty"` // of those evicted or missed: whose own work was longer than all their time
}

func (c *Counts) add(o Counts) {
	c.Submitted += o.Submitted
	c.OnTime += o.OnTime
	c.Smaller += o.Smaller
	c.Refused += o.Refused
	c.Evicted += o.Evicted
	c.Missed += o.Missed
	c.Overlong += o.Overlong
}

// Result is what a policy made of some tasks.
type Result struct {
	Classes     [len(edge.Classes)]Counts
	Tenants     map[string]Counts
	Suspensions int
	Busy        time.Duration // of all cores together
	Wasted      time.Duration // of that for tasks that were not on time
}

// Total is all classes together.
func (r *Result) Total() Counts {
	var sum Counts
	for _, c := range r.Classes {
		sum.add(c)
	}
	return sum
}

// Add counts another run in.
func (r *Result) Add(o Result) {
	for i := range r.Classes {
		r.Classes[i].add(o.Classes[i])
	}
	for name, counts := range o.Tenants {
		if r.Tenants == nil {
			r.Tenants = map[string]Counts{}
		}
		sum := r.Tenants[name]
		sum.add(counts)
		r.Tenants[name] = sum
	}
	r.Suspensions += o.Suspensions
	r.Busy += o.Busy
	r.Wasted += o.Wasted
}

// ended counts one task, which a smaller variant may have answered.
func (r *Result) ended(t *Task, outcome edge.Outcome, smaller bool) {
	one := Counts{Submitted: 1}
	switch outcome {
	case edge.Completed:
		if one.OnTime = 1; smaller {
			one.Smaller = 1
		}
	case edge.Refused:
		one.Refused = 1
	case edge.Evicted:
		one.Evicted = 1
	default:
		one.Missed = 1
	}
	if one.Evicted+one.Missed > 0 && t.Work > t.Deadline-t.Arrives {
		one.Overlong = 1
	}
	r.Classes[t.Class].add(one)
	if t.Tenant != "" {
		r.Add(Result{Tenants: map[string]Counts{t.Tenant: one}})
	}
}
