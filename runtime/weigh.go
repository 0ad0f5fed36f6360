package runtime

import (
	"context"
	"sync"

	"holdfast/edge"
)

// Weigher gives running instances more or less of the CPU where they want more than there
// is, which is optional: without it all have the same.
type Weigher interface {
	// Weigh gives the instance the weight of a class, within microseconds and without the
	// daemon. One that was just started or listed has the weight of edge.Batch, and what a
	// driver has weighed has that weight again when the driver is closed.
	Weigh(ctx context.Context, id string, class edge.Class) error
}

// scale is which weight an instance has, and why: that of the most pressing task in it. It
// keeps that weight afterwards, so that an instance which is always asked in the same class
// costs no write.
type scale struct {
	mu    sync.Mutex // guards what follows; held while the driver is told
	under [len(edge.Classes)]int
	now   edge.Class
}

// unweighed is no class: nothing is known of the weight.
const unweighed = edge.Class(len(edge.Classes))

// heft has the instance weigh what a task of the class is to have in it, before the
// task is sent.
func (s *Supervisor) heft(ep *endpoint, class edge.Class) {
	weigher, can := s.opts.Driver.(Weigher)
	if !can || int(class) >= len(edge.Classes) {
		return
	}
	ep.scale.mu.Lock()
	defer ep.scale.mu.Unlock()
	ep.scale.under[class]++
	s.balanceLocked(weigher, ep)
}

// unheft takes a task's weight off again, which matters only where others are under way
// in the same instance.
func (s *Supervisor) unheft(ep *endpoint, class edge.Class) {
	weigher, can := s.opts.Driver.(Weigher)
	if !can || int(class) >= len(edge.Classes) {
		return
	}
	ep.scale.mu.Lock()
	defer ep.scale.mu.Unlock()
	ep.scale.under[class]--
	s.balanceLocked(weigher, ep)
}

func (s *Supervisor) balanceLocked(weigher Weigher, ep *endpoint) {
	for _, class := range edge.Classes {
		if ep.scale.under[class] == 0 {
			continue
		}
		if ep.scale.now == class {
			return
		}
		ep.scale.now = class // also where it is refused: that is not worth a try for each task
		if err := weigher.Weigh(context.Background(), ep.id, class); err != nil {
			s.opts.Log.Debug("instance-not-weighed", "instance", ep.id, "class", class.String(), "error", err.Error())
		}
		return
	}
}
