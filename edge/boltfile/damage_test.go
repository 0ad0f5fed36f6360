package boltfile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/edge/boltfile"
	"holdfast/edge/boltfile/filetest"
)

// openDamaged opens a copy of a file that the seed damaged. It complains when that has
// records older than a version, or of several, or is of no use then.
func openDamaged(t *testing.T, good, base string, seed int, least uint64) (boltfile.Rung, error) {
	dir := filepath.Join(base, fmt.Sprint(seed))
	defer os.RemoveAll(dir)
	way := filetest.Damage(t, good, dir, "test.db", seed)
	file, found, took, err := openPatiently(t.Context(), options(dir))
	if err != nil {
		return found.Rung, fmt.Errorf("%s %d: %w", way, seed, err)
	}
	defer file.Close()
	if took > 8*time.Second {
		return found.Rung, fmt.Errorf("%s %d: opened after %v", way, seed, took)
	}
	if found.Gone() {
		err = file.Rebuild(records(least))
	}
	r := file.Records()
	if err = errors.Join(err, checkRecords(r)); err != nil || version(r) < least {
		return found.Rung, fmt.Errorf("%s %d: version %d, %s (%v); want version %d at least", way, seed, version(r), found.Rung, err, least)
	}
	return found.Rung, useUp(t, file)
}

// useUp commits over every page there is.
func useUp(t *testing.T, file *boltfile.File) error {
	for v := uint64(6); v < 9; v++ {
		if found, err := file.Commit(t.Context(), records(v)); err != nil || found.Rung != boltfile.Intact {
			return fmt.Errorf("commit after opening: %s (%v)", found.Rung, err)
		}
	}
	return nil
}

// TestFile_OpenDamaged opens files damaged by the hundred: each time there are records
// of one of the two latest commits, or none, and the file is of use.
func TestFile_OpenDamaged(t *testing.T) {
	t.Parallel()
	good, base := filled(t, 5), t.TempDir()
	var lost, older atomic.Int64
	count := filetest.Cases(t, 120)
	filetest.InParallel(t, count, func(seed int) error {
		rung, err := openDamaged(t, good, base, seed, 4)
		switch rung {
		case boltfile.Lost:
			lost.Add(1)
		case boltfile.Older:
			older.Add(1)
		}
		return err
	})
	t.Logf("%d files: %d lost, %d one commit back", count, lost.Load(), older.Load())
	if int(lost.Load()) < count/4 || older.Load() == 0 {
		t.Errorf("%d of %d lost and %d one commit back: the damage does not bite", lost.Load(), count, older.Load())
	}
}

// TestFile_OpenDamagedControl shows that the harness above can complain: who expects
// the latest commit always is told otherwise.
func TestFile_OpenDamagedControl(t *testing.T) {
	t.Parallel()
	good, base := filled(t, 5), t.TempDir()
	for seed := range 120 {
		if _, err := openDamaged(t, good, base, seed, 5); err != nil {
			t.Logf("found at file %d: %v", seed+1, err)
			return
		}
	}
	t.Error("none of 120 damaged files had lost its last commit: the harness is blind")
}

// TestFile_OpenTurnedBytes: bytes that turned in a value are no damage to bbolt, and
// without the seal would pass for what somebody wrote.
func TestFile_OpenTurnedBytes(t *testing.T) {
	t.Parallel()
	dir := filled(t, 5)
	path := filepath.Join(dir, "test.db")
	turned := strings.ReplaceAll(read(t, path), "xxxxxxxx", "xxxyyxxx") // in old pages and new
	must(t, os.WriteFile(path, []byte(turned), 0o600))
	_, found := open(t, options(dir), boltfile.Lost)
	if !errors.Is(found.Why, boltfile.ErrDamaged) || !strings.Contains(found.Why.Error(), "seal") {
		t.Errorf("lost because of %v, want the seal", found.Why)
	}
}
