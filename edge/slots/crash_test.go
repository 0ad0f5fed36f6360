package slots_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"holdfast/edge/boltfile"
	"holdfast/edge/boltfile/filetest"
	"holdfast/edge/slots"
)

// badVersions never confirm themselves; all others do, and are agents that work.
var badVersions = []string{"3", "4", "7"}

// notedDisk tells the recorder of each record that is about to be written.
type notedDisk struct {
	*filetest.Recorder
	next func() uint64
}

var _ slots.Disk = notedDisk{}

// Create makes a file.
func (d notedDisk) Create(name string) (boltfile.DiskFile, error) {
	d.note(name)
	return d.Recorder.Create(name)
}

// Overwrite opens a file.
func (d notedDisk) Overwrite(name string) (boltfile.DiskFile, error) {
	d.note(name)
	return d.Recorder.Overwrite(name)
}

func (d notedDisk) note(name string) {
	if strings.HasPrefix(filepath.Base(name), "record.") {
		d.Start(d.next())
	}
}

// recorded is a gateway whose disk is recorded.
type recorded struct {
	*gateway
	recorder *filetest.Recorder
}

func newRecorded(t *testing.T) recorded { return recordOn(newGateway(t)) }

func recordOn(g *gateway) recorded {
	r := recorded{g, &filetest.Recorder{Root: g.Dir}}
	plain := g.store()
	r.Disk = notedDisk{r.recorder, func() uint64 { return slots.Generation(plain) + 1 }}
	return r
}

// last says that what was done so far lasts: the version installed, switched to, confirmed
// or rejected; and before a start, that it is counted.
func (r recorded) last() { r.recorder.Acknowledge(slots.Generation(r.store())) }

// updates is a life of updates: good ones and bad ones, left in every way there is.
func (r recorded) updates() {
	r.t.Helper()
	r.wantStart(factoryVersion)
	good := func(version string, sequence uint64) {
		r.try(version, sequence)
		r.last()
		r.wantStart(version)
		r.last()
		must(r.t, r.store().Confirm())
		r.last()
	}
	good("2", 2)
	r.try("3", 3) // ends at once
	r.last()
	for _, want := range []string{"3", "3", "2"} {
		r.wantStart(want)
		r.last()
	}
	r.try("4", 4) // finds out by itself that it is not well
	r.last()
	r.wantStart("4")
	r.last()
	must(r.t, r.store().Reject(r.Running, "it lost the link"))
	r.last()
	r.wantStart("2")
	good("5", 5)
	r.try("6", 6)
	must(r.t, r.store().Cancel())
	r.last()
	r.wantStart("5")
	r.try("7", 7) // the kernel does not start it
	r.last()
	r.refusedByKernel()
	r.last()
	r.earlyEnds("5", factoryVersion) // nothing is beside it
	r.last()
	r.earlyEnds(factoryVersion, "5") // it is not its fault
	r.last()
	must(r.t, r.store().Settle())
	r.last()
	good("8", 8)
	r.earlyEnds("8", "5") // what was confirmed before is there
	r.last()
}

func (r recorded) refusedByKernel() {
	r.t.Helper()
	store := r.store()
	choice, err := store.Choose()
	must(r.t, err)
	store.Refuse(choice, syscall.ENOEXEC)
	choice, err = store.Choose()
	must(r.t, err)
	r.Running = choice.Slot
	if choice.Version != "5" {
		r.t.Fatalf("after a refusal %+v was chosen", choice)
	}
}

// earlyEnds starts what is confirmed until it is left for another.
func (g *gateway) earlyEnds(version, next string) {
	g.t.Helper()
	for range slots.EarlyEnds {
		if got := g.start().Version; got == next {
			return
		} else if got != version {
			g.t.Fatalf("%q was started, want %q or at last %q", got, version, next)
		}
	}
	g.wantStart(next)
}

// afterCut is a gateway with what a power cut has left. Nothing in memory is.
func afterCut(t *testing.T, dir string) *gateway {
	return &gateway{t: t, Options: slots.Options{
		Dir: dir, Factory: factoryVersion, Disk: hasty{},
	}}
}

// hasty is a disk that syncs nothing: after the cut there is no other, and syncing takes
// most of the time.
type hasty struct{ boltfile.RealDisk }

type hastyFile struct{ *os.File }

// Sync does nothing.
func (hastyFile) Sync() error { return nil }

// SyncDir does nothing.
func (hasty) SyncDir(string) error { return nil }

// Create makes a file.
func (hasty) Create(name string) (boltfile.DiskFile, error) {
	file, err := os.Create(name)
	return hastyFile{file}, err
}

// Overwrite opens a file.
func (hasty) Overwrite(name string) (boltfile.DiskFile, error) {
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	return hastyFile{file}, err
}

func broken(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, filetest.ErrOutside)...)
}

// survive holds what is left against every promise, and returns the generation of its
// record.
func survive(t *testing.T, dir string) (uint64, error) {
	g := afterCut(t, dir)
	store := g.store()
	generation := slots.Generation(store)
	state, err := store.State()
	if err != nil {
		return 0, broken("no record is left: %v", err)
	}
	if err := g.whole(state); err != nil {
		return 0, err
	}
	if err := g.startsThrice(state); err != nil {
		return 0, err
	}
	return generation, g.goesOn()
}

// whole wants every program that a record names in its slot.
func (g *gateway) whole(state slots.State) error {
	for _, name := range []slots.Name{slots.A, slots.B} {
		slot := state.Slot(name)
		if slot.Version == "" {
			continue
		}
		content, err := os.ReadFile(g.store().Path(name))
		if err != nil || !bytes.Equal(content, program(slot.Version)) {
			return broken("slot %s is not what its record says (%v)", name, err)
		}
	}
	return nil
}

// startsThrice wants one of three starts to be of an agent that works, no more tries than
// there were, and nothing that was found bad.
func (g *gateway) startsThrice(before state) error {
	tried, worked := 0, false
	for range 6 {
		bad := g.state().Bad
		choice := g.start()
		if slices.ContainsFunc(bad, func(b slots.Bad) bool { return b.Version == choice.Version }) {
			return broken("version %s was started, and was known to be bad", choice.Version)
		}
		if choice.Slot != slots.Factory && slices.Contains(badVersions, choice.Version) {
			tried++
			if tried > before.TriesLeft {
				return broken("version %s was tried %d times, and had %d left", choice.Version, tried, before.TriesLeft)
			}
			if tried == 3 {
				return broken("three starts, and no agent that works")
			}
			continue
		}
		worked = true
		if err := g.store().Confirm(); err != nil {
			return broken("it is not confirmed: %v", err)
		}
	}
	if !worked {
		return broken("no agent that works")
	}
	return nil
}

type state = slots.State

// goesOn wants the next update to work.
func (g *gateway) goesOn() error {
	content := program("9")
	name, err := g.store().Install(context.Background(), describe("9", 9, content), bytes.NewReader(content))
	if err != nil {
		return broken("no update any more: %v", err)
	}
	if err := g.store().Switch(name); err != nil {
		return broken("no update any more: %v", err)
	}
	if choice := g.start(); choice.Version != "9" {
		return broken("%q was started and not the update", choice.Version)
	}
	return g.store().Confirm()
}

// TestStore_Crash cuts the power at every write and sync of a life of updates.
func TestStore_Crash(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	r.updates()
	filetest.Crash{
		Journal: r.recorder.Journal(),
		Honest:  []filetest.Lie{{Name: "Everything"}},
		Controls: []filetest.Lie{
			{Name: "RecordWithoutSync", Drop: func(s filetest.Step) bool { return s.IsSync("record.1") || s.IsSync("record.2") }},
			{Name: "NewRecordWithoutSync", Drop: func(s filetest.Step) bool { return s.IsSync("record.1.new") }},
			{Name: "ProgramWithoutSync", Drop: func(s filetest.Step) bool { return s.IsSync("a/") || s.IsSync("b/") }},
			{Name: "RenameWithoutSync", Drop: filetest.Step.IsSyncDir},
		},
		States: 5 * len(r.recorder.Journal()),
		Open: func(_ context.Context, dir string) (uint64, error) {
			return survive(t, dir)
		},
	}.Run(t)
}

// TestStore_CrashTwice cuts the power, and again while the node comes back and updates.
func TestStore_CrashTwice(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	r.updates()
	filetest.Crash{
		Journal: r.recorder.Journal(),
		Honest:  []filetest.Lie{{Name: "Everything"}},
		States:  len(r.recorder.Journal()),
		Open: func(_ context.Context, dir string) (uint64, error) {
			again := recordOn(afterCut(t, dir))
			generation := slots.Generation(again.store())
			if err := again.find(); err != nil {
				return 0, err
			}
			second := filetest.Crash{From: len(again.recorder.Journal())}
			if err := again.comeBack(); err != nil {
				return 0, err
			}
			second.Journal, second.Open = again.recorder.Journal(), func(_ context.Context, dir string) (uint64, error) {
				return survive(t, dir)
			}
			seed, err := strconv.Atoi(filepath.Base(dir)) // of the first cut, which has its folder's name
			must(t, err)
			return generation, second.Once(t, t.TempDir(), seed)
		},
	}.Run(t)
}

// find takes what a cut has left for lasting.
func (r recorded) find() error {
	r.recorder.Start(slots.Generation(r.store()))
	r.last()
	return r.recorder.Found()
}

// comeBack starts what is left until it works, and then updates it.
func (r recorded) comeBack() error {
	for range 3 {
		choice := r.start()
		r.last()
		if choice.Slot != slots.Factory && slices.Contains(badVersions, choice.Version) {
			continue
		}
		if err := r.store().Confirm(); err != nil {
			return err
		}
		r.last()
	}
	err := r.goesOn()
	r.last()
	return err
}

// TestStore_CrashCountedLate is the control of the order: a launcher that starts a version
// and then counts is found out.
func TestStore_CrashCountedLate(t *testing.T) {
	t.Parallel()
	r := newRecorded(t)
	r.confirmed("2", 2)
	r.try("3", 3)
	r.last()
	for range slots.Tries {
		r.recorder.Acknowledge(slots.Generation(r.store()) + 1) // it runs from here on
		r.wantStart("3")                                        // and is counted here
	}
	filetest.Crash{
		Journal:  r.recorder.Journal(),
		Controls: []filetest.Lie{{Name: "CountAfterExec"}},
		Open: func(_ context.Context, dir string) (uint64, error) {
			return survive(t, dir)
		},
	}.Run(t)
}
