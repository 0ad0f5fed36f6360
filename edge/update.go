package edge

import "time"

// Update says how the instances of a workload are replaced: when it is updated, and when
// a person has it restarted. The zero value starts one new instance beside the old ones,
// lets go of an old one when it is ready, and goes on with the next.
type Update struct {
	// Parallel is how many are replaced at a time; 0: 1. More than there are is all.
	Parallel int `json:"parallel,omitempty"`
	// StopFirst ends the old ones before the new ones are started, for a node without the
	// memory for both, or an app that cannot run twice: meanwhile they are missing.
	StopFirst bool `json:"stopFirst,omitempty"`
	// Delay is between one step being ready and the next.
	Delay time.Duration `json:"delay,omitempty"`
}

func (u Update) check(c *checker, at string) {
	c.count(u.Parallel, 0, maxReplicas, at+"parallel")
	c.duration(u.Delay, at+"delay")
}
