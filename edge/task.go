package edge

import (
	"fmt"
	"strconv"
	"time"
)

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

	Trace Trace // it belongs to

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

// Slot is one of those in which the node runs tasks, as many at once. The zero value is none;
// written, they are numbered from 0.
type Slot int32

// SlotAt is the slot of that number.
func SlotAt(number int) Slot { return Slot(number + 1) }

// Number is the slot's number; false for none.
func (s Slot) Number() (n int, is bool) { return int(s) - 1, s > 0 }

// MarshalJSON writes the number; null for none.
func (s Slot) MarshalJSON() ([]byte, error) {
	if s <= 0 {
		return []byte("null"), nil
	}
	return strconv.AppendInt(nil, int64(s)-1, 10), nil
}

// UnmarshalJSON reads the number.
func (s *Slot) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*s = 0
		return nil
	}
	n, err := strconv.ParseUint(string(text), 10, 30)
	if err != nil {
		return fmt.Errorf("slot %.20q is no number: %w", text, ErrInvalid)
	}
	*s = SlotAt(int(n))
	return nil
}
