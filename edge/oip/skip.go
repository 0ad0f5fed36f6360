package oip

// kind is a set of JSON value kinds.
type kind uint8

const (
	kindNumber kind = 1 << iota
	kindString
	kindBool
	kindNull
	kindObject
)

// leaves counts the values inside an array, however nested, and notes their kinds.
type leaves struct {
	count int64
	kinds kind
}

func (l *leaves) add(k kind) {
	l.count++
	l.kinds |= k
}

// skip passes one value of any kind and returns its text. The leaves of arrays
// are added to seen; an object counts as one leaf.
func (c *cursor) skip(seen *leaves) ([]byte, error) {
	b := c.peek()
	start := c.pos
	var err error
	switch {
	case b == '[':
		err = c.skipArray(seen)
	case b == '{':
		seen.add(kindObject)
		err = c.skipObject()
	case b == '"':
		seen.add(kindString)
		_, _, err = c.quoted()
	case b == '-' || b >= '0' && b <= '9':
		seen.add(kindNumber)
		err = c.number()
	case b == 't':
		seen.add(kindBool)
		err = c.literal("true")
	case b == 'f':
		seen.add(kindBool)
		err = c.literal("false")
	case b == 'n':
		seen.add(kindNull)
		err = c.literal("null")
	default:
		err = c.unexpected("a value")
	}
	return c.src[start:c.pos], err
}

func (c *cursor) skipArray(seen *leaves) error {
	if err := c.open('[', "an array"); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := c.more(']', first)
		if err != nil || !more {
			return err
		}
		if _, err := c.skip(seen); err != nil {
			return err
		}
	}
}

func (c *cursor) skipObject() error {
	if err := c.open('{', "an object"); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := c.more('}', first)
		if err != nil || !more {
			return err
		}
		if _, err := c.key(); err != nil {
			return err
		}
		var inside leaves
		if _, err := c.skip(&inside); err != nil {
			return err
		}
	}
}

// quoted passes a string and returns what stands between its quotation marks,
// and whether that holds escapes.
func (c *cursor) quoted() (raw []byte, escaped bool, err error) {
	if c.pos >= len(c.src) || c.src[c.pos] != '"' {
		return nil, false, c.unexpected("a string")
	}
	c.pos++
	for start := c.pos; c.pos < len(c.src); c.pos++ {
		switch b := c.src[c.pos]; {
		case b == '"':
			c.pos++
			return c.src[start : c.pos-1], escaped, nil
		case b == '\\':
			escaped = true
			if err := c.escape(); err != nil {
				return nil, false, err
			}
		case b < ' ':
			return nil, false, c.unexpected("the rest of a string")
		}
	}
	return nil, false, c.unexpected("the end of a string")
}

// escape passes an escape but for its last byte.
func (c *cursor) escape() error {
	c.pos++
	if c.pos >= len(c.src) {
		return c.unexpected("the rest of an escape")
	}
	switch c.src[c.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return nil
	case 'u':
		for range 4 {
			c.pos++
			if c.pos >= len(c.src) || !isHex(c.src[c.pos]) {
				return c.unexpected("a hexadecimal digit")
			}
		}
		return nil
	}
	return c.unexpected("an escape")
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F'
}

// number passes a number: an integer part without leading zeros, and perhaps a
// fraction and an exponent.
func (c *cursor) number() error {
	if c.src[c.pos] == '-' {
		c.pos++
	}
	if c.pos < len(c.src) && c.src[c.pos] == '0' {
		c.pos++
	} else if err := c.digits(); err != nil {
		return err
	}
	if c.pos < len(c.src) && c.src[c.pos] == '.' {
		c.pos++
		if err := c.digits(); err != nil {
			return err
		}
	}
	if c.pos < len(c.src) && c.src[c.pos]|0x20 == 'e' {
		c.pos++
		if c.pos < len(c.src) && (c.src[c.pos] == '+' || c.src[c.pos] == '-') {
			c.pos++
		}
		return c.digits()
	}
	return nil
}

// digits passes at least one digit.
func (c *cursor) digits() error {
	start := c.pos
	for c.pos < len(c.src) && c.src[c.pos]-'0' <= 9 {
		c.pos++
	}
	if c.pos == start {
		return c.unexpected("a digit")
	}
	return nil
}

func (c *cursor) literal(word string) error {
	for i := range len(word) {
		if c.pos >= len(c.src) || c.src[c.pos] != word[i] {
			return c.unexpected("\"" + word + "\"")
		}
		c.pos++
	}
	return nil
}
