package edge

import (
	"errors"
	"fmt"
	"time"
)

// Reason is why a task was refused or evicted, in a form programs can branch on.
type Reason string

// The reasons.
const (
	// ReasonDeadlineUnreachable: planned among the others it could not end by its deadline, or, for
	// an accepted task, it gave way so that others can.
	ReasonDeadlineUnreachable Reason = "deadline_unreachable"
	// ReasonDeadlinePassed: the deadline lay in the past on arrival.
	ReasonDeadlinePassed Reason = "deadline_passed"
	// ReasonQueueFull: the class already has as many tasks waiting as it may.
	ReasonQueueFull Reason = "queue_full"
	// ReasonUnknownModel: no workload of the node serves the model.
	ReasonUnknownModel Reason = "unknown_model"
	// ReasonModelNotReady: a workload serves the model, and no instance of it is ready.
	ReasonModelNotReady Reason = "model_not_ready"
	// ReasonHopeless: accepted, and then more pressing tasks, or some that took longer than
	// foreseen, were ahead of it, until it could no longer end by its deadline.
	ReasonHopeless Reason = "hopeless"
	// ReasonDenied: the policy does not allow it.
	ReasonDenied Reason = "denied"
	// ReasonOverQuota: the tenant has submitted more than its rate and burst allow.
	ReasonOverQuota Reason = "over_quota"
	// ReasonDraining: the node takes no new tasks.
	ReasonDraining Reason = "draining"
)

// Refusal is a typed no, given while there is still time to do something else.
type Refusal struct {
	Reason Reason
	Detail string // for people: what stood in the way
	// Earliest is the shortest relative deadline that would have been accepted
	// at that moment; for an evicted task, if it were asked for again. 0 when no deadline
	// would have helped or it is not known.
	Earliest time.Duration
	// RetryAfter is when asking again may help; 0 when it is not known.
	RetryAfter time.Duration
}

// Error says the reason, the detail and what would have been accepted.
func (r *Refusal) Error() string {
	text := string(r.Reason)
	if r.Detail != "" {
		text += ": " + r.Detail
	}
	if r.Earliest > 0 {
		text += fmt.Sprintf(" (a deadline of %v would have been accepted)", r.Earliest.Round(time.Millisecond/10))
	}
	return text
}

// AsRefusal finds the refusal in an error chain.
func AsRefusal(err error) (*Refusal, bool) {
	var refusal *Refusal
	ok := errors.As(err, &refusal)
	return refusal, ok
}
