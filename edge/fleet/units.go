package fleet

import (
	"reflect"
	"strconv"
	"strings"

	"holdfast/edge"
)

// form says how values of a type are written, and what a given text was perhaps meant
// to be; both may be empty.
func form(of reflect.Type, given string) (remedy, guess string) {
	number, unit := splitUnit(given)
	switch of {
	case reflect.TypeFor[edge.Duration]():
		return "write a duration with its unit, such as 100ms", guessDuration(number, unit)
	case reflect.TypeFor[edge.Size]():
		return "write a size such as 512Mi", guessSize(number, unit)
	case reflect.TypeFor[edge.Rate]():
		return "write a rate such as 50/s", guessRate(number, unit)
	}
	switch plain(of).Kind() {
	case reflect.Int, reflect.Int64, reflect.Uint64:
		if _, err := strconv.ParseInt(number, 10, 64); err == nil {
			return "", number
		}
	}
	return "", ""
}

// splitUnit splits 10 minutes into the number and the unit, in lower case.
func splitUnit(text string) (number, unit string) {
	text = strings.TrimSpace(text)
	end := 0
	for end < len(text) && (text[end] >= '0' && text[end] <= '9' || text[end] == '.') {
		end++
	}
	return text[:end], strings.ToLower(strings.TrimSpace(text[end:]))
}

// guessDuration knows how people write units, and that a bare number is often meant
// in seconds; that one it does not guess.
func guessDuration(number, unit string) string {
	days := map[string]string{"d": "", "day": "", "days": ""}
	units := map[string]string{
		"ms": "ms", "msec": "ms", "millisecond": "ms", "milliseconds": "ms",
		"s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
		"m": "m", "min": "m", "mins": "m", "minute": "m", "minutes": "m",
		"h": "h", "hr": "h", "hrs": "h", "hour": "h", "hours": "h",
	}
	if _, isDays := days[unit]; isDays {
		count, err := strconv.Atoi(number)
		if err != nil || count > 10_000 {
			return ""
		}
		number, unit = itoa(count*24), "h"
	}
	return valid(number+units[unit], units[unit] != "", func(text string) error {
		_, err := edge.ParseDuration(text)
		return err
	})
}

// guessSize takes MB and its like for the binary units they are mostly meant as.
func guessSize(number, unit string) string {
	units := map[string]string{
		"k": "Ki", "kb": "Ki", "kib": "Ki", "ki": "Ki", "m": "Mi", "mb": "Mi", "mib": "Mi", "mi": "Mi",
		"g": "Gi", "gb": "Gi", "gib": "Gi", "gi": "Gi", "t": "Ti", "tb": "Ti", "tib": "Ti", "ti": "Ti",
	}
	return valid(number+units[unit], units[unit] != "", func(text string) error {
		_, err := edge.ParseSize(text)
		return err
	})
}

// guessRate knows 50, 50/sec, 50 per second and 50 rps.
func guessRate(number, unit string) string {
	unit = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(unit, "/"), "per "))
	units := map[string]string{
		"": "s", "s": "s", "sec": "s", "second": "s", "rps": "s", "hz": "s",
		"m": "m", "min": "m", "minute": "m", "h": "h", "hr": "h", "hour": "h",
	}
	return valid(number+"/"+units[unit], units[unit] != "", func(text string) error {
		_, err := edge.ParseRate(text)
		return err
	})
}

// valid is the text if it is one a document may hold.
func valid(text string, known bool, parse func(string) error) string {
	if !known || parse(text) != nil {
		return ""
	}
	return text
}
