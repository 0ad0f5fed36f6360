package mqtt

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"holdfast/edge"
)

// What Publish and Send may answer besides nil.
var (
	// ErrDown: there is no connection now, and the message was not sent. What must
	// not be lost belongs in an outbox, which goes on when OnUp says so.
	ErrDown = fmt.Errorf("link is down: %w", edge.ErrUnavailable)
	// ErrUnacknowledged: the connection ended first. The broker may have the message
	// or not; sending it again may make it arrive twice.
	ErrUnacknowledged = fmt.Errorf("not acknowledged by broker: %w", edge.ErrUnavailable)
)

// Message is what is published, always with QoS 1.
type Message struct {
	Topic    string
	Payload  []byte // not to be changed until the message has settled
	Retained bool
}

// Delivery is a message from the broker.
type Delivery struct {
	Topic     string
	Payload   []byte
	Retained  bool // from the broker's memory, not sent just now
	Duplicate bool // the broker has sent it before
	// ID is the packet id, 0 with QoS 0. A broker that sends a message again uses the
	// same one.
	ID uint16
	// Arrived is when the message had come whole, before it waited for Handle.
	Arrived time.Time
	// Oversize is how many bytes the packet had, when it was larger than MaxFrame: there
	// is no Payload then. Otherwise it is 0.
	Oversize int
	// Ack tells the broker that the message is done with. Without it the broker sends
	// the message again on a later connection. Any goroutine may call it, at any time;
	// after the connection has ended it does nothing. It does not keep the message in
	// memory.
	Ack func()
}

// check refuses what a broker would end the connection for.
func (m *Message) check(frame int) error {
	if !isTopic(m.Topic) {
		return fmt.Errorf("cannot publish to %.80q: not a topic: %w", m.Topic, edge.ErrInvalid)
	}
	if size := frameHead + len(m.Topic) + len(m.Payload); size > frame {
		return fmt.Errorf("cannot publish to %q: %d bytes, %d are allowed: %w", m.Topic, size, frame, edge.ErrInvalid)
	}
	return nil
}

// isTopic tells whether text may stand in a PUBLISH.
func isTopic(text string) bool {
	return text != "" && len(text) <= MaxTopic && utf8.ValidString(text) && !strings.ContainsAny(text, "+#\x00")
}

// IsFilter tells whether text may stand in a SUBSCRIBE: whole levels only are
// wild, and # only at the end.
func IsFilter(text string) bool {
	if text == "" || len(text) > MaxTopic || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return false
	}
	levels := strings.Split(text, "/")
	for i, level := range levels {
		wild := strings.ContainsAny(level, "+#")
		if wild && (len(level) != 1 || level == "#" && i != len(levels)-1) {
			return false
		}
	}
	return true
}

// Cause is why there is no connection.
type Cause string

// The causes. Those of the second group ask for a person, so the next attempt waits
// longer.
const (
	Unreachable    Cause = "unreachable"    // nobody answers, or the broker says it is not available
	Lost           Cause = "lost"           // the connection ended
	Silent         Cause = "silent"         // the connection stands and nobody is there
	Unacknowledged Cause = "unacknowledged" // the broker is there and acknowledges nothing
	Protocol       Cause = "protocol"       // the broker sent what no broker may send
	Crowded        Cause = "crowded"        // more came than could be taken; the rest is fetched by connecting anew

	Refused     Cause = "refused"       // user, password, certificate, client id or a subscription
	Untrusted   Cause = "untrusted"     // the broker's certificate is not signed by whom we trust, or names another
	Expired     Cause = "expired"       // a certificate, theirs or ours
	NotYetValid Cause = "not_yet_valid" // a certificate, or our clock is wrong
	Unprepared  Cause = "unprepared"    // our certificate, credentials or will cannot be used
)

// Failure is why a connection ended, or never was.
type Failure struct {
	Cause Cause
	Err   error
}

// Error says what and why.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap makes every failure edge.ErrUnavailable: the link tries again in any case.
func (f *Failure) Unwrap() []error { return []error{f.Err, edge.ErrUnavailable} }

// needsPerson tells whether trying again soon is of no use.
func (f *Failure) needsPerson() bool {
	switch f.Cause {
	case Refused, Untrusted, Expired, NotYetValid, Unprepared:
		return true
	}
	return false
}

// remedies are what a person can do about a cause.
var remedies = map[Cause]string{
	Refused:     "compare user, password, certificate and client id with what the broker knows, and its access rules with our topics",
	Untrusted:   "name the authority that signs the broker's certificate, and the name the certificate bears",
	Expired:     "renew the certificate; it is read anew for the next attempt",
	NotYetValid: "is the clock right? It is corrected by time from the network, or by a signed time from the fleet",
	Unprepared:  "check that the files exist, can be read, and belong together",
}

// withRemedy puts the remedy beside the error.
func (f *Failure) withRemedy() *Failure {
	if remedy := remedies[f.Cause]; remedy != "" {
		f.Err = edge.WithHint(f.Err, remedy)
	}
	return f
}

func failure(cause Cause, format string, args ...any) *Failure {
	return &Failure{cause, fmt.Errorf(format, args...)}
}

// asFailure finds the failure in an error, or makes the error one.
func asFailure(err error, otherwise Cause) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{otherwise, err}
}
