package edge

import (
	"fmt"
	"time"
)

// Outcome is how a task ended. Every submitted task gets exactly one.
type Outcome uint8

// The outcomes. Their counts always add up to what was submitted.
const (
	// Completed: answered by its deadline.
	Completed Outcome = iota
	// Missed: accepted, not answered by its deadline, and its caller told at the
	// deadline.
	Missed
	// Refused: not accepted; the caller was told at once.
	Refused
	// Evicted: accepted, then revoked while it waited or was suspended, and told at that
	// moment: it gave way to others, too little time was left for it, or it is not served or
	// allowed any more. A firm task, and urgent ones are unless a policy says otherwise, never
	// gives way.
	Evicted
	// Cancelled: given up by its caller.
	Cancelled
	// Failed: the model answered with an error, or could not answer.
	Failed
)

// Outcomes lists every outcome.
var Outcomes = [...]Outcome{Completed, Missed, Refused, Evicted, Cancelled, Failed}

var outcomeNames = [...]string{
	Completed: "completed", Missed: "missed", Refused: "refused",
	Evicted: "evicted", Cancelled: "cancelled", Failed: "failed",
}

// String names the outcome as people and messages write it.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprintf("outcome(%d)", uint8(o))
}

// MarshalText writes the outcome by name.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the outcome by name.
func (o *Outcome) UnmarshalText(text []byte) error {
	for i, name := range outcomeNames {
		if string(text) == name {
			*o = Outcome(i)
			return nil
		}
	}
	return fmt.Errorf("unknown outcome %q", text)
}

// Settlement is the end of one task: what became of it, how long each part
// took, and the answer when there is one.
type Settlement struct {
	Task    Task
	Outcome Outcome
	Slot    Slot  // it ran in last
	Err     error // nil only when Completed; a *Refusal when Refused or Evicted
	Answer  Answer
	At      time.Time // when it settled, monotonic

	Queue    time.Duration // from arrival to start; to settlement when it never started
	Compute  time.Duration // from start to answer; 0 when it never started
	Estimate time.Duration // what the plan counted with when it was admitted

	// Of what is Completed: why the answer came by Answer.Route, where the model has a route, and
	// why by Answer.Model, where that is not the task's.
	RouteWhy   Why
	VariantWhy Why
}

// Variant is the model that answered, when it is not the one that was asked for.
func (s Settlement) Variant() string {
	if s.Answer.Model == s.Task.Model {
		return ""
	}
	return s.Answer.Model
}

// Slack is what was left to the deadline when the task settled, negative when it
// had passed; without a deadline it is 0.
func (s Settlement) Slack() time.Duration {
	if !s.Task.HasDeadline() {
		return 0
	}
	return s.Task.Deadline.Sub(s.At)
}
