package edge

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// TraceID names all that is done, wherever, for one thing somebody wanted.
type TraceID [16]byte

// SpanID names one piece of work of a trace.
type SpanID [8]byte

// IsZero tells that it names none.
func (id TraceID) IsZero() bool { return id == TraceID{} }

// String writes 32 hexadecimal digits; nothing of none.
func (id TraceID) String() string {
	if id.IsZero() {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// MarshalText writes it as String does.
func (id TraceID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads 32 hexadecimal digits, or nothing.
func (id *TraceID) UnmarshalText(text []byte) error {
	*id = TraceID{}
	if len(text) > 0 && (len(text) != 2*len(id) || !unhex(id[:], string(text))) {
		return fmt.Errorf("trace %s is not 32 lower-case hexadecimal digits: %w", quoteShort(string(text)), ErrInvalid)
	}
	return nil
}

// String writes 16 hexadecimal digits.
func (id SpanID) String() string { return hex.EncodeToString(id[:]) }

// Trace is where a task belongs in what its caller does, by the W3C's Trace Context. The zero
// value belongs nowhere yet.
type Trace struct {
	ID      TraceID
	Parent  SpanID // of the caller's work; zero: the trace was begun here
	Span    SpanID // of the node's work on the task; what it asks of others is below it
	Sampled bool
	Decided bool   // the caller has said whether it is sampled
	State   string // tracestate, as it came
}

// traceLength is that of a traceparent of version 00.
const traceLength = len("00-00000000000000000000000000000000-0000000000000000-00")

// maxTraceState bounds a tracestate, in bytes: the least that the W3C has everybody carry.
const maxTraceState = 512

// ParseTrace reads traceparent and tracestate. As the W3C wants it, a traceparent that is not
// right counts as none, and what a newer version has behind is not looked at; a tracestate
// that is not right, or too long, is left out.
func ParseTrace(parent, state string) (t Trace, found bool) {
	if len(parent) < traceLength || parent[2] != '-' || parent[35] != '-' || parent[52] != '-' {
		return Trace{}, false
	}
	var version, flags [1]byte
	sound := unhex(version[:], parent[:2]) && unhex(t.ID[:], parent[3:35]) && unhex(t.Parent[:], parent[36:52]) && unhex(flags[:], parent[53:55])
	longer := len(parent) > traceLength
	switch {
	case !sound, version[0] == 0xff, t.ID.IsZero(), t.Parent == SpanID{}:
		return Trace{}, false
	case longer && (version[0] == 0 || parent[traceLength] != '-'):
		return Trace{}, false
	}
	t.Sampled, t.Decided = flags[0]&1 != 0, true
	if isTraceState(state) {
		t.State = state
	}
	return t, true
}

// isTraceState tells whether a tracestate may travel on: members of a key and a value, of
// characters that stand in a header.
func isTraceState(state string) bool {
	if state == "" || len(state) > maxTraceState {
		return false
	}
	for member := range strings.SplitSeq(state, ",") {
		key, value, has := strings.Cut(strings.Trim(member, " \t"), "=")
		if member != "" && (!has || key == "" || strings.ContainsFunc(key+value, func(r rune) bool { return r < ' ' || r > '~' })) {
			return false
		}
	}
	return true
}

// unhex decodes lower-case digits, which are the only ones a traceparent has.
func unhex(to []byte, text string) bool {
	for i := range to {
		high, low := unhexDigit(text[2*i]), unhexDigit(text[2*i+1])
		if high > 15 || low > 15 {
			return false
		}
		to[i] = high<<4 | low
	}
	return true
}

func unhexDigit(b byte) byte {
	switch {
	case b >= '0' && b <= '9':
		return b - '0'
	case b >= 'a' && b <= 'f':
		return b - 'a' + 10
	}
	return 0xff
}

// AppendParent writes the traceparent for what is done below this node's work.
func (t Trace) AppendParent(to []byte) []byte {
	to = hex.AppendEncode(append(to, "00-"...), t.ID[:])
	to = hex.AppendEncode(append(to, '-'), t.Span[:])
	if t.Sampled {
		return append(to, "-01"...)
	}
	return append(to, "-00"...)
}

// Traceparent writes what AppendParent does.
func (t Trace) Traceparent() string { return string(t.AppendParent(make([]byte, 0, traceLength))) }
