package filetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Crash is a journal and how to hold against it what a power cut leaves.
type Crash struct {
	Journal  []Step
	Honest   []Lie // disks on which acknowledged ≤ found ≤ started must hold
	Controls []Lie // disks on which it must be seen not to hold
	States   int   // of each honest disk, in the ordinary test; they are spread over all steps
	From     int   // how many steps at the beginning are never cut off

	// Open opens what is left in a folder and says which version it found. An error that is
	// ErrOutside says that it was not what may be found for another reason than its version.
	Open func(ctx context.Context, dir string) (version uint64, err error)
}

// Lie is what a disk, or a program, does that it must not. The zero one is honest.
type Lie struct {
	Name   string
	Drop   func(Step) bool // steps that do not happen; nil: all do
	Losing string          // how the names of files begin that the crash destroys too
}

// controlTries is in how many states a lie must be found out.
const controlTries = 200

// Run opens many states. It is a subtest for every disk.
func (c Crash) Run(t *testing.T) {
	for _, honest := range c.Honest {
		t.Run(honest.Name, func(t *testing.T) { c.runHonest(t, honest) })
	}
	for _, control := range c.Controls {
		t.Run(control.Name, func(t *testing.T) { c.runControl(t, control) })
	}
}

func (c Crash) runHonest(t *testing.T, honest Lie) {
	var states atomic.Int64
	base := t.TempDir()
	InParallel(t, Cases(t, c.States), func(seed int) error {
		states.Add(1)
		return c.cut(t, base, honest, seed)
	})
	t.Logf("%d states of %d steps", states.Load(), len(c.Journal))
}

func (c Crash) runControl(t *testing.T, control Lie) {
	base := t.TempDir()
	for seed := range controlTries {
		if err := c.cut(t, base, control, seed); errors.Is(err, ErrOutside) {
			t.Logf("found out at state %d: %v", seed+1, err)
			return
		}
	}
	t.Errorf("%d states and nothing found: the harness is blind", controlTries)
}

// ErrOutside says that what was found is not what may be found.
var ErrOutside = errors.New("outside acknowledged ≤ found ≤ started")

// Once opens one state of an honest disk in a folder of its own below base. It is for an Open
// that cuts the power a second time.
func (c Crash) Once(t *testing.T, base string, seed int) error {
	t.Helper()
	return c.cut(t, base, Lie{}, seed)
}

// turn is one of n for each seed: n seeds in a row have each once, in an order of chance.
func turn(seed, n int) int {
	return rand.New(rand.NewPCG(uint64(seed/n), 13)).Perm(n)[seed%n]
}

// cut replays the journal up to a random point into a model, cuts the power, and opens
// what is left.
func (c Crash) cut(t *testing.T, base string, with Lie, seed int) error {
	r := rand.New(rand.NewPCG(uint64(seed), 11))
	at := c.From + turn(seed, len(c.Journal)-c.From+1)
	m := newModel()
	for _, s := range c.Journal[:at] {
		if with.Drop == nil || !with.Drop(s) {
			m.do(s)
		}
	}
	dir := filepath.Join(base, fmt.Sprint(seed))
	must(t, os.Mkdir(dir, 0o755))
	defer os.RemoveAll(dir)
	for name, content := range m.powerCut(r) {
		if with.Losing == "" || !strings.HasPrefix(name, with.Losing) {
			must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
			must(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
		}
	}
	found, err := c.Open(t.Context(), dir)
	if err != nil {
		return fmt.Errorf("state %d, cut after step %d of %d: %w", seed, at, len(c.Journal), err)
	}
	if found < m.acknowledged || found > m.started {
		return fmt.Errorf("state %d, cut after step %d of %d: %w: %d ≤ %d ≤ %d", seed, at, len(c.Journal), ErrOutside, m.acknowledged, found, m.started)
	}
	return nil
}
