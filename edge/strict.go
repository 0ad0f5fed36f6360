package edge

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
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

// fold makes texts equal that encoding/json takes for the same key.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

// quoted passes a string and returns what it stands for.
func (s *strict) quoted() (string, error) {
	start, escaped := s.pos, false
	if s.peek() != '"' {
		return "", s.fail(JSONSyntax, "a string is missing")
	}
	for s.pos++; ; s.pos++ {
		switch c := s.peek(); {
		case c == '"':
			s.pos++
			return unquote(s.text[start:s.pos], escaped), nil
		case c < ' ':
			return "", s.fail(JSONSyntax, "a string is not closed")
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return "", err
			}
		}
	}
}

// unquote gives the text of a string that was found well-formed.
func unquote(literal []byte, escaped bool) string {
	text := string(literal[1 : len(literal)-1])
	if escaped {
		// Nothing can be wrong with a literal that was just passed.
		_ = json.Unmarshal(literal, &text)
	}
	return text
}

// escape passes an escape but for its last byte.
func (s *strict) escape() error {
	s.pos++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		return s.unicode()
	}
	return s.fail(JSONSyntax, "an escape is not one of JSON's")
}

// unicode passes uXXXX, and a whole surrogate pair where one begins.
func (s *strict) unicode() error {
	first, ok := s.hex()
	switch {
	case !ok:
		return s.fail(JSONSyntax, "an escape lacks its four digits")
	case first < 0xD800 || first > 0xDFFF:
		return nil
	case first < 0xDC00 && strings.HasPrefix(string(s.text[s.pos+1:min(len(s.text), s.pos+3)]), `\u`):
		s.pos += 2
		if second, ok := s.hex(); ok && second >= 0xDC00 && second <= 0xDFFF {
			return nil
		}
	}
	return s.fail(JSONEncoding, "half of a surrogate pair")
}

// hex reads the four digits after the u it stands on, and stays on the last.
func (s *strict) hex() (uint64, bool) {
	if s.pos+5 > len(s.text) {
		return 0, false
	}
	for _, c := range s.text[s.pos+1 : s.pos+5] {
		if !strings.ContainsRune("0123456789abcdefABCDEF", rune(c)) {
			return 0, false
		}
	}
	value, err := strconv.ParseUint(string(s.text[s.pos+1:s.pos+5]), 16, 16)
	s.pos += 4
	return value, err == nil
}

// number passes a number and looks at its size.
func (s *strict) number() error {
	start := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	leading := s.peek() == '0'
	whole := s.digits()
	good := whole == 1 || whole > 1 && !leading
	if good && s.peek() == '.' {
		s.pos++
		good = s.digits() > 0
	}
	if good && (s.peek() == 'e' || s.peek() == 'E') {
		if s.pos++; s.peek() == '+' || s.peek() == '-' {
			s.pos++
		}
		good = s.digits() > 0
	}
	if !good {
		return s.fail(JSONSyntax, "a number is malformed")
	}
	literal := string(s.text[start:s.pos])
	value, err := strconv.ParseFloat(literal, 64)
	if len(literal) > maxNumberText || err != nil || math.Abs(value) > maxSafeInteger {
		s.pos = start
		return s.fail(JSONNumber, "the number "+quoteShort(literal)+" is too large")
	}
	return nil
}

// digits passes as many as there are and counts them.
func (s *strict) digits() int {
	start := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos - start
}

// quoteShort shows a text of any length and content on one line.
func quoteShort(text string) string {
	const shown = 60
	if len(text) > shown {
		return strconv.Quote(text[:shown]) + "…"
	}
	return strconv.Quote(text)
}
