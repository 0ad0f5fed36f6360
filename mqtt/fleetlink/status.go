package fleetlink

import (
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
)

// Status is the link at one moment.
type Status struct {
	Phase     string         `json:"phase"`
	Since     time.Time      `json:"since"`             // of the phase
	Next      *time.Time     `json:"next,omitempty"`    // while waiting: when it is tried again
	Cause     string         `json:"cause,omitempty"`   // why the last connection or attempt ended
	Failure   string         `json:"failure,omitempty"` // the same for people
	Remedy    string         `json:"remedy,omitempty"`
	Session   string         `json:"session,omitempty"` // of this connection
	Up        uint64         `json:"up"`                // connections so far
	Month     string         `json:"month"`
	Bytes     uint64         `json:"bytes"`            // of the month, on the wire, both ways
	Budget    uint64         `json:"budget,omitempty"` // of the month
	WaitsTill *time.Time     `json:"waitsTill,omitempty"`
	Confirms  bool           `json:"confirms"` // the fleet says what it keeps
	Streams   []StreamStatus `json:"streams,omitempty"`
	LinkRate  int64          `json:"linkRate,omitempty"` // bytes a second in flight, as history found it
	Drained   uint64         `json:"drained"`            // entries of history that arrived
	Freshness *time.Time     `json:"freshness,omitempty"`
	Refused   uint64         `json:"refused"` // messages that were of no use
	Crowded   uint64         `json:"crowded"` // times a policy or command was left with the broker for want of room
	Warnings  []edge.Warning `json:"warnings,omitempty"`
}

// StreamStatus is one stream at one moment.
type StreamStatus struct {
	edge.StreamReport
	Arrived  uint64 `json:"arrived"`  // acknowledged by the broker, all up to here
	InFlight int    `json:"inFlight"` // sent, not acknowledged by the broker
	Sent     uint64 `json:"sent"`     // entries, those sent again included
}

// Status tells how the link is.
func (l *Link) Status() Status {
	state, now := l.session.State(), l.now()
	used := l.budget.used(now, l.wire())
	s := Status{
		Phase: string(state.Phase), Since: state.Since, Up: state.Connections,
		Month: used.Month, Bytes: used.Bytes, Budget: l.options.Budget(),
		Confirms: l.fleetConfirms(), Freshness: l.freshness.Load(), Refused: l.refusals.sum(),
		Crowded: l.policies.overflowed() + l.commands.overflowed(), Warnings: l.Warnings(),
	}
	s.LinkRate, s.Drained = l.pace.figures()
	if until, scarce := l.scarce(); scarce {
		s.WaitsTill = &until
	}
	if state.Phase == mqtt.Waiting {
		next := state.Since.Add(state.Wait)
		s.Next = &next
	}
	if state.Failure != nil {
		s.Cause, s.Failure, s.Remedy = string(state.Failure.Cause), state.Failure.Error(), edge.HintOf(state.Failure)
	}
	if t := l.talk.Load(); t != nil {
		s.Session = t.session
	}
	for _, f := range l.flows {
		s.Streams = append(s.Streams, f.status())
	}
	return s
}

// report is what the stream says of itself, with how much there is to tell. It may read
// all of that.
func (f *flow) report() edge.StreamReport {
	report := f.stream.Report()
	if stream, counts := f.stream.(counter); counts {
		report.Waiting = stream.Waiting()
	}
	return report
}

func (f *flow) status() StreamStatus {
	report := f.report()
	f.mu.Lock()
	defer f.mu.Unlock()
	s := StreamStatus{StreamReport: report, Arrived: report.Confirmed, Sent: f.sent}
	if f.cursor.Epoch == report.Epoch {
		s.Arrived, s.InFlight = max(f.arrived, report.Confirmed), len(f.flight)
	}
	return s
}

// Changed returns a channel that is closed when the phase of the link changes next, or
// the fleet answers.
func (l *Link) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

func (l *Link) tellChanged() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}
