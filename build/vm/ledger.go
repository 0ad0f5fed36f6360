package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"holdfast/build/vm/order"
)

// ledger keeps what a machine tells, and prints what a person wants to see of it while it runs.
type ledger struct {
	to      io.Writer
	verbose bool
	began   time.Time
	held    map[string][]string // lines of tests that have not ended, by step
	lines   map[string][]string
	ran     map[string]order.Ran
	order   []string // steps as they ended
	up      time.Duration
}

func newLedger(to io.Writer, verbose bool) *ledger {
	return &ledger{to: to, verbose: verbose, held: map[string][]string{}, lines: map[string][]string{}, ran: map[string]order.Ran{}}
}

// begin notes when the machine was switched on.
func (l *ledger) begin(at time.Time) { l.began = at }

// add takes note of one entry.
func (l *ledger) add(e order.Entry) {
	if l.up == 0 {
		l.up = e.At
		fmt.Fprintf(l.to, "vm: the first step began %v after power-on, %v after the kernel\n",
			time.Since(l.began).Round(10*time.Millisecond), e.At.Round(10*time.Millisecond))
	}
	switch {
	case e.Ran != nil:
		l.flush(e.Step)
		l.ran[e.Step] = *e.Ran
		l.order = append(l.order, e.Step)
		fmt.Fprintf(l.to, "== %s: %s after %v\n", e.Step, verdict(*e.Ran), e.Ran.Took.Round(100*time.Millisecond))
	case e.Step != "":
		l.lines[e.Step] = append(l.lines[e.Step], e.Line)
		l.show(e.Step, e.Line)
	}
}

// figure marks what is shown of tests that pass too.
const figure = "figure: "

// show prints a line, or keeps it until it is known whether the test it belongs to failed.
func (l *ledger) show(step, line string) {
	if l.verbose || strings.Contains(line, figure) {
		fmt.Fprintf(l.to, "%s | %s\n", step, line)
		return
	}
	l.held[step] = append(l.held[step], line)
	switch {
	case strings.HasPrefix(line, "--- PASS"):
		l.held[step] = nil
		fmt.Fprintf(l.to, "%s | %s\n", step, line)
	case strings.HasPrefix(line, "=== RUN") && !strings.Contains(line, "/"):
		// Between two tests stands what the one that failed has to say.
		last := l.held[step][len(l.held[step])-1]
		l.held[step] = l.held[step][:len(l.held[step])-1]
		l.flush(step)
		l.held[step] = []string{last}
	}
}

// flush prints what was kept.
func (l *ledger) flush(step string) {
	for _, line := range l.held[step] {
		if word := strings.TrimSpace(line); !strings.HasPrefix(word, "--- PASS") && !strings.HasPrefix(word, "=== ") {
			fmt.Fprintf(l.to, "%s | %s\n", step, line)
		}
	}
	l.held[step] = nil
}

func verdict(r order.Ran) string {
	if r.Code == 0 {
		return "ok"
	}
	return "FAILED, " + r.Why
}

// sum says how the steps ended, and which tests did not pass.
func (l *ledger) sum() {
	passed, failed := 0, 0
	for _, step := range l.order {
		for _, line := range l.lines[step] {
			switch line = strings.TrimSpace(line); {
			case strings.HasPrefix(line, "--- PASS"):
				passed++
			case strings.HasPrefix(line, "--- FAIL"):
				failed++
				fmt.Fprintf(l.to, "vm: %s: %s\n", step, line)
			}
		}
	}
	fmt.Fprintf(l.to, "%d passed, %d failed\n", passed, failed)
}

// failed names the steps that failed or were not run, or in which no test was.
func (l *ledger) failed(steps []trial) error {
	var failed []error
	for _, t := range steps {
		ran, told := l.ran[t.name]
		switch {
		case !told:
			failed = append(failed, fmt.Errorf("step %s was not run to its end", t.name))
		case ran.Code != 0:
			failed = append(failed, fmt.Errorf("step %s failed: %s", t.name, ran.Why))
		case !slices.ContainsFunc(l.lines[t.name], func(line string) bool { return strings.HasPrefix(line, "--- PASS") }):
			failed = append(failed, fmt.Errorf("step %s has run no test", t.name))
		}
	}
	return errors.Join(failed...)
}

// wrongCgroups are the words by which the first step says that the machine has not got what
// all this is for.
const wrongCgroups = "cgroups are not of the second version alone"

// wantFound wants a machine with cgroups of the first version to have been found.
func (l *ledger) wantFound() error {
	for step, ran := range l.ran {
		says := slices.ContainsFunc(l.lines[step], func(line string) bool { return strings.Contains(line, wrongCgroups) })
		if ran.Code > 0 && says {
			fmt.Fprintf(l.to, "vm: that was found, as it must be\n")
			return nil
		}
	}
	return errors.New("cgroups of the first version were not found: these tests see nothing")
}
