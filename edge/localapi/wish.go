package localapi

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// The headers that ask for what parameters.timeout and priority ask for, and for
// what they cannot.
const (
	HeaderDeadline = oip.HeaderDeadline // a duration: 80ms
	HeaderClass    = oip.HeaderClass    // urgent, normal or batch
	HeaderTenant   = "X-Holdfast-Tenant"
	HeaderTask     = "X-Holdfast-Task"    // in answers: the task's id on this node
	HeaderOutcome  = "X-Holdfast-Outcome" // in answers: what became of a task that was sound
	HeaderNode     = "X-Holdfast-Node"    // in answers: who answered
)

// maxDeadline is the longest deadline a task may name. What may take longer than
// a day wants no deadline but somebody who looks after it.
const maxDeadline = 24 * time.Hour

// maxTenant bounds a tenant's name, in bytes.
const maxTenant = 64

// wish is what a request asks of its scheduling.
type wish struct {
	deadline    time.Duration
	class       edge.Class
	tenant      string
	hasDeadline bool
	hasClass    bool
}

// headerWish reads the headers, before there is a body.
func headerWish(h http.Header) (wish, error) {
	var asked wish
	if text := h.Get(HeaderDeadline); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			return asked, field(HeaderDeadline, "must be a duration such as 80ms or 2s, not %.40q", text)
		}
		asked.deadline, asked.hasDeadline = d, true
	}
	if text := h.Get(HeaderClass); text != "" {
		class, err := edge.ParseClass(text)
		if err != nil {
			return asked, field(HeaderClass, "must be urgent, normal or batch, not %.40q", text)
		}
		asked.class, asked.hasClass = class, true
	}
	asked.tenant = h.Get(HeaderTenant)
	if !soundTenant(asked.tenant) {
		return asked, field(HeaderTenant, "must be at most %d letters, digits, dots, dashes and underscores", maxTenant)
	}
	return asked, nil
}

// traceOf reads what the task is part of. Two of them are none, as the W3C wants it.
func traceOf(h http.Header) edge.Trace {
	parents := h[oip.HeaderTrace]
	if len(parents) != 1 {
		return edge.Trace{}
	}
	trace, _ := edge.ParseTrace(parents[0], strings.Join(h[oip.HeaderTraceState], ","))
	return trace
}

// merge adds what the body's parameters ask for. Both may say the same; when they
// differ one of them is a mistake.
func (asked *wish) merge(p oip.Parameters) error {
	timeout, given, err := p.Timeout()
	switch {
	case err != nil:
		return err
	case given && asked.hasDeadline && timeout != asked.deadline:
		return field("parameters.timeout", "is %v, but header %s says %v", timeout, HeaderDeadline, asked.deadline)
	case given:
		asked.deadline, asked.hasDeadline = timeout, true
	}
	class, given, err := p.Class()
	switch {
	case err != nil:
		return err
	case given && asked.hasClass && class != asked.class:
		return field("parameters.priority", "is %s, but header %s says %s", class, HeaderClass, asked.class)
	case given:
		asked.class, asked.hasClass = class, true
	}
	return nil
}

// apply gives the task its class and its deadline. A negative deadline passes:
// it lies in the past, and the scheduler says so and counts it.
func (asked *wish) apply(t *edge.Task, source string, defaults func(edge.Class) time.Duration) error {
	t.Class, t.Tenant = edge.Normal, asked.tenant
	if asked.hasClass {
		t.Class = asked.class
	}
	d := defaults(t.Class)
	if asked.hasDeadline {
		if asked.deadline == 0 {
			return field(source, "must be positive; leave it out for the default of class %s, %v", t.Class, d)
		}
		d = asked.deadline
	}
	if d > maxDeadline {
		return field(source, "is %v, but a deadline may be at most %v", d, maxDeadline)
	}
	if d != 0 {
		t.Deadline = t.Arrived.Add(d)
	}
	return nil
}

func soundTenant(name string) bool {
	for _, b := range []byte(name) {
		switch {
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b >= '0' && b <= '9', b == '.', b == '-', b == '_':
		default:
			return false
		}
	}
	return len(name) <= maxTenant
}

func field(name, format string, args ...any) error {
	return &oip.FieldError{Field: name, Problem: fmt.Sprintf(format, args...)}
}
