package mqtt

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"holdfast/edge"
)

// EnvelopeVersion is the version of the envelope we write, and the only one we read.
const EnvelopeVersion = 1

// Bounds of an envelope. The body has what DefaultFrame leaves.
const (
	MaxEnvelope   = DefaultFrame - MaxTopic - frameHead
	envelopeDepth = 16 // envelope and body; what we write has 6
	epochSize     = 16 // hexadecimal digits, 64 bits
	maxCount      = 1<<53 - 1
)

// TimeQuality is what the time in an envelope is worth.
type TimeQuality string

// The qualities, best last.
const (
	TimeNone   TimeQuality = "none"   // no time is given
	TimeFloor  TimeQuality = "floor"  // not before this
	TimeNTP    TimeQuality = "ntp"    // the wall clock, which says it is synchronised
	TimeSigned TimeQuality = "signed" // measured on from a time the fleet has signed
)

// Durability is how an entry was kept until it was acknowledged.
type Durability string

// The classes of durability.
const (
	MemoryOnly  Durability = "D0"
	MemoryFirst Durability = "D1" // on flash if not acknowledged within seconds
	Committed   Durability = "D2" // on flash before anybody was told
)

// Envelope is what a node says, with who, when and what. (Node, Epoch, Seq) is unique.
type Envelope struct {
	Version     int             `json:"v"`
	Node        string          `json:"node"`
	Epoch       string          `json:"epoch"` // random, drawn with the store: 16 hexadecimal digits
	Seq         uint64          `json:"seq"`   // from 1, without holes but those a gap record names
	Boot        string          `json:"boot"`  // the machine's boot, within which MonoMs counts
	MonoMs      int64           `json:"monoMs"`
	Time        *time.Time      `json:"time,omitempty"`
	TimeQuality TimeQuality     `json:"timeQuality"`
	Class       Durability      `json:"class"`
	Historical  bool            `json:"historical"` // it was kept through a time without link
	Type        string          `json:"type"`
	Body        json.RawMessage `json:"body"` // an object
}

// Encode writes the envelope, in the canonical form.
func (u Envelope) Encode() ([]byte, error) {
	if err := u.check(); err != nil {
		return nil, fmt.Errorf("cannot encode envelope: %w", err)
	}
	body, err := edge.CanonicalJSON(u.Body)
	if err != nil {
		return nil, err
	}
	text, err := u.appendTo(make([]byte, 0, len(body)+besidesBody), body)
	if err != nil {
		return nil, err
	}
	if err := edge.CheckJSON(text, edge.JSONBounds{Size: MaxEnvelope, Depth: envelopeDepth}); err != nil {
		return nil, fmt.Errorf("cannot encode envelope: %w", err)
	}
	return text, nil
}

// besidesBody is what an envelope mostly needs for all but its body.
const besidesBody = 320

// appendTo writes the fields in the order of the canonical form, by hand: a node that was
// cut off has a hundred thousand to write. What is written as text here was checked to be
// a name, a word of ours or hexadecimal digits, none of which JSON would write otherwise.
func (u *Envelope) appendTo(text, body []byte) ([]byte, error) {
	word := func(field, value string) {
		text = append(append(append(append(append(text, `,"`...), field...), `":"`...), value...), '"')
	}
	number := func(field string, value uint64) {
		text = strconv.AppendUint(append(append(append(text, `,"`...), field...), `":`...), value, 10)
	}
	text = append(append(text, `{"body":`...), body...)
	word("boot", u.Boot)
	word("class", string(u.Class))
	word("epoch", u.Epoch)
	text = strconv.AppendBool(append(text, `,"historical":`...), u.Historical)
	number("monoMs", uint64(u.MonoMs)) // not negative
	word("node", u.Node)
	number("seq", u.Seq)
	if u.Time != nil {
		at, err := u.Time.MarshalText()
		if err != nil {
			return nil, fmt.Errorf("cannot encode envelope: %w: %w", edge.ErrInvalid, err)
		}
		word("time", string(at))
	}
	word("timeQuality", string(u.TimeQuality))
	word("type", u.Type)
	number("v", uint64(u.Version))
	return append(text, '}'), nil
}

// DecodeEnvelope reads an envelope. Fields it does not know are passed over; a version it
// does not know is refused, whatever else is in it.
func DecodeEnvelope(text []byte) (Envelope, error) {
	bounds := edge.JSONBounds{Size: MaxEnvelope, Depth: envelopeDepth}
	var u Envelope
	_, err := edge.DecodeJSON(text, bounds, &u)
	if err != nil {
		err = otherVersion(text, bounds, err)
	} else {
		err = u.check()
	}
	if err != nil {
		return Envelope{}, fmt.Errorf("cannot read envelope: %w", err)
	}
	return u, nil
}

// otherVersion is the likely reason for an envelope not to be read, else the one there is.
func otherVersion(text []byte, bounds edge.JSONBounds, other error) error {
	var version struct {
		Version int `json:"v"`
	}
	if _, err := edge.DecodeJSON(text, bounds, &version); err != nil || version.Version == EnvelopeVersion {
		return other
	}
	return (&Envelope{Version: version.Version}).check()
}

// check holds an envelope against its description, both ways.
func (u *Envelope) check() error {
	problem := func(field, detail string) error { return &edge.FieldProblem{Field: field, Detail: detail} }
	switch {
	case u.Version != EnvelopeVersion:
		return fmt.Errorf("version %d, we know %d: %w", u.Version, EnvelopeVersion, edge.ErrInvalid)
	case !IsNode(u.Node):
		return problem("node", "is no name of a node")
	case !isEpoch(u.Epoch):
		return problem("epoch", "must be 16 hexadecimal digits")
	case u.Seq == 0 || u.Seq > maxCount:
		return problem("seq", "must be from 1 to 2⁵³−1")
	case !edge.IsName(u.Boot):
		return problem("boot", "is no name of a boot")
	case u.MonoMs < 0 || u.MonoMs > maxCount:
		return problem("monoMs", "must be from 0 to 2⁵³−1")
	case !edge.IsName(u.Type):
		return problem("type", "is no name of a type")
	case len(u.Body) == 0 || u.Body[0] != '{':
		return problem("body", "must be an object")
	}
	return u.checkWords()
}

func (u *Envelope) checkWords() error {
	switch u.TimeQuality {
	case TimeNone, TimeFloor, TimeNTP, TimeSigned:
	default:
		return &edge.FieldProblem{Field: "timeQuality", Detail: "must be none, floor, ntp or signed"}
	}
	if (u.Time == nil) != (u.TimeQuality == TimeNone) {
		return &edge.FieldProblem{Field: "time", Detail: "must be there, unless its quality is none"}
	}
	switch u.Class {
	case MemoryOnly, MemoryFirst, Committed:
		return nil
	}
	return &edge.FieldProblem{Field: "class", Detail: "must be D0, D1 or D2"}
}

func isEpoch(text string) bool {
	if len(text) != epochSize {
		return false
	}
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
