package policycache_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/boltfile/filetest"
	"holdfast/policycache"
)

func TestStore_BadDisk(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	start := func(t *testing.T) (*policycache.Store, *filetest.BadDisk, string) {
		disk := &filetest.BadDisk{Database: "state.db"}
		options := fleet.options(fleet.filled(t, 1))
		options.Disk = disk
		return open(t, options), disk, options.Dir
	}

	t.Run("FullForCopies", func(t *testing.T) {
		store, disk, _ := start(t)
		disk.Writes = unix.ENOSPC
		err := store.Apply(t.Context(), fleet.policy(t, 2, 0))
		if !errors.Is(err, unix.ENOSPC) || !errors.Is(err, edge.ErrUnavailable) || !strings.Contains(edge.HintOf(err), "free some space") {
			t.Errorf("Apply = %v (%s), want %v with a hint", err, edge.HintOf(err), unix.ENOSPC)
		}
		wantState(t, store, policycache.OriginCurrent, 1)
		disk.Writes = nil
		must(t, store.Apply(t.Context(), fleet.policy(t, 2, 0)))
	})
	t.Run("CommitFailsOnce", func(t *testing.T) {
		store, disk, dir := start(t)
		disk.Fill(t)
		must(t, store.Apply(t.Context(), fleet.policy(t, 2, 0)))
		must(t, store.Close())
		wantState(t, open(t, fleet.options(dir)), policycache.OriginCurrent, 2)
	})
	t.Run("CheckFailsAtFirst", func(t *testing.T) {
		options := fleet.options(fleet.filled(t, 2))
		fails := true
		options.Checker = func(ctx context.Context, path string) *exec.Cmd {
			if fails {
				return exec.CommandContext(ctx, "/nowhere/checker")
			}
			return filetest.Child("state")(ctx, path)
		}
		store := open(t, options)
		epoch := store.Status().Epoch
		fails = false
		must(t, store.Apply(t.Context(), fleet.policy(t, 3, 0)))
		if status := store.Status(); status.Epoch == epoch || !status.Kept || len(status.Warnings) != 0 {
			t.Errorf("status = %+v, want the epoch and the rest from the database", status)
		}
	})
	t.Run("CommitFailsForGood", func(t *testing.T) {
		store, disk, dir := start(t)
		disk.Fill(t)
		disk.ReadOnly = true
		if err := store.Apply(t.Context(), fleet.policy(t, 2, 0)); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("Apply = %v, want %v", err, edge.ErrUnavailable)
		}
		wantState(t, store, policycache.OriginCurrent, 1)
		if !warned(store, "state-storage-failed") || store.Status().Kept {
			t.Errorf("status = %+v, want storage failed", store.Status())
		}
		again := store.Apply(t.Context(), fleet.policy(t, 2, 0))
		if !errors.Is(again, edge.ErrUnavailable) || !strings.Contains(again.Error(), "state.db") {
			t.Errorf("second Apply = %v, want what is wrong with the database", again)
		}
		if err := store.Rollback(t.Context(), 1, "fails"); err == nil {
			t.Error("Rollback says it was kept")
		}
		wantState(t, store, policycache.OriginNone, 0)
		must(t, store.Close())
		wantState(t, open(t, fleet.options(dir)), policycache.OriginCurrent, 1)
	})
	t.Run("RoomAgain", func(t *testing.T) {
		store, disk, _ := start(t)
		disk.Fill(t)
		disk.ReadOnly = true
		if store.Apply(t.Context(), fleet.policy(t, 2, 0)) == nil {
			t.Fatal("Apply succeeded on a failing disk")
		}
		disk.ReadOnly = false
		must(t, store.Apply(t.Context(), fleet.policy(t, 2, 0)))
		if !store.Status().Kept || len(store.Status().Warnings) != 0 {
			t.Errorf("status = %+v, want the database back and no warning", store.Status())
		}
	})
	t.Run("ReadOnly", func(t *testing.T) {
		options := fleet.options(fleet.filled(t, 2))
		options.Disk = &filetest.BadDisk{Database: "state.db", Opens: unix.EROFS, Writes: unix.EROFS}
		store := open(t, options)
		wantState(t, store, policycache.OriginCurrent, 2)
		if !warned(store, "state-read-only") {
			t.Errorf("warnings = %+v, want state-read-only", store.Status().Warnings)
		}
		err := store.Apply(t.Context(), fleet.policy(t, 3, 0))
		if !errors.Is(err, edge.ErrUnavailable) || !strings.Contains(edge.HintOf(err), "writable") {
			t.Errorf("Apply = %v (%s), want %v with a hint", err, edge.HintOf(err), edge.ErrUnavailable)
		}
		wantState(t, store, policycache.OriginCurrent, 2)
	})
	t.Run("WritableAgain", func(t *testing.T) {
		options := fleet.options(fleet.filled(t, 2))
		disk := &filetest.BadDisk{Database: "state.db", Opens: unix.EROFS, OnlyDB: true}
		options.Disk = disk
		store := open(t, options)
		wantState(t, store, policycache.OriginCurrent, 2)
		if !warned(store, "state-read-only") {
			t.Errorf("status = %+v, want read-only", store.Status())
		}
		disk.Opens = nil
		must(t, store.Apply(t.Context(), fleet.policy(t, 3, 0)))
		if !store.Status().Kept || len(store.Status().Warnings) != 0 {
			t.Errorf("status = %+v, want the database back and no warning", store.Status())
		}
	})
	t.Run("FileGoneUnderTheMap", func(t *testing.T) {
		store, _, dir := start(t)
		must(t, os.Truncate(filepath.Join(dir, "state.db"), 0))
		must(t, store.Apply(t.Context(), fleet.policy(t, 2, 0)))
		if !warned(store, "state-rebuilt") {
			t.Errorf("warnings = %+v, want state-rebuilt", store.Status().Warnings)
		}
		must(t, store.Close())
		wantState(t, open(t, fleet.options(dir)), policycache.OriginCurrent, 2)
	})
}

func TestStore_RunMends(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	disk := &filetest.BadDisk{Database: "state.db"}
	options := fleet.options(fleet.filled(t, 1))
	options.Disk = disk
	synctest.Test(t, func(t *testing.T) {
		store, err := policycache.New(options)
		must(t, err)
		must(t, store.Open(t.Context()))
		disk.Fill(t)
		disk.ReadOnly = true
		if store.Apply(t.Context(), fleet.policy(t, 2, 0)) == nil {
			t.Fatal("Apply succeeded on a failing disk")
		}
		disk.ReadOnly = false
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- store.Run(ctx) }()
		time.Sleep(2*time.Minute + time.Second)
		synctest.Wait()
		cancel()
		must(t, <-ended)
		if status := store.Status(); !status.Kept || warned(store, "state-storage-failed") {
			t.Errorf("status = %+v, want the database back", status)
		}
		must(t, store.Apply(t.Context(), fleet.policy(t, 2, 0)))
		must(t, store.Close())
	})
}

func TestStore_OpenNewer(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	dir := fleet.filled(t, 2)
	path := filepath.Join(dir, "state.db")
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("2")) }))
	must(t, db.Close())
	before, err := os.ReadFile(path)
	must(t, err)

	store := open(t, fleet.options(dir))
	wantState(t, store, policycache.OriginCurrent, 2)
	if !warned(store, "state-newer") {
		t.Errorf("warnings = %+v, want state-newer", store.Status().Warnings)
	}
	if err := store.Apply(t.Context(), fleet.policy(t, 3, 0)); !errors.Is(err, edge.ErrUnavailable) || !strings.Contains(edge.HintOf(err), "newer version") {
		t.Errorf("Apply = %v (%s), want %v with a hint", err, edge.HintOf(err), edge.ErrUnavailable)
	}
	must(t, store.Close())
	after, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("the newer database was written to")
	}
}

func TestStore_OpenOlderMeta(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	dir := fleet.filled(t, 2)
	fleet.prove(t, dir, 2)
	path := filepath.Join(dir, "state.db")
	before, err := os.ReadFile(path)
	must(t, err)
	store := open(t, fleet.options(dir))
	must(t, store.Apply(t.Context(), fleet.policy(t, 3, 2000)))
	must(t, store.Close())
	after, err := os.ReadFile(path)
	must(t, err)
	page := os.Getpagesize()
	for at := 2 * page; at < len(after); at += page { // all that the last commit wrote but its meta page
		if at >= len(before) || !bytes.Equal(before[at:at+page], after[at:at+page]) {
			clear(after[at : at+page])
		}
	}
	must(t, os.WriteFile(path, after, 0o600))
	store = open(t, fleet.options(dir))
	wantState(t, store, policycache.OriginCurrent, 3) // by its copy
	if status := store.Status(); !warned(store, "state-recovered") || !status.NeedFull {
		t.Errorf("status = %+v, want the last commit dropped", status)
	}
	if _, err := os.Stat(path + ".damaged"); err != nil {
		t.Errorf("the damaged file is not in quarantine: %v", err)
	}
}

// TestStore_OpenHangs: a check that comes to no end is waited for within the time of a
// start, and in the end held against the file.
func TestStore_OpenHangs(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	options := fleet.options(fleet.filled(t, 2))
	options.Checker = func(ctx context.Context, _ string) *exec.Cmd { return exec.CommandContext(ctx, "sleep", "60") }
	began := time.Now()
	store := open(t, options)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Open took %v, want at most 10 s", took)
	}
	wantState(t, store, policycache.OriginCurrent, 2)
	if !warned(store, "state-storage-failed") {
		t.Errorf("warnings = %+v, want state-storage-failed", store.Status().Warnings)
	}
	if err := store.Apply(t.Context(), fleet.policy(t, 3, 0)); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Apply = %v, want %v", err, edge.ErrUnavailable)
	}
	must(t, store.Apply(t.Context(), fleet.policy(t, 3, 0)))
	wantState(t, store, policycache.OriginCurrent, 3)
	if !warned(store, "state-rebuilt") || !store.Status().Kept {
		t.Errorf("status = %+v, want the database rebuilt", store.Status())
	}
}

func TestStore_OpenUnchecked(t *testing.T) {
	t.Parallel()
	fleet := newFleet(t)
	options := fleet.options(fleet.filled(t, 2))
	path := filepath.Join(options.Dir, "state.db")
	before, err := os.ReadFile(path)
	must(t, err)
	options.Checker = func(ctx context.Context, _ string) *exec.Cmd { return exec.CommandContext(ctx, "/nowhere/checker") }
	store := open(t, options)
	wantState(t, store, policycache.OriginCurrent, 2)
	if !warned(store, "state-storage-failed") {
		t.Errorf("warnings = %+v, want state-storage-failed", store.Status().Warnings)
	}
	must(t, store.Close())
	after, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("a database that was never checked was written to")
	}
}
