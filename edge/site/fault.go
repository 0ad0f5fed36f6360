package site

import (
	"errors"
	"fmt"
	"strings"

	"holdfast/edge"
)

// Fault is one thing that is wrong with a site file.
type Fault struct {
	Line   int    `json:"line,omitempty"` // 0: of the file as a whole
	Key    string `json:"key,omitempty"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// String is a fault on one line.
func (f Fault) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Detail)
	if f.Remedy != "" {
		b.WriteString("; " + f.Remedy)
	}
	return b.String()
}

// Faults are all that is wrong with a file.
type Faults struct {
	File string // as it is named beside which it lies
	All  []Fault
}

// Error is a line for each fault.
func (f *Faults) Error() string {
	lines := make([]string, len(f.All))
	for i, fault := range f.All {
		lines[i] = f.File + ": " + fault.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap makes a wrong file edge.ErrInvalid.
func (f *Faults) Unwrap() error { return edge.ErrInvalid }

// FaultsOf gives what is wrong with a file, where that is what an error says.
func FaultsOf(err error) []Fault {
	var found *Faults
	if errors.As(err, &found) {
		return found.All
	}
	return nil
}

// maxFaults is what a person reads at once.
const maxFaults = 20

// quote shows a value of any length and content on one line.
func quote(s string) string {
	const shown = 60
	if len(s) > shown {
		return fmt.Sprintf("%q...", s[:shown])
	}
	return fmt.Sprintf("%q", s)
}
