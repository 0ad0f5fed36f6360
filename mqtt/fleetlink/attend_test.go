package fleetlink_test

import (
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
		hellos := 0
		s.broker.mu.Lock()
		s.broker.watchers = append(s.broker.watchers, func(at string, _ []byte) {
			if at == topic(mqtt.UpHello) {
				hellos++
			}
		})
		s.broker.mu.Unlock()
		greet := func() {
			epoch := s.node.Status().Streams[0].Epoch
			s.broker.publish(topic(mqtt.DownAck), sign(edge.Confirmation{Node: "n1", Epoch: epoch}), false)
			pass(5 * time.Second)
		}
		greet()
		greet()
		if hellos != 1 {
			t.Errorf("%d hellos for somebody who answers none, want one", hellos)
		}
		s.fleet.setAway(false)
		s.dark()
		s.light(t)
		pass(5 * time.Second)
		hellos = 0
		greet()
		if hellos != 0 {
			t.Errorf("%d hellos more where the first was answered, want none", hellos)
		}
	})
}
