package fleetlink_test

import (
	"sync/atomic"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
)

// TestLink_Attended: who begins to attend after the node has said hello confirms what
// the node knows, and hears hello once more; only once, and only where nobody answered.
func TestLink_Attended(t *testing.T) {
	on(t, nil, func(t *testing.T, s *stage) {
		s.fleet.setAway(true)
		s.dark()
		s.light(t)
		pass(5 * time.Second)
		var hellos atomic.Int64
		s.broker.mu.Lock()
		s.broker.watchers = append(s.broker.watchers, func(at string, _ []byte) {
			if at == topic(mqtt.UpHello) {
				hellos.Add(1)
			}
		})
		s.broker.mu.Unlock()
		greet := func() {
			epoch := s.node.Status().Streams[0].Epoch
			s.broker.publish(topic(mqtt.DownAck), sign(edge.Confirmation{Node: "n1", Epoch: epoch}), false)
			pass(15 * time.Second)
		}
		greet()
		greet()
		if got := hellos.Load(); got != 1 {
			t.Errorf("%d hellos for somebody who answers none, want one", got)
		}
		s.fleet.setAway(false)
		s.dark()
		s.light(t)
		pass(5 * time.Second)
		hellos.Store(0)
		greet()
		if got := hellos.Load(); got != 0 {
			t.Errorf("%d hellos more where the first was answered, want none", got)
		}
	})
}
