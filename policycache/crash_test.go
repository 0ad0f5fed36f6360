package policycache_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"holdfast/edge/boltfile"
	"holdfast/policycache"
)

// The crash harness. A journal of what the real code did to its files is replayed
// into a model of a disk, up to any point, and the disk loses power there: what was
// not synced is there, or is not, or is in part, sector by sector; renames that were
// not followed by a sync of the folder are there up to any one of them. Each such
// state is opened by the real code and compared: acknowledged ≤ found ≤ started.
//
// What the code does beside the database is recorded as it happens. What bbolt does
// is not to be seen from outside; it is taken from the difference between the files
// before and after a commit, in bbolt's own order: size, pages, sync, meta, sync.

// step is one entry of the journal.
type step struct {
	kind stepKind
	name string
	to   string // of a rename
	at   int
	data []byte
	size int    // of the file, when it changes size
	v    uint64 // of start and acknowledge
}

type stepKind int

const (
	stepCreate stepKind = iota
	stepResize
	stepWrite
	stepSync
	stepRename
	stepRemove
	stepSyncDir
	stepStart
	stepAck
)

// recorder is the real disk, writing down what is done to it.
type recorder struct {
	badDisk
	steps    []step
	database []byte // as last recorded
}

func (r *recorder) log(s step) { r.steps = append(r.steps, s) }

func (r *recorder) Create(name string) (boltfile.DiskFile, error) {
	file, err := r.badDisk.Create(name)
	r.log(step{kind: stepCreate, name: filepath.Base(name)})
	return &recordedFile{file, r, filepath.Base(name), 0}, err
}

func (r *recorder) Rename(from, to string) error {
	if filepath.Base(to) == "state.db" { // a new database, made beside
		r.log(step{kind: stepCreate, name: filepath.Base(from)})
		r.database = nil
		r.commit(filepath.Base(from), from)
	}
	r.log(step{kind: stepRename, name: filepath.Base(from), to: filepath.Base(to)})
	return r.badDisk.Rename(from, to)
}

func (r *recorder) Remove(name string) error {
	err := r.badDisk.Remove(name)
	if err == nil {
		r.log(step{kind: stepRemove, name: filepath.Base(name)})
	}
	return err
}

func (r *recorder) SyncDir(name string) error {
	r.log(step{kind: stepSyncDir})
	return r.badDisk.SyncDir(name)
}

// commit records what bbolt changed since the last time.
func (r *recorder) commit(name, path string) {
	content, err := os.ReadFile(path)
	if err != nil || bytes.Equal(content, r.database) {
		return
	}
	page := os.Getpagesize()
	if len(content) != len(r.database) {
		r.log(step{kind: stepResize, name: name, size: len(content)})
		r.log(step{kind: stepSync, name: name})
	}
	before := make([]byte, len(content))
	copy(before, r.database)
	write := func(from, to int) {
		for at := from; at < to; at += page {
			if !bytes.Equal(before[at:at+page], content[at:at+page]) {
				r.log(step{kind: stepWrite, name: name, at: at, data: content[at : at+page]})
			}
		}
		r.log(step{kind: stepSync, name: name})
	}
	write(2*page, len(content))
	write(0, 2*page)
	r.database = content
}

type recordedFile struct {
	boltfile.DiskFile
	to   *recorder
	name string
	at   int
}

func (f *recordedFile) Write(p []byte) (int, error) {
	f.to.log(step{kind: stepWrite, name: f.name, at: f.at, data: slices.Clone(p)})
	f.at += len(p)
	return f.DiskFile.Write(p)
}

func (f *recordedFile) Sync() error {
	f.to.log(step{kind: stepSync, name: f.name})
	return f.DiskFile.Sync()
}

// record runs a node through its versions and returns the journal.
func record(t *testing.T, fleet *fleet, newest uint64) []step {
	t.Helper()
	r := &recorder{}
	options := fleet.options(t.TempDir())
	options.Disk = r
	path := filepath.Join(options.Dir, "state.db")
	store := open(t, options)
	r.commit("state.db", path)
	for v := uint64(1); v <= newest; v++ {
		r.log(step{kind: stepStart, v: v})
		must(t, store.Apply(t.Context(), fleet.policy(t, v, 3000)))
		r.commit("state.db", path)
		r.log(step{kind: stepAck, v: v})
		// One is overtaken while it is on trial, and so overwritten where it lies; the
		// newest is taken back below.
		if v != newest/2 && v != newest {
			must(t, store.Prove(t.Context(), v))
			r.commit("state.db", path)
		}
	}
	// A rollback: from its beginning on the one before may be found, and from its end
	// on nothing newer.
	r.log(step{kind: stepAck, v: newest - 1})
	must(t, store.Rollback(t.Context(), newest, "fails"))
	r.commit("state.db", path)
	r.log(step{kind: stepStart, v: newest - 1})
	// New keys, and the first policy they sign.
	must(t, store.AddRoots(t.Context(), fleet.rotate(t, "policy", "policy-2")))
	r.commit("state.db", path)
	r.log(step{kind: stepStart, v: newest + 1})
	must(t, store.Apply(t.Context(), fleet.policy(t, newest+1, 3000)))
	r.commit("state.db", path)
	r.log(step{kind: stepAck, v: newest + 1})
	must(t, store.Close())
	return r.steps
}

// lie is what a disk, or a program, does that it must not.
type lie struct {
	name   string
	drop   func(step) bool // steps that do not happen
	losing string          // what else the crash destroys: state.db or policy.
}

func TestStore_Crash(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	journal := record(t, fleet, 6)
	none := func(step) bool { return false }
	isDatabase := func(s step) bool { return s.name == "state.db" || s.name == "state.db.new" }
	for _, honest := range []lie{
		{"Everything", none, ""}, {"DatabaseAlone", none, "policy."}, {"CopiesAlone", none, "state.db"},
	} {
		t.Run(honest.name, func(t *testing.T) {
			var states atomic.Int64
			base := t.TempDir()
			inParallel(t, cases(t, 100), func(seed int) error {
				states.Add(1)
				return crash(t, fleet, base, journal, honest, seed)
			})
			t.Logf("%d states of %d steps", states.Load(), len(journal))
		})
	}
	for _, control := range []lie{
		{"LyingSync", func(s step) bool { return s.kind == stepSync }, ""},
		{"NoSyncOfTheDatabase", func(s step) bool { return s.kind == stepSync && isDatabase(s) }, "policy."},
		{"RenameWithoutSync", func(s step) bool { return s.kind == stepSync && !isDatabase(s) }, "state.db"},
		{"NoSyncOfTheFolder", func(s step) bool { return s.kind == stepSyncDir }, "state.db"},
	} {
		t.Run(control.name, func(t *testing.T) {
			base := t.TempDir()
			const tries = 200
			for seed := range tries {
				if err := crash(t, fleet, base, journal, control, seed); errors.Is(err, errModel) {
					t.Logf("found out at state %d: %v", seed+1, err)
					return
				}
			}
			t.Errorf("%d states and nothing found: the harness is blind", tries)
		})
	}
}

// errModel: what was found is not what may be found.
var errModel = errors.New("outside acknowledged ≤ found ≤ started")

// crash replays the journal up to a random point into a model, cuts the power, and
// opens what is left.
func crash(t *testing.T, fleet *fleet, base string, journal []step, with lie, seed int) error {
	r := rand.New(rand.NewPCG(uint64(seed), 11))
	at := r.IntN(len(journal) + 1)
	m := newModel()
	for _, s := range journal[:at] {
		if !with.drop(s) {
			m.do(s)
		}
	}
	dir := filepath.Join(base, fmt.Sprint(seed))
	must(t, os.Mkdir(dir, 0o755))
	defer os.RemoveAll(dir)
	for name, content := range m.powerCut(r) {
		if with.losing == "" || len(name) < len(with.losing) || name[:len(with.losing)] != with.losing {
			must(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
		}
	}
	store, err := policycache.New(fleet.options(dir))
	if err == nil {
		err = store.Open(t.Context())
	}
	if err != nil {
		return fmt.Errorf("state %d: %w", seed, err)
	}
	defer store.Close()
	if found := store.Snapshot().Version; found < m.acknowledged || found > m.started {
		return fmt.Errorf("state %d, cut after step %d of %d: %w: %d ≤ %d ≤ %d", seed, at, len(journal), errModel, m.acknowledged, found, m.started)
	}
	return nil
}
