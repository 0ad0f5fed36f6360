package agent

import (
	"context"
	"errors"

	"holdfast/edge"
	"holdfast/edge/slots"
)

// outcome takes into the report what became of the kept pursuit, if it has come to an end.
func (u *updater) outcome(state slots.State) {
	p := u.pursued()
	if p.Release == "" {
		return
	}
	last := edge.AgentOutcome{Version: p.Binary.Version}
	bad, is := state.Badly(p.Binary.Digest)
	switch {
	case is:
		last.Result, last.Why = edge.AgentLeft, bad.Reason
	case state.Slot(u.started.Slot).Digest == p.Binary.Digest && !state.OnTrial():
		last.Result = edge.AgentKept
	default:
		return // it is on trial, or another factory's program has taken its place
	}
	u.set(func(r *edge.AgentReport) { r.Last = last })
}

// ended takes an update into the report that came to no trial. One that was given up by who
// wanted it, or by the agent's own end, has no outcome.
func (u *updater) ended(ctx context.Context, version string, err error) {
	if ctx.Err() != nil {
		return
	}
	last := edge.AgentOutcome{Version: version, Result: edge.AgentRefused, Why: err.Error()}
	if errors.Is(err, edge.ErrUnavailable) {
		last.Result = edge.AgentAwaited
	}
	u.set(func(r *edge.AgentReport) { r.Last = last })
}
