package mqtt

import "time"

// Phase is what the link is doing.
type Phase string

// The phases.
const (
	Idle       Phase = "idle"       // Run has not begun, or has ended
	Connecting Phase = "connecting" // until the subscriptions stand
	Up         Phase = "up"
	Ending     Phase = "ending"  // what belonged to the connection settles
	Waiting    Phase = "waiting" // for the next attempt
)

// State is the link at one moment.
type State struct {
	Phase   Phase
	Since   time.Time     // of the phase
	Wait    time.Duration // while waiting: from Since to the next attempt
	Failure *Failure      // why the last connection or attempt ended; nil when none has
	Resumed bool          // while up: the broker still had our session

	BytesIn, BytesOut uint64 // on the wire, TLS included
	Attempts          uint64 // to connect
	Connections       uint64 // of them that came up
	Published         uint64 // messages taken to be sent
	Acknowledged      uint64 // of them
	Unacknowledged    uint64 // of them: the connection ended first
	OnTheWay          int    // of them: neither
	Received          uint64 // messages handed to Handle
	Confirmed         uint64 // of them acknowledged by it
	Overflowed        uint64 // messages there was no room for
	Strayed           uint64 // acknowledgements of what was not sent
}

// State returns the link as it is.
func (s *Session) State() State {
	s.mu.Lock()
	state := s.state
	s.mu.Unlock()
	state.BytesIn, state.BytesOut = s.counts.bytesIn.Load(), s.counts.bytesOut.Load()
	state.Attempts, state.Connections = s.counts.attempts.Load(), s.counts.connections.Load()
	// What is finished is read before what began, so the difference is never below
	// nothing.
	state.Acknowledged, state.Unacknowledged = s.counts.acknowledged.Load(), s.counts.unacknowledged.Load()
	state.Published = s.counts.published.Load()
	state.OnTheWay = int(state.Published - state.Acknowledged - state.Unacknowledged)
	state.Confirmed = s.counts.confirmed.Load()
	state.Received = s.counts.received.Load()
	state.Overflowed, state.Strayed = s.counts.overflowed.Load(), s.counts.strayed.Load()
	return state
}

// Changed returns a channel that is closed when the phase changes next. Take it,
// then State, then wait: so no change is missed.
func (s *Session) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// enter begins a phase.
func (s *Session) enter(phase Phase, alter func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Phase, s.state.Since, s.state.Wait, s.state.Resumed = phase, time.Now(), 0, false
	if alter != nil {
		alter(&s.state)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}
