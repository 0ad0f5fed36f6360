package edge

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// JSONBounds limit a document that comes from outside.
type JSONBounds struct {
	Size  int // bytes
	Depth int // objects and arrays inside each other
}

// JSONReason is why a text is not accepted as JSON.
type JSONReason string

// The reasons. All but JSONSyntax and JSONTrailing refuse what most readers of JSON
// would take, each in its own way.
const (
	JSONTooLarge  JSONReason = "too_large"
	JSONTooDeep   JSONReason = "too_deep"
	JSONDuplicate JSONReason = "duplicate_key" // also of keys that differ in case only
	JSONNumber    JSONReason = "bad_number"    // beyond ±(2⁵³−1), where readers begin to round
	JSONEncoding  JSONReason = "bad_encoding"  // not UTF-8, or half of a surrogate pair
	JSONTrailing  JSONReason = "trailing_data"
	JSONSyntax    JSONReason = "bad_syntax"
)

// JSONError tells where a text stops being acceptable.
type JSONError struct {
	Reason JSONReason
	Offset int // bytes before it
	Detail string
}

// Error says what and where.
func (e *JSONError) Error() string { return fmt.Sprintf("%s at byte %d", e.Detail, e.Offset) }

// Unwrap makes every one ErrInvalid.
func (e *JSONError) Unwrap() error { return ErrInvalid }

const (
	// maxSafeInteger is the largest whole number every reader of JSON keeps exact.
	maxSafeInteger = 1<<53 - 1
	// maxNumberText is longer than any number a program writes (24 bytes).
	maxNumberText = 32
)

// CheckJSON tells whether text is one JSON value that every reader takes for the
// same: within the bounds, without duplicate keys, numbers nobody can hold or
// broken text. It reads the text once and calls nothing deeper than the bounds.
func CheckJSON(text []byte, bounds JSONBounds) error {
	if len(text) > bounds.Size {
		return &JSONError{JSONTooLarge, bounds.Size, fmt.Sprintf("%d bytes, %d are allowed", len(text), bounds.Size)}
	}
	for at := 0; at < len(text); {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return &JSONError{JSONEncoding, at, "not UTF-8"}
		}
		at += size
	}
	s := strict{text: text, left: bounds.Depth}
	if err := s.value(); err != nil {
		return err
	}
	if s.space(); s.pos < len(text) {
		return s.fail(JSONTrailing, "data after the document")
	}
	return nil
}

// strict is one pass over a text.
type strict struct {
	text []byte
	pos  int
	left int // levels that may still be opened
}

func (s *strict) fail(reason JSONReason, detail string) error {
	return &JSONError{reason, s.pos, detail}
}

// peek is the next byte, 0 at the end (where 0 is no JSON either).
func (s *strict) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *strict) space() {
	for s.pos < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.pos]) >= 0 {
		s.pos++
	}
}

func (s *strict) value() error {
	s.space()
	switch c := s.peek(); {
	case c == '{':
		return s.object()
	case c == '[':
		return s.array()
	case c == '"':
		_, err := s.quoted()
		return err
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(string(s.text[s.pos:min(len(s.text), s.pos+len(word))]), word) {
			s.pos += len(word)
			return nil
		}
	}
	return s.fail(JSONSyntax, "a value is missing")
}

// items passes what stands between an opening and a closing bracket.
func (s *strict) items(closing byte, item func() error) error {
	if s.left--; s.left < 0 {
		return s.fail(JSONTooDeep, "too many levels")
	}
	defer func() { s.left++ }()
	s.pos++
	if s.space(); s.peek() == closing {
		s.pos++
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.pos++
		case closing:
			s.pos++
			return nil
		default:
			return s.fail(JSONSyntax, "a comma or "+strconv.QuoteRune(rune(closing))+" is missing")
		}
	}
}

func (s *strict) array() error { return s.items(']', s.value) }

func (s *strict) object() error {
	seen := map[string]struct{}{}
	return s.items('}', func() error {
		s.space()
		at := s.pos
		name, err := s.quoted()
		if err != nil {
			return err
		}
		folded := fold(name)
		if _, twice := seen[folded]; twice {
			s.pos = at
			return s.fail(JSONDuplicate, "the key "+quoteShort(name)+" stands twice")
		}
		seen[folded] = struct{}{}
		if s.space(); s.peek() != ':' {
			return s.fail(JSONSyntax, "a colon is missing")
		}
		s.pos++
		return s.value()
	})
}
