package oip

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// cursor walks JSON text once from front to back, checking its syntax as it
// goes, and knows the path of what it stands at. A tensor's data may be a hundred
// thousand numbers, so nothing is decoded that nobody asked for.
type cursor struct {
	src   []byte
	pos   int
	depth int
	path  []step

	leastDim int64 // an answer may have found nothing, a request must hold something
}

// step is one part of a path: a key, or an index where key is nil.
type step struct {
	key   []byte
	index int
}

// fail describes a problem at the cursor's path.
func (c *cursor) fail(format string, args ...any) error {
	return fieldErrorf(c.field(), format, args...)
}

func (c *cursor) field() string {
	var b []byte
	for i, s := range c.path {
		switch {
		case s.key == nil:
			b = append(b, '[')
			b = strconv.AppendInt(b, int64(s.index), 10)
			b = append(b, ']')
		case i > 0:
			b = append(append(b, '.'), s.key...)
		default:
			b = append(b, s.key...)
		}
	}
	return string(bytes.ToValidUTF8(b, []byte("�")))
}

// unexpected reports text that is not JSON here.
func (c *cursor) unexpected(want string) error {
	if c.pos >= len(c.src) {
		return c.fail("not JSON: it ends where %s should be", want)
	}
	return c.fail("not JSON: %q at byte %d where %s should be", rune(c.src[c.pos]), c.pos, want)
}

// peek returns the next byte that is not white space, 0 at the end. A zero byte
// in the text is no start of anything either.
func (c *cursor) peek() byte {
	for ; c.pos < len(c.src); c.pos++ {
		switch b := c.src[c.pos]; b {
		case ' ', '\n', '\r', '\t':
		default:
			return b
		}
	}
	return 0
}

// end holds when nothing but white space is left.
func (c *cursor) end() error {
	c.peek()
	if c.pos < len(c.src) {
		return c.unexpected("the end")
	}
	return nil
}

// open steps into an object or array.
func (c *cursor) open(bracket byte, what string) error {
	if b := c.peek(); b != bracket {
		if c.startsValue(b) {
			return c.fail("must be %s", what)
		}
		return c.unexpected(what)
	}
	if c.depth++; c.depth > maxDepth {
		return c.fail("is nested deeper than %d levels", maxDepth)
	}
	c.pos++
	return nil
}

func (c *cursor) startsValue(b byte) bool {
	return bytes.IndexByte([]byte(`{["-0123456789tfn`), b) >= 0 && b != 0
}

// more moves to the next element before the closing bracket; false means the
// bracket was met and passed.
func (c *cursor) more(closing byte, first bool) (bool, error) {
	switch b := c.peek(); {
	case b == closing:
		c.pos++
		c.depth--
		return false, nil
	case first:
		return true, nil
	case b != ',':
		return false, c.unexpected("a comma or " + strconv.QuoteRune(rune(closing)))
	}
	c.pos++
	if c.peek() == closing {
		return false, c.unexpected("another element")
	}
	return true, nil
}

// object calls member at each value of the object; member must read the value.
func (c *cursor) object(member func(key []byte) error) error {
	if err := c.open('{', "an object"); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := c.more('}', first)
		if err != nil || !more {
			return err
		}
		key, err := c.key()
		if err != nil {
			return err
		}
		c.path = append(c.path, step{key: key})
		if err := member(key); err != nil {
			return err
		}
		c.path = c.path[:len(c.path)-1]
	}
}

// key reads a member's name and the colon behind it.
func (c *cursor) key() ([]byte, error) {
	c.peek()
	raw, escaped, err := c.quoted()
	if err != nil {
		return nil, err
	}
	if escaped {
		raw = []byte(unescape(raw))
	}
	if c.peek() != ':' {
		return nil, c.unexpected("a colon")
	}
	c.pos++
	return raw, nil
}

// array calls element at each value of the array, of which there may be at most
// limit; element must read the value.
func (c *cursor) array(limit int, element func(i int) error) error {
	if err := c.open('[', "an array"); err != nil {
		return err
	}
	for i := 0; ; i++ {
		more, err := c.more(']', i == 0)
		if err != nil || !more {
			return err
		}
		if i == limit {
			return c.fail("has more than %d entries", limit)
		}
		c.path = append(c.path, step{index: i})
		if err := element(i); err != nil {
			return err
		}
		c.path = c.path[:len(c.path)-1]
	}
}

// text reads a string value.
func (c *cursor) text() (string, error) {
	if b := c.peek(); b != '"' {
		if c.startsValue(b) {
			return "", c.fail("must be a string")
		}
		return "", c.unexpected("a string")
	}
	raw, escaped, err := c.quoted()
	switch {
	case err != nil:
		return "", err
	case !utf8.Valid(raw):
		return "", c.fail("is not UTF-8")
	case escaped:
		return unescape(raw), nil
	}
	return string(raw), nil
}

// integer reads a whole number.
func (c *cursor) integer() (int64, error) {
	b := c.peek()
	if b != '-' && (b < '0' || b > '9') {
		if c.startsValue(b) {
			return 0, c.fail("must be a whole number")
		}
		return 0, c.unexpected("a number")
	}
	start := c.pos
	if err := c.number(); err != nil {
		return 0, err
	}
	return c.whole(c.src[start:c.pos])
}

func (c *cursor) whole(digits []byte) (int64, error) {
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, c.fail("is out of range")
	}
	if err != nil {
		return 0, c.fail("must be a whole number")
	}
	return n, nil
}

// null passes a null and tells whether there was one.
func (c *cursor) null() (bool, error) {
	if c.peek() != 'n' {
		return false, nil
	}
	return true, c.literal("null")
}

// unescape decodes the inside of a string whose escapes were found well formed.
func unescape(raw []byte) string {
	var s string
	quoted := fmt.Appendf(nil, "\"%s\"", raw)
	if err := json.Unmarshal(quoted, &s); err != nil {
		return string(raw) // cannot be: quoted() has checked it
	}
	return s
}
