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
	update   []string // what was said while another system was installed, and how that ended
	boot     string   // the kernel's number for this start
	settled  bool
	work     int // the number of the last task that was answered
	works    int // how many were

	disk      []written      // while it was left alone
	ran       map[string]int // exit codes of tests, by step
	passed    map[string]int // and how many
	notPassed map[string]int

	unanswered int // times that it was asked in vain
}

// errAbsent is a gateway whose agent is not there.
var errAbsent = errors.New("the agent is not in service")

// patience is how often a gateway may be asked in vain, a second apart and more, before it is
// held to be one that does not answer.
const patience = 90

// over says that there is nothing more to wait for.
func (s *seen) over() bool { return s.settled || s.unanswered > patience }

// add takes note of a line.
func (s *seen) add(t told) error {
	s.last = t
	var err error
	switch t.what {
	case "began":
		*s = seen{last: t, update: s.update, firmware: t.on - t.at} // all else is told anew at each start
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
	case "installing":
		err = s.installing(t.rest)
	case "boot":
		s.boot = t.rest
	case "settled":
		s.settled = true
	case "work":
		s.works++
		s.work, err = strconv.Atoi(t.rest)
	default:
		err = s.addInside(t)
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", t.what, err)
	}
	return nil
}

// addInside takes note of what only a gateway tells that was left alone, or that ran tests.
func (s *seen) addInside(t told) (err error) {
	switch t.what {
	case "disk":
		w := written{at: t.at}
		_, err = fmt.Sscan(t.rest, &w.data, &w.boot, &w.times)
		s.disk = append(s.disk, w)
	case "line":
		s.count(t.rest)
	case "ran":
		var step string
		var code int
		_, err = fmt.Sscan(t.rest, &step, &code)
		s.ran = with(s.ran, step, code)
	default:
		err = edge.ErrInvalid
	}
	return err
}

// count counts what passed of tests, and what did not.
func (s *seen) count(line string) {
	step, line, _ := strings.Cut(line, " ")
	switch {
	case strings.HasPrefix(line, "--- PASS"):
		s.passed = with(s.passed, step, s.passed[step]+1)
	case strings.HasPrefix(line, "--- FAIL"):
		s.notPassed = with(s.notPassed, step, s.notPassed[step]+1)
	}
}

// with is a map with one entry more.
func with(all map[string]int, key string, value int) map[string]int {
	if all == nil {
		all = map[string]int{}
	}
	all[key] = value
	return all
}

// written is what the kernel has written to the data and to the boot partition, in sectors
// of 512 bytes, and how many times to the former.
type written struct {
	at                time.Duration
	data, boot, times int
}

// printDisk shows what was written while the gateway was left alone.
func (s *seen) printDisk(to io.Writer) {
	if len(s.disk) < 2 {
		return
	}
	first, half, last := s.disk[0], s.disk[len(s.disk)/2], s.disk[len(s.disk)-1]
	over := func(what string, from written) {
		took := last.at - from.at
		kib := (last.data - from.data) / 2
		fmt.Fprintf(to, "gateway: %s %.0f s: %d KiB to the data partition in %d writes, which is %.1f MiB an hour; %d KiB to the boot partition\n",
			what, took.Seconds(), kib, last.times-from.times, float64(kib)/1024*float64(time.Hour)/float64(took), (last.boot-from.boot)/2)
	}
	over("left alone for", first)
	over("of that the last", half)
}

// micros reads a time of systemd's.
func micros(text string) (time.Duration, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	return time.Duration(n) * time.Microsecond, err
}

// check says what is wrong with a gateway that has settled: which of its systems has to run,
// and before is what it was at first.
func (s *seen) check(before *seen, arch, system string) error {
	var wrong faults
	version := uint64(1)
	if before != nil {
		version = 2
		wrong.unless(s.machine == before.machine, "it is another machine: %q, it was %q", s.machine, before.machine)
	}
	wrong = append(wrong, s.serving("factory", version)...)
	wrong.unless(strings.HasPrefix(s.applied, "0 "), "the policy that was applied: %s", s.applied)
	wrong.unless(strings.HasSuffix(s.machine, " "+system), "it runs system %q, want %s", s.machine, system)
	return wrong.of(arch)
}

// serving says what is wrong with a gateway that is to serve by a policy.
func (s *seen) serving(name string, version uint64) (wrong faults) {
	policy := s.status.Policy
	wrong.unless(s.ready > 0, "%w", errAbsent)
	wrong.unless(strings.Contains(s.answered, `"data":[7]`), "no answer: got %.300q, want a 7", s.answered)
	wrong.unless(policy.Governed && policy.Name == name && policy.Version == version, "got policy %+v in force, want %s version %d", policy, name, version)
	wrong.unless(s.status.Containerd.Connected, "containerd does not answer: %+v", s.status.Containerd)
	wrong.unless(s.failed == "", "units have failed: %s", s.failed)
	var kind string
	var size int
	_, _ = fmt.Sscan(s.data, &kind, &size) // what cannot be read is too little
	wrong.unless(kind == "ext4" && size > grown, "data is kept on %q, want ext4 of more than %d KiB", s.data, grown)
	return wrong
}

// faults are what is not as it has to be.
type faults []error

func (f *faults) unless(well bool, format string, args ...any) {
	if !well {
		*f = append(*f, fmt.Errorf(format, args...))
	}
}

// of is all of them as one error, of the gateway for a kind of machine.
func (f faults) of(arch string) error {
	if f == nil {
		return nil
	}
	return fmt.Errorf("gateway for %s: %w", arch, errors.Join(f...))
}

// print shows what was measured.
func (s *seen) print(to io.Writer) {
	name, _, _ := strings.Cut(s.machine, " ")
	since := func(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
	fmt.Fprintf(to, "gateway: machine %s: firmware and loader %s, then kernel and first file system %s; "+
		"READY %s and first answer %s after the kernel began, %s after power-on; memory in use %d of %d MiB\n",
		name, since(s.firmware), since(s.kernel), since(s.ready), since(s.answer), since(s.firmware+s.answer),
		(s.memory[0]-s.memory[1])>>10, s.memory[0]>>10)
	if len(s.disk) > 0 {
		fmt.Fprintf(to, "gateway: written until then: %.1f MiB to the data partition, %d KiB to the boot partition\n",
			float64(s.disk[0].data)/2048, s.disk[0].boot/2)
	}
}
