package sim

import "holdfast/scheduler"

// Policy is a way to schedule tasks on cores.
type Policy struct {
	Name string // short, for flags and files
	Says string // for people
	run  func(tasks []Task, cores int) (Result, error)
}

// Run schedules the tasks, which are in the order of their arrival.
func (p Policy) Run(tasks []Task, cores int) (Result, error) { return p.run(tasks, cores) }

// Policies are the baselines, and then the scheduler's own plan.
func Policies() []Policy {
	return append(Baselines(), Plan(Options{}))
}

// Baselines are the simple orders the scheduler can also work by.
func Baselines() []Policy {
	var all []Policy
	for _, order := range scheduler.Orders {
		if order != scheduler.Planned {
			all = append(all, Plan(Options{Order: order}))
		}
	}
	return all
}
