package agent

import (
	"sync"
	"time"

	"holdfast/edge"
)

// recoveries measures how long a workload is without an instance that has ended by itself:
// from that end to the moment another is ready. It reads the node's events.
type recoveries struct {
	observe func(time.Duration)

	mu    sync.Mutex             // guards what follows
	ready map[string]string      // instances that are: the workload of each
	lost  map[string][]time.Time // by workload: since when each of its instances is missing
}

func newRecoveries(observe func(time.Duration)) *recoveries {
	return &recoveries{observe: observe, ready: map[string]string{}, lost: map[string][]time.Time{}}
}

// Heed takes note of one event.
func (r *recoveries) Heed(e edge.Event) {
	if took, over := r.heed(e); over {
		r.observe(took)
	}
}

func (r *recoveries) heed(e edge.Event) (took time.Duration, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	workload := e.Facts["workload"]
	switch e.Kind {
	case edge.EventInstanceReady:
		if _, was := r.ready[e.Subject]; was {
			break // it was not lost, and is in nobody's place
		}
		r.ready[e.Subject] = workload
		if since := r.lost[workload]; len(since) > 0 {
			r.lost[workload] = since[1:]
			return e.At.Sub(since[0]), true
		}
	case edge.EventInstanceExited:
		// One that was not ready is an attempt of the same recovery.
		if _, was := r.ready[e.Subject]; was {
			r.lost[workload] = append(r.lost[workload], e.At)
		}
		delete(r.ready, e.Subject)
	case edge.EventInstanceStopped:
		delete(r.ready, e.Subject)
	case edge.EventAgentReloaded, edge.EventPolicyInForce, edge.EventPolicyRolledBack, edge.EventWorkloadsChanged:
		// Something else is to run now: what is ready next may have come by that.
		clear(r.lost)
	}
	return 0, false
}
