package edge

import (
	"fmt"
	"strings"
	"time"
)

// Class says what kind of promise a task carries: how long its caller waits by
// default, and who gives way first when not everything fits.
type Class uint8

// The classes, from the one shed last to the one shed first.
const (
	Urgent Class = iota
	Normal
	Batch
)

// Classes lists every class in shed order, the last to go first.
var Classes = [...]Class{Urgent, Normal, Batch}

var classNames = [...]string{Urgent: "urgent", Normal: "normal", Batch: "batch"}

// DefaultDeadline is how long a task of the class waits when its caller names no
// deadline and the configuration says nothing else.
func (c Class) DefaultDeadline() time.Duration {
	switch c {
	case Urgent:
		return 100 * time.Millisecond
	case Batch:
		return 10 * time.Minute
	default:
		return time.Second
	}
}

// String names the class as people and messages write it.
func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return fmt.Sprintf("class(%d)", uint8(c))
}

// ParseClass reads a class name.
func ParseClass(s string) (Class, error) {
	for i, name := range classNames {
		if s == name {
			return Class(i), nil
		}
	}
	return 0, fmt.Errorf("unknown class %q: must be one of %s", s, strings.Join(classNames[:], ", "))
}

// MarshalText writes the class by name.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the class by name.
func (c *Class) UnmarshalText(text []byte) error {
	parsed, err := ParseClass(string(text))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}
