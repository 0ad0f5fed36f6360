package edge

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a span of time as documents write it, with its unit: 100ms, 10m.
type Duration time.Duration

// ParseDuration reads a duration that is not below zero.
func ParseDuration(text string) (Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%s is not a duration such as 100ms or 10m", quoteShort(text))
	}
	return Duration(d), nil
}

// String writes the duration without the zero parts time.Duration adds.
func (d Duration) String() string {
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText writes the duration with its unit.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the duration.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDuration(string(text))
	return err
}

// Size is a number of bytes as documents write it: 512Mi, 64K or 1024. The units
// are powers of 1024, with or without i and B.
type Size int64

// sizeUnits, the largest first.
var sizeUnits = [...]struct {
	name string
	size Size
}{{"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10}}

// ParseSize reads a size. MB and its like are refused: half of all programs take
// them for a million bytes and the other half for 1048576.
func ParseSize(text string) (Size, error) {
	number := strings.TrimRight(text, "KMGTiB")
	unit, known := sizeUnit(text[len(number):])
	value, err := strconv.ParseUint(number, 10, 63)
	if !known || err != nil {
		return 0, fmt.Errorf("%s is not a size such as 512Mi", quoteShort(text))
	}
	if value > math.MaxInt64/uint64(unit) {
		return 0, fmt.Errorf("%s is out of range", quoteShort(text))
	}
	return Size(value) * unit, nil
}

func sizeUnit(suffix string) (Size, bool) {
	if suffix == "" || suffix == "B" {
		return 1, true
	}
	for _, unit := range sizeUnits {
		if suffix == unit.name[:1] || suffix == unit.name || suffix == unit.name+"B" {
			return unit.size, true
		}
	}
	return 0, false
}

// String writes the size in the largest unit that divides it.
func (s Size) String() string {
	for _, unit := range sizeUnits {
		if s != 0 && s%unit.size == 0 {
			return strconv.FormatInt(int64(s/unit.size), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText writes the size with its unit.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the size.
func (s *Size) UnmarshalText(text []byte) (err error) {
	*s, err = ParseSize(string(text))
	return err
}

// UnmarshalJSON also takes a bare number of bytes.
func (s *Size) UnmarshalJSON(literal []byte) error {
	text := string(literal)
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(literal, &text); err != nil {
			return err
		}
	}
	return s.UnmarshalText([]byte(text))
}

// Rate is so many of something in a span of one second, minute or hour: 50/s.
type Rate struct {
	Count int64
	Per   time.Duration
}

// rateUnits are the spans a rate may have.
var rateUnits = [...]struct {
	name string
	span time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}}

// ParseRate reads a rate.
func ParseRate(text string) (Rate, error) {
	number, span, _ := strings.Cut(text, "/")
	count, err := strconv.ParseUint(number, 10, 53)
	for _, unit := range rateUnits {
		if err == nil && span == unit.name {
			return Rate{Count: int64(count), Per: unit.span}, nil
		}
	}
	return Rate{}, fmt.Errorf("%s is not a rate such as 50/s, 10/m or 1/h", quoteShort(text))
}

// PerSecond is the rate as a number; 0 for the zero value.
func (r Rate) PerSecond() float64 {
	if r.Per <= 0 {
		return 0
	}
	return float64(r.Count) / r.Per.Seconds()
}

// String writes the rate as it is read.
func (r Rate) String() string {
	for _, unit := range rateUnits {
		if r.Per == unit.span {
			return strconv.FormatInt(r.Count, 10) + "/" + unit.name
		}
	}
	return fmt.Sprintf("%d/%v", r.Count, r.Per)
}

// MarshalText writes the rate.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the rate.
func (r *Rate) UnmarshalText(text []byte) (err error) {
	*r, err = ParseRate(string(text))
	return err
}
