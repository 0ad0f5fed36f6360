package config

import (
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"

	"holdfast/edge"
)

// Duration is a span of time written with its unit: 100ms, 1s, 10m, 1h30m.
type Duration = edge.Duration

// Size is a number of bytes, written 16MiB, 64M or 1024. K, M, G and T mean
// powers of 1024 with or without iB after them, as Compose reads them.
type Size int64

// The units of sizes.
const (
	KiB Size = 1 << 10
	MiB Size = 1 << 20
	GiB Size = 1 << 30
	TiB Size = 1 << 40
)

var sizeUnits = [...]struct {
	name string
	size Size
}{{"TiB", TiB}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}}

// ParseSize reads a size. MB and its like are refused: half of all programs take
// them for a million bytes and the other half for 1048576.
func ParseSize(s string) (Size, error) {
	number := strings.TrimRight(s, "KMGTiB")
	unit, ok := sizeUnit(s[len(number):])
	if !ok {
		return 0, fmt.Errorf("%q has an unknown unit", s)
	}
	if whole, err := strconv.ParseInt(number, 10, 64); err == nil && number[0] != '+' {
		if whole < 0 || whole > math.MaxInt64/int64(unit) {
			return 0, fmt.Errorf("%q is out of range", s)
		}
		return Size(whole) * unit, nil
	}
	return parseFraction(s, number, unit)
}

func sizeUnit(suffix string) (Size, bool) {
	if suffix == "" || suffix == "B" {
		return 1, true
	}
	for _, unit := range sizeUnits {
		if suffix == unit.name || suffix == unit.name[:1] || suffix == unit.name[:2] {
			return unit.size, true
		}
	}
	return 0, false
}

// parseFraction reads 1.5GiB. Only plain decimals count, so that 1e3, 0x10 and
// NaN stay errors.
func parseFraction(s, number string, unit Size) (Size, error) {
	whole, fraction, found := strings.Cut(number, ".")
	if !found || unit == 1 || !digits(whole) || !digits(fraction) {
		return 0, fmt.Errorf("%q is not a size", s)
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || value*float64(unit) >= 1<<62 {
		return 0, fmt.Errorf("%q is out of range", s)
	}
	return Size(value * float64(unit)), nil
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
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

// Level is how much the agent's log says.
type Level slog.Level

var levels = [...]struct {
	name  string
	level slog.Level
}{{"debug", slog.LevelDebug}, {"info", slog.LevelInfo}, {"warn", slog.LevelWarn}, {"error", slog.LevelError}}

// ParseLevel reads debug, info, warn or error.
func ParseLevel(s string) (Level, error) {
	for _, l := range levels {
		if s == l.name {
			return Level(l.level), nil
		}
	}
	return 0, fmt.Errorf("%q is not a level", s)
}

// String names the level.
func (l Level) String() string {
	for _, known := range levels {
		if slog.Level(l) == known.level {
			return known.name
		}
	}
	return strings.ToLower(slog.Level(l).String())
}

// MarshalText writes the level by name.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }
