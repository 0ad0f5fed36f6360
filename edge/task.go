package edge

import "time"

// Task is one inference request with a deadline. Arrived and Deadline are taken
// from the monotonic clock at the door, at the first byte of the request, so no
// step of the wall clock moves them.
type Task struct {
	ID      string
	Model   string
	Version string // wanted model version; empty takes what is served
	Class   Class
	Tenant  string

	Arrived  time.Time
	Deadline time.Time // zero: none

	Input Payload
}

// HasDeadline tells whether the task is bound to an instant at all.
func (t Task) HasDeadline() bool { return !t.Deadline.IsZero() }

// Slack is the time left before the deadline at now; without a deadline it is
// the longest duration there is.
func (t Task) Slack(now time.Time) time.Duration {
	if !t.HasDeadline() {
		return time.Duration(1<<63 - 1)
	}
	return t.Deadline.Sub(now)
}

// Payload is the body of an inference request or answer exactly as it travels:
// JSON, and after HeaderLength bytes raw tensor data when the binary extension
// is used.
type Payload struct {
	Body []byte
	// HeaderLength is the length of the JSON part in bytes; 0 means that all of
	// Body is JSON.
	HeaderLength int
}

// Answer is what a model instance gave back for one task.
type Answer struct {
	Payload  Payload
	Model    string // the model that really answered; differs from the task's when a variant did
	Version  string
	Instance string
	Route    string // local, upstream
}
