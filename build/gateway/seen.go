package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"holdfast/edge"
)

// seen is what a gateway has told since it was switched on.
type seen struct {
	last     told
	firmware time.Duration // until its kernel began, as seen from here
	kernel   time.Duration // until systemd began
	ready    time.Duration // until the agent was, all since the kernel began
	answer   time.Duration // until a task was answered
	answered string
	status   edge.Status
	machine  string // its own number, its name, and the system it runs
	data     string
	memory   [2]int // KiB: there is, and may be had
	failed   string // units
	applied  string
	update   string // how the installation of another system ended
	settled  bool
	work     int

	unanswered int // times that it was asked in vain
}

// errAbsent is a gateway whose agent is not there.
var errAbsent = errors.New("the agent is not in service")

// patience is how often a gateway may be asked in vain, a second apart and more, before it is
// held to be one that does not answer.
const patience = 180

// over says that there is nothing more to wait for.
func (s *seen) over() bool { return s.settled || s.unanswered > patience }

// add takes note of a line.
func (s *seen) add(t told) error {
	s.last = t
	var err error
	switch t.what {
	case "began":
		s.firmware = t.on - t.at
		s.kernel, err = micros(t.rest)
	case "absent":
		return fmt.Errorf("%w: %s", errAbsent, t.rest)
	case "ready":
		s.ready, err = micros(t.rest)
	case "unanswered":
		s.unanswered++ // it may have to start the model first
	case "answer":
		s.answer, s.answered = t.at, t.rest
	case "status":
		s.status, err = decode[edge.Status](t.rest)
	case "memory":
		_, err = fmt.Sscan(t.rest, &s.memory[0], &s.memory[1])
	case "machine":
		s.machine = t.rest
	case "data":
		s.data = t.rest
	case "failed":
		s.failed = t.rest
	case "applied":
		s.applied = t.rest
	case "installed":
		*s = seen{update: t.rest} // everything else is told anew by the next system
	case "settled":
		s.settled = true
	case "work":
		s.work, err = strconv.Atoi(t.rest)
	default:
		return fmt.Errorf("cannot read %q: %w", t.what, edge.ErrInvalid)
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", t.what, err)
	}
	return nil
}

// micros reads a time of systemd's.
func micros(text string) (time.Duration, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	return time.Duration(n) * time.Microsecond, err
}

// check says what is wrong with a gateway that has settled: which of its systems has to run,
// and before is what it was at first.
func (s *seen) check(before *seen, arch, system string) error {
	var wrong []error
	want := func(well bool, format string, args ...any) {
		if !well {
			wrong = append(wrong, fmt.Errorf(format, args...))
		}
	}
	policy, version := s.status.Policy, uint64(1)
	if before != nil {
		version = 2
		want(s.machine == before.machine, "it is another machine: %q, it was %q", s.machine, before.machine)
	}
	want(s.ready > 0, "%w", errAbsent)
	want(strings.Contains(s.answered, `"data":[7]`), "no answer: got %.300q, want a 7", s.answered)
	want(policy.Governed && policy.Name == "factory" && policy.Version == version, "got policy %+v in force, want factory version %d", policy, version)
	want(s.status.Containerd.Connected, "containerd does not answer: %+v", s.status.Containerd)
	want(s.failed == "", "units have failed: %s", s.failed)
	var kind string
	var size int
	_, _ = fmt.Sscan(s.data, &kind, &size) // what cannot be read is too little
	want(kind == "ext4" && size > grown, "data is kept on %q, want ext4 of more than %d KiB", s.data, grown)
	want(strings.HasPrefix(s.applied, "0 "), "the policy that was applied: %s", s.applied)
	want(strings.HasSuffix(s.machine, " "+system), "it runs system %q, want %s", s.machine, system)
	want(s.update == "" || strings.HasPrefix(s.update, "0 "), "the other system was not installed: %s", s.update)
	if wrong != nil {
		return fmt.Errorf("gateway for %s: %w", arch, errors.Join(wrong...))
	}
	return nil
}

// print shows what was measured.
func (s *seen) print(to io.Writer) {
	name, _, _ := strings.Cut(s.machine, " ")
	since := func(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
	fmt.Fprintf(to, "gateway: machine %s: firmware and loader %s, then kernel and first file system %s; "+
		"READY %s and first answer %s after the kernel began, %s after power-on; memory in use %d of %d MiB\n",
		name, since(s.firmware), since(s.kernel), since(s.ready), since(s.answer), since(s.firmware+s.answer),
		(s.memory[0]-s.memory[1])>>10, s.memory[0]>>10)
}
