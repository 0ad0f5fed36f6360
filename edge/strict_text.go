package edge

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode"
)

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
