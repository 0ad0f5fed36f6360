package runtime

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast/edge"
)

// keptRuns is how many of the latest good answers of a version speak for its latency:
// enough for a tenth of them to be a number, and few enough that what was slow at its
// start is forgotten.
const keptRuns = 256

// gauge compares two versions by the tasks they answer in the same time.
type gauge struct {
	enough uint64 // tasks of the new version
	due    func() // there may be something to decide; it does not wait

	mu       sync.Mutex // guards what follows
	new, old tasks
}

// tasks is what became of the tasks of one version.
type tasks struct {
	count, failed uint64
	runs          []time.Duration // the latest, in no order
	next          int
}

func (t *tasks) add(took time.Duration, err error) {
	t.count++
	switch {
	case err != nil:
		t.failed++
	case took <= 0: // not measured
	case len(t.runs) < keptRuns:
		t.runs = append(t.runs, took)
	default:
		t.runs[t.next] = took
		t.next = (t.next + 1) % keptRuns
	}
}

func (t *tasks) figure() edge.VersionFigure {
	f := edge.VersionFigure{Tasks: t.count, Failed: t.failed}
	if len(t.runs) > 0 {
		sorted := slices.Sorted(slices.Values(t.runs))
		f.Median, f.P90 = sorted[(len(sorted)-1)/2], sorted[(len(sorted)-1)*9/10]
	}
	return f
}

// note counts a task. That an instance could not be asked at all says nothing of its version.
func (g *gauge) note(isNew bool, took time.Duration, err error) {
	if errors.Is(err, edge.ErrUnavailable) || errors.Is(err, edge.ErrCancelled) || errors.Is(err, edge.ErrDeadline) {
		return
	}
	g.mu.Lock()
	if !isNew {
		g.old.add(took, err)
		g.mu.Unlock()
		return
	}
	g.new.add(took, err)
	due := err != nil || g.new.count == g.enough
	g.mu.Unlock()
	if due {
		g.due()
	}
}

// begin forgets what was answered before there was anything to compare.
func (g *gauge) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.new, g.old = tasks{}, tasks{}
}

func (g *gauge) figures() (now, before edge.VersionFigure) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.new.figure(), g.old.figure()
}

const (
	// fewFailures may be the fault of inputs, whatever version answers them.
	fewFailures = 3
	// slackFailures is the share by which a version may fail more often than twice the old
	// one: a hundredth is within the chance of some hundred tasks.
	slackFailures = 0.01
	// slackTook is within what a busy node adds to an answer.
	slackTook = time.Millisecond
)

// compare judges a new version by its tasks and those of the old one in the same time.
// over: its time has passed, and what there is has to do.
func compare(now, before edge.VersionFigure, c edge.Canary, over bool) (v verdict, why string) {
	enough := over || now.Tasks >= uint64(c.Tasks)
	rate, former := share(now), share(before)
	many := now.Failed >= fewFailures || enough && now.Failed > 0 && 2*now.Failed >= now.Tasks
	if many && rate > 2*former+slackFailures {
		return failing, fmt.Sprintf("%d of its %d tasks failed (%.1f %%), against %d of %d (%.1f %%) of the version before",
			now.Failed, now.Tasks, 100*rate, before.Failed, before.Tasks, 100*former)
	}
	if !enough {
		return undecided, ""
	}
	if slower(now.Median, before.Median, c.Slower) && slower(now.P90, before.P90, c.Slower) {
		return failing, fmt.Sprintf("it is slower: half of its answers took up to %v and nine tenths up to %v, against %v and %v of the version before",
			now.Median.Round(time.Microsecond), now.P90.Round(time.Microsecond), before.Median.Round(time.Microsecond), before.P90.Round(time.Microsecond))
	}
	return passing, ""
}

func share(f edge.VersionFigure) float64 {
	if f.Tasks == 0 {
		return 0
	}
	return float64(f.Failed) / float64(f.Tasks)
}

// slower tells whether one took more than so many times what the other did; nothing
// measured is not slower.
func slower(now, before time.Duration, times float64) bool {
	return before > 0 && now > before+slackTook && float64(now) > times*float64(before)
}
