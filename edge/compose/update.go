package compose

import (
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"holdfast/edge"
)

// updateConfig is what a service says of its updates.
type updateConfig struct {
	parallelism *uint64
	delay       types.Duration
	order       string
}

func updatePath(key ...string) []string {
	return append([]string{"deploy", "update_config"}, key...)
}

// update reads deploy.update_config.
func (d decoder) update() updateConfig {
	u := updateConfig{}
	u.order, _ = d.value(updatePath("order")...).(string) // absent: empty
	d.into(&u.delay, updatePath("delay")...)
	if at := d.at.at(updatePath("parallelism")...); at != nil {
		n := d.whole(updatePath("parallelism")...)
		d.require(n >= 0, at, "is below zero", "write a number from 0 to 100; 0 is all at once")
		u.parallelism = new(uint64(max(n, 0)))
	}
	return u
}

// update is how instances are replaced. Compose stops first where nothing is said; here
// that has to be said, since it leaves a gap in which nothing serves.
func (s service) update() edge.Update {
	c := s.config.Update
	u := edge.Update{StopFirst: c.order == "stop-first", Delay: time.Duration(c.delay)}
	if s.at.at(updatePath("order")...) != nil && c.order != "start-first" && c.order != "stop-first" {
		s.problem(quote(c.order)+" is not an order", "write start-first or stop-first", updatePath("order")...)
	}
	if u.Delay < 0 || u.Delay > longestHealth {
		s.problem(u.Delay.String()+" is out of bounds", "write a duration up to 1h, such as 10s", updatePath("delay")...)
	}
	switch {
	case c.parallelism == nil:
	case *c.parallelism > maxReplicas:
		s.problem("is out of bounds", "write a number from 0 to 100; 0 is all at once", updatePath("parallelism")...)
	case *c.parallelism == 0:
		u.Parallel = maxReplicas
	case *c.parallelism > 1:
		u.Parallel = int(*c.parallelism)
	}
	return u
}
