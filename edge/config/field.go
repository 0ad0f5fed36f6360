package config

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"holdfast/edge"
)

// input is one value as it was written.
type input struct {
	text string
	base string // what a relative path is relative to
}

// field reads and writes one leaf of a Config as text.
type field struct {
	wants string   // the remedy: completes "write …"
	tags  []string // the kinds of YAML scalar it takes
	list  bool     // a file may give it as a list, which then reads as text with commas
	set   func(c *Config, in input) error
	get   func(c *Config) string
}

// errBounds is the detail of a value that is well formed and too small or too large.
var errBounds = errors.New("is out of bounds")

// textField takes text that accept agrees to; a nil accept takes any.
func textField(at func(*Config) *string, wants string, accept func(string) bool) field {
	return field{
		wants: wants, tags: []string{"!!str"},
		set: func(c *Config, in input) error {
			if accept != nil && !accept(in.text) {
				return errors.New("is not accepted")
			}
			*at(c) = in.text
			return nil
		},
		get: func(c *Config) string { return *at(c) },
	}
}

func truthField(at func(*Config) *bool) field {
	return field{
		wants: "true or false", tags: []string{"!!bool"},
		set: func(c *Config, in input) error {
			if in.text != "true" && in.text != "false" {
				return errors.New("is neither true nor false")
			}
			*at(c) = in.text == "true"
			return nil
		},
		get: func(c *Config) string { return strconv.FormatBool(*at(c)) },
	}
}

func choiceField(at func(*Config) *string, choices ...string) field {
	return textField(at, strings.Join(choices, " or "), func(s string) bool { return slices.Contains(choices, s) })
}

// maxNames is how many groups a node may belong to: they travel with its reports.
const maxNames = 64

// namesField takes names separated by commas, or a list of them in a file. As one
// value a later layer replaces the earlier one's.
func namesField(at func(*Config) *[]string) field {
	return field{
		wants: "names separated by commas, each of at most 63 letters, digits, '.', '_' or '-'", tags: []string{"!!str"}, list: true,
		set: func(c *Config, in input) error {
			var names []string
			if in.text != "" {
				names = strings.Split(in.text, ",")
			}
			if len(names) > maxNames || slices.ContainsFunc(names, func(name string) bool { return !isName(name) }) {
				return errors.New("is not a list of names")
			}
			for i, name := range names {
				if slices.Contains(names[:i], name) {
					return fmt.Errorf("has %q twice", name)
				}
			}
			*at(c) = names
			return nil
		},
		get: func(c *Config) string { return strings.Join(*at(c), ",") },
	}
}

// pathField makes relative paths absolute: in a file they are relative to its
// folder, elsewhere to the working folder.
func pathField(at func(*Config) *string, wants string, optional bool) field {
	f := textField(at, wants, nil)
	f.set = func(c *Config, in input) error {
		switch {
		case in.text == "" && optional:
			*at(c) = ""
			return nil
		case in.text == "" || strings.ContainsRune(in.text, 0):
			return errors.New("is not a path")
		}
		path, err := absolute(in.base, in.text)
		*at(c) = path
		return err
	}
	return f
}

func absolute(base, path string) (string, error) {
	if filepath.IsAbs(path) {
		return filepath.Clean(path), nil
	}
	return filepath.Abs(filepath.Join(base, path))
}

func durationField(at func(*Config) *Duration, low, high Duration, example string) field {
	return field{
		wants: fmt.Sprintf("a duration from %v to %v with its unit, such as %s", low, high, example),
		tags:  []string{"!!str", "!!int"},
		set: func(c *Config, in input) error {
			d, err := edge.ParseDuration(in.text)
			if err != nil {
				return errors.New("is not a duration")
			}
			return within(at(c), d, low, high)
		},
		get: func(c *Config) string { return at(c).String() },
	}
}

func sizeField(at func(*Config) *Size, low, high Size, example string) field {
	return field{
		wants: fmt.Sprintf("a size from %v to %v in B, KiB, MiB or GiB, such as %s", low, high, example),
		tags:  []string{"!!str", "!!int"},
		set: func(c *Config, in input) error {
			size, err := ParseSize(in.text)
			if err != nil {
				return errors.New("is not a size")
			}
			return within(at(c), size, low, high)
		},
		get: func(c *Config) string { return at(c).String() },
	}
}

func intField(at func(*Config) *int, low, high int) field {
	return field{
		wants: fmt.Sprintf("a whole number from %d to %d", low, high),
		tags:  []string{"!!int"},
		set: func(c *Config, in input) error {
			n, err := strconv.Atoi(in.text)
			if err != nil {
				return errors.New("is not a whole number")
			}
			return within(at(c), n, low, high)
		},
		get: func(c *Config) string { return strconv.Itoa(*at(c)) },
	}
}

func decimalField(at func(*Config) *float64, low, high float64) field {
	return field{
		wants: fmt.Sprintf("a number from %v to %v", low, high),
		tags:  []string{"!!int", "!!float"},
		set: func(c *Config, in input) error {
			n, err := strconv.ParseFloat(in.text, 64)
			if err != nil || math.IsNaN(n) {
				return errors.New("is not a number")
			}
			return within(at(c), n, low, high)
		},
		get: func(c *Config) string { return strconv.FormatFloat(*at(c), 'g', -1, 64) },
	}
}

func levelField(at func(*Config) *Level) field {
	return field{
		wants: "debug, info, warn or error",
		tags:  []string{"!!str"},
		set: func(c *Config, in input) error {
			level, err := ParseLevel(in.text)
			if err != nil {
				return errors.New("is not a level")
			}
			*at(c) = level
			return nil
		},
		get: func(c *Config) string { return at(c).String() },
	}
}

func within[T int | float64 | Size | Duration](at *T, value, low, high T) error {
	if value < low || value > high {
		return errBounds
	}
	*at = value
	return nil
}
