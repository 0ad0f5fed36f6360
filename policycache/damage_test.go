package policycache_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"holdfast/edge/boltfile/filetest"
	"holdfast/policycache"
)

// TestStore_OpenDamaged opens databases damaged by the hundred. Each time the newest
// policy must be in force in time, for it lies beside the database as well; and once
// its copy is damaged too, whichever verifies is left.
func TestStore_OpenDamaged(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	good := fleet.filledWith(t, 5, 12_000) // files of several pages
	base := t.TempDir()
	options := func(dir string) policycache.Options {
		o := fleet.options(dir)
		o.Factory = fleet.policy(t, 1, 10)
		return o
	}
	var mu sync.Mutex
	var longest time.Duration
	rebuilt, recovered := 0, 0
	run := func(seed int) error {
		dir := filepath.Join(base, fmt.Sprint(seed))
		defer os.RemoveAll(dir)
		way := filetest.Damage(t, good, dir, "state.db", seed)
		want := uint64(5)
		if seed%3 == 0 { // and the copy of version 5, in policy.A
			filetest.Damage(t, good, filepath.Join(dir, "x"), "policy.A", seed)
			must(t, os.Rename(filepath.Join(dir, "x", "policy.A"), filepath.Join(dir, "policy.A")))
			want = 4
		}
		store, took, err := openPatiently(t.Context(), options(dir))
		if err != nil {
			return fmt.Errorf("%s %d: %w", way, seed, err)
		}
		defer store.Close()
		mu.Lock()
		defer mu.Unlock()
		longest = max(longest, took)
		if warned(store, "state-rebuilt") {
			rebuilt++
		}
		if warned(store, "state-recovered") {
			recovered++
		}
		if got := store.Snapshot(); got.Policy == nil || got.Version < want || took > 10*time.Second || !store.Status().Kept {
			return fmt.Errorf("%s %d: version %d of %s after %v, kept %v; want version %d at least", way, seed, got.Version, got.Origin, took, store.Status().Kept, want)
		}
		return nil
	}
	count := filetest.Cases(t, 120)
	filetest.InParallel(t, count, run)
	t.Logf("%d images: %d rebuilt, %d one commit back, the others usable; longest opening %v", count, rebuilt, recovered, longest)
	if rebuilt < count/4 || recovered == 0 {
		t.Errorf("%d of %d rebuilt and %d one commit back: the damage does not bite", rebuilt, count, recovered)
	}
}

// TestStore_OpenDamagedControl shows that the harness above can fail: with the
// copies gone and no factory policy there is nothing to find.
func TestStore_OpenDamagedControl(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	dir := fleet.filled(t, 2)
	for _, name := range []string{"state.db", "policy.A", "policy.B"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("gone"), 0o600))
	}
	wantState(t, open(t, fleet.options(dir)), policycache.OriginNone, 0)
}
