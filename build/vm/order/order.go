// Package order is what the workshop and the machine it starts say to each other: a list of
// steps on the machine's disk, and lines of JSON that come out of its serial port.
//
// It promises that what was written by one side is read by the other as it was, and that a
// line that is not of this kind is told from one that is.
//
// # Testing
//
// Package vm reads what a machine has written, whole and cut off.
package order

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"time"
)

// Where the two sides meet inside the machine.
const (
	// Plan is the file with the steps.
	Plan = "/usr/lib/holdfast-vm/plan.json"
	// Tree holds what of the checkout the tests want beside themselves: its data, without
	// its sources.
	Tree = "/srv/holdfast"
	// Built holds the programs that tests would have built, by the paths of their packages.
	Built = "/usr/lib/holdfast-vm/built"
	// Program is the name of each.
	Program = "program"
	// Tests holds the tests of packages, compiled.
	Tests = "/usr/lib/holdfast-vm/tests"
	// Packages holds two packages of the agent, by their versions.
	Packages = "/usr/lib/holdfast-vm/packages"
	// Port is the name of the serial port.
	Port = "holdfast"
)

// Versions are those of the packages, the older one first.
func Versions() [2]string { return [...]string{"1.0.0", "1.0.1"} }

// Package is the file of a version's package.
func Package(version string) string { return path.Join(Packages, "holdfast_"+version+"_amd64.deb") }

// Step is one program to be run inside, which is well when it ends with 0.
type Step struct {
	Name   string
	Dir    string
	Words  []string
	Env    []string      `json:",omitempty"`
	Within time.Duration // it is ended after that
}

// Entry is what the machine tells.
type Entry struct {
	Step string        `json:",omitempty"`
	Line string        `json:",omitempty"` // of its output, if it is none of the others
	Ran  *Ran          `json:",omitempty"` // the step is over
	Over bool          `json:",omitempty"` // all steps are
	At   time.Duration // since the kernel began
}

// Ran is how a step ended.
type Ran struct {
	Code int // as a shell has it; negative: it could not be run, or took too long
	Why  string
	Took time.Duration
}

// Teller writes entries, one in a line.
type Teller struct{ To io.Writer }

// Tell writes one.
func (t Teller) Tell(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("cannot encode entry: %w", err)
	}
	if _, err := t.To.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("cannot tell: %w", err)
	}
	return nil
}

// longest is the longest line there is; output is cut into shorter ones.
const longest = 1 << 20

// ErrCutOff is what a machine says that ends before it has said that all is over.
var ErrCutOff = errors.New("the machine ended before all its steps were over")

// Read hands on what a machine tells, until it says that all is over.
func Read(from io.Reader, each func(Entry)) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, longest)
	for lines.Scan() {
		var e Entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("cannot read %q: %w", lines.Text(), err)
		}
		if each(e); e.Over {
			return nil
		}
	}
	return errors.Join(lines.Err(), ErrCutOff)
}
