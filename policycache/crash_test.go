package policycache_test

import (
	"context"
	"path/filepath"
	"testing"

	"holdfast/edge/boltfile/filetest"
)

// record runs a node through its versions and returns the journal.
func record(t *testing.T, fleet *fleet, newest uint64) []filetest.Step {
	t.Helper()
	options := fleet.options(t.TempDir())
	r := &filetest.Recorder{Path: filepath.Join(options.Dir, "state.db")}
	options.Disk = r
	store := open(t, options)
	r.Commit()
	for v := uint64(1); v <= newest; v++ {
		r.Start(v)
		must(t, store.Apply(t.Context(), fleet.policy(t, v, 3000)))
		r.Commit()
		r.Acknowledge(v)
		// One is overtaken while it is on trial, and so overwritten where it lies; the
		// newest is taken back below.
		if v != newest/2 && v != newest {
			must(t, store.Prove(t.Context(), v))
			r.Commit()
		}
	}
	// A rollback: from its beginning on the one before may be found, and from its end
	// on nothing newer.
	r.Acknowledge(newest - 1)
	must(t, store.Rollback(t.Context(), newest, "fails"))
	r.Commit()
	r.Start(newest - 1)
	// New keys, and the first policy they sign.
	must(t, store.AddRoots(t.Context(), fleet.rotate(t, "policy", "policy-2")))
	r.Commit()
	r.Start(newest + 1)
	must(t, store.Apply(t.Context(), fleet.policy(t, newest+1, 3000)))
	r.Commit()
	r.Acknowledge(newest + 1)
	must(t, store.Close())
	return r.Journal()
}

// TestStore_Crash loses power, then opens what is left: all of it, or what one of the
// two copies of everything is without the other.
func TestStore_Crash(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	filetest.Crash{
		Journal: record(t, fleet, 6),
		Honest: []filetest.Lie{
			{Name: "Everything"}, {Name: "DatabaseAlone", Losing: "policy."}, {Name: "CopiesAlone", Losing: "state.db"},
		},
		Controls: []filetest.Lie{
			{Name: "LyingSync", Drop: func(s filetest.Step) bool { return s.IsSync("") }},
			{Name: "NoSyncOfTheDatabase", Drop: func(s filetest.Step) bool { return s.IsSync("state.db") }, Losing: "policy."},
			{Name: "RenameWithoutSync", Drop: func(s filetest.Step) bool { return s.IsSync("policy.") }, Losing: "state.db"},
			{Name: "NoSyncOfTheFolder", Drop: filetest.Step.IsSyncDir, Losing: "state.db"},
		},
		States: 100,
		Open: func(ctx context.Context, dir string) (uint64, error) {
			store, _, err := openPatiently(ctx, fleet.options(dir))
			if err != nil {
				return 0, err
			}
			defer store.Close()
			return store.Snapshot().Version, nil
		},
	}.Run(t)
}
