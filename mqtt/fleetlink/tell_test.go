package fleetlink_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/fleetlink"
)

func (s *stage) wholes() int { return len(s.broker.heard(topic(mqtt.UpState))) }
func (s *stage) deltas() int { return len(s.broker.heard(topic(mqtt.UpDelta))) }

// isSeen tells whether the fleet sees the state that is.
func (s *stage) isSeen() bool {
	is, err := edge.CanonicalJSON(s.node.state())
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	return err == nil && string(is) == string(s.fleet.state)
}

func TestLink_State(t *testing.T) {
	t.Run("ChangesAreGathered", func(t *testing.T) {
		on(t, nil, func(t *testing.T, s *stage) {
			for n := range 600 { // a minute of ten changes a second
				s.node.setState(fmt.Sprint("w", n))
				pass(100 * time.Millisecond)
			}
			pass(2 * time.Second)
			if n := s.deltas(); n < 50 || n > 62 {
				t.Errorf("%d changes were told in a minute, want one a second", n)
			}
			if n := s.wholes(); n > 3 {
				t.Errorf("%d whole states in a minute, want the first and one more", n)
			}
			if !s.isSeen() {
				t.Error("the fleet does not see the state")
			}
			pass(2 * time.Minute)
			var kept edge.StateReport
			is, _ := edge.CanonicalJSON(s.node.state())
			if err := json.Unmarshal(s.broker.kept(topic(mqtt.UpState)), &kept); err != nil || string(kept.State) != string(is) {
				t.Errorf("the broker keeps %s, want the newest", kept.State)
			}
			wholes := s.wholes()
			pass(time.Hour)
			if s.wholes() != wholes {
				t.Error("a state was told that had not changed")
			}
		})
	})
	t.Run("NotToldAgainToWhoRemembers", func(t *testing.T) {
		on(t, nil, func(t *testing.T, s *stage) {
			before := s.wholes()
			s.dark()
			s.light(t)
			pass(time.Minute)
			if s.wholes() != before {
				t.Error("the state was told again")
			}
			s.node.setState("new")
			pass(2 * time.Second)
			if !s.isSeen() {
				t.Error("the fleet does not see what changed after")
			}
			s.broker.restart(true)
			pass(time.Minute)
			if len(s.broker.kept(topic(mqtt.UpState))) == 0 || !s.isSeen() {
				t.Error("a broker that forgot everything was not told")
			}
		})
	})
	t.Run("ChangeLargerThanTheWhole", func(t *testing.T) {
		on(t, nil, func(t *testing.T, s *stage) {
			s.node.setState(strings.Repeat("w", 300))
			pass(2 * time.Second)
			wholes := s.wholes()
			s.node.setState(strings.Repeat("v", 300)) // a change names what goes and what comes
			pass(2 * time.Second)
			if s.wholes() != wholes+1 || !s.isSeen() {
				t.Errorf("%d whole states, want %d", s.wholes(), wholes+1)
			}
		})
	})
	t.Run("TooLargeIsAWarning", func(t *testing.T) {
		small := func(_ *process, o *fleetlink.Options) { o.Session.Tuning.MaxFrame = 1 << 10 }
		on(t, small, func(t *testing.T, s *stage) {
			s.node.setState(strings.Repeat("w", 2000))
			pass(2 * time.Second)
			if !hasWarning(s.node.Warnings(), "link-state-too-large") {
				t.Errorf("warnings are %+v", s.node.Warnings())
			}
			s.node.note(1)
			await(t, "the link goes on", time.Minute, s.isEmpty)
			s.node.setState("small")
			pass(3 * time.Second)
			if len(s.node.Warnings()) != 0 || !s.isSeen() {
				t.Errorf("warnings are %+v, want none", s.node.Warnings())
			}
		})
	})
}

func hasWarning(all []edge.Warning, code string) bool {
	for _, w := range all {
		if w.Code == code {
			return true
		}
	}
	return false
}

// TestLink_Convergence: after a partition the fleet sees what it wants within three
// round trips of the link being up.
func TestLink_Convergence(t *testing.T) {
	on(t, nil, func(t *testing.T, s *stage) {
		for n := range 50 {
			s.dark()
			for i := range 30 {
				s.node.note(i)
			}
			version := uint64(n + 1)
			s.fleet.mu.Lock()
			s.fleet.desired = version // its message is lost: only the hello can tell
			s.fleet.mu.Unlock()
			if n%2 == 0 {
				s.broker.restart(true)
			}
			s.broker.set(faults{delay: hop})
			connected := s.node.Status().Up
			await(t, "up", 2*time.Minute, func() bool { return s.node.Status().Up > connected })
			took := await(t, "seen", time.Minute, func() bool { return s.fleet.sees() == version })
			if most := 3 * 2 * hop; took > most {
				t.Errorf("seen %v after the link was up, want within %v", took, most)
			}
			pass(time.Minute)
		}
	})
}
