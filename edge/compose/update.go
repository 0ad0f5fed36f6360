package compose

import (
	"strconv"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"holdfast/edge"
)

// updateConfig is what a service says of its updates.
type updateConfig struct {
	parallelism *uint64
	delay       types.Duration
	order       string
	action      string
	monitor     types.Duration
	ratio       float32 // of failures
}

func updatePath(key ...string) []string {
	return append([]string{"deploy", "update_config"}, key...)
}

// update reads deploy.update_config.
func (d decoder) update() updateConfig {
	u := updateConfig{}
	u.order, _ = d.value(updatePath("order")...).(string) // absent: empty
	d.into(&u.delay, updatePath("delay")...)
	u.action, _ = d.value(updatePath("failure_action")...).(string)
	d.into(&u.monitor, updatePath("monitor")...)
	u.ratio = d.fraction(updatePath("max_failure_ratio")...)
	if at := d.at.at(updatePath("parallelism")...); at != nil {
		n := d.whole(updatePath("parallelism")...)
		d.require(n >= 0, at, "is below zero", "write a number from 0 to 100; 0 is all at once")
		u.parallelism = new(uint64(max(n, 0)))
	}
	return u
}

// update is how instances are replaced. Compose stops first where nothing is said, and
// pauses after a failure; here both have to be said, since the one leaves a gap in which
// nothing serves, and the other a node that waits for somebody.
func (s service) update() edge.Update {
	c := s.config.Update
	u := edge.Update{
		StopFirst: c.order == "stop-first", Delay: time.Duration(c.delay),
		OnFailure: edge.FailureAction(c.action), Monitor: time.Duration(c.monitor), MaxFailed: s.maxFailed(),
		Canary: s.canary(),
	}
	s.checkFailure(u)
	if u.Canary != nil && u.StopFirst {
		s.problem("needs old and new instances at once, which stop-first forbids", "leave order out, or the canary", extensionKey, "canary")
	}
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

func (s service) checkFailure(u edge.Update) {
	switch u.OnFailure {
	case edge.OnFailureRollback, edge.OnFailurePause, edge.OnFailureContinue:
	default:
		if s.at.at(updatePath("failure_action")...) != nil {
			s.problem(quote(string(u.OnFailure))+" is not what can be done", "write rollback, pause or continue", updatePath("failure_action")...)
		}
	}
	if s.at.at(updatePath("monitor")...) != nil && (u.Monitor <= 0 || u.Monitor > longestHealth) {
		s.problem(u.Monitor.String()+" is out of bounds", "write a duration up to 1h, such as 30s", updatePath("monitor")...)
	}
}

// maxFailed is which share of the replicas may fail, in as many digits as were written.
func (s service) maxFailed() float64 {
	ratio, err := strconv.ParseFloat(strconv.FormatFloat(float64(s.config.Update.ratio), 'g', -1, 32), 64)
	if err != nil || !(ratio >= 0 && ratio <= 1) {
		s.problem("is out of bounds", "write a share from 0 to 1, such as 0.5", updatePath("max_failure_ratio")...)
		return 0
	}
	return ratio
}
