package journal_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/boltfile/filetest"
	"holdfast/mqtt/journal"
	"holdfast/mqtt/outbox"
)

func TestJournal_BadDisk(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (*journal.Journal, *filetest.BadDisk, string) {
		dir := t.TempDir()
		o := options(dir, "boot-1")
		disk := &filetest.BadDisk{Database: "link.db"}
		o.Disk = disk
		j := open(t, o)
		carry(t, j, order(issuer, 1))
		take(t, j, order(issuer, 2))
		return j, disk, dir
	}
	refused := func(t *testing.T, j *journal.Journal) {
		t.Helper()
		_, err := j.Take(t.Context(), order(issuer, 3), "d")
		if !errors.Is(err, edge.ErrUnavailable) || edge.HintOf(err) == "" {
			t.Errorf("Take = %v, want %v with a hint", err, edge.ErrUnavailable)
		}
		for what, err := range map[string]error{
			"Begin": j.Begin(t.Context(), order(issuer, 2).ID), "Finish": j.Finish(t.Context(), done(order(issuer, 2))),
			"SetConfirms": j.SetConfirms(t.Context()),
		} {
			if !errors.Is(err, edge.ErrUnavailable) {
				t.Errorf("%s = %v, want %v", what, err, edge.ErrUnavailable)
			}
		}
		if _, err := j.Append(t.Context(), outbox.Record{Kind: "policy", Body: []byte("{}")}); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("Append = %v, want %v", err, edge.ErrUnavailable)
		}
	}
	readable := func(t *testing.T, j *journal.Journal) {
		t.Helper()
		if taken := take(t, j, order(issuer, 1)); taken.New || taken.Reply == nil {
			t.Errorf("taken = %+v, want the reply it had", taken)
		}
		if got := said(t, j); len(got) != 4 || len(j.Unfinished()) != 1 || len(j.Seen()) != 1 {
			t.Errorf("stream = %q, want four entries", got)
		}
	}

	t.Run("FailsOnce", func(t *testing.T) {
		j, disk, dir := start(t)
		disk.Fill(t)
		carry(t, j, order(issuer, 3))
		if !j.Status().Kept || len(j.Status().Warnings) != 0 {
			t.Errorf("status = %+v", j.Status())
		}
		must(t, j.Close())
		if got := said(t, open(t, options(dir, "boot-1"))); len(got) != 7 {
			t.Errorf("stream = %q, want seven entries", got)
		}
	})
	t.Run("FailsForGood", func(t *testing.T) {
		j, disk, dir := start(t)
		disk.Fill(t)
		disk.ReadOnly = true
		refused(t, j)
		readable(t, j)
		if !warned(j, "link-storage-failed") || j.Status().Kept {
			t.Errorf("status = %+v, want storage failed", j.Status())
		}
		must(t, j.Close())
		j = open(t, options(dir, "boot-1"))
		readable(t, j)
		carry(t, j, order(issuer, 3))
	})
	t.Run("ReadOnly", func(t *testing.T) {
		j, _, dir := start(t)
		must(t, j.Close())
		o := options(dir, "boot-2")
		o.Disk = &filetest.BadDisk{Database: "link.db", Opens: unix.EROFS}
		j = open(t, o)
		readable(t, j)
		refused(t, j)
		if !warned(j, "link-read-only") || j.Unfinished()[0].Boots != 1 {
			t.Errorf("status = %+v, unfinished %+v", j.Status(), j.Unfinished())
		}
	})
	t.Run("Newer", func(t *testing.T) {
		j, _, dir := start(t)
		must(t, j.Close())
		path := filepath.Join(dir, "link.db")
		db, err := bbolt.Open(path, 0o600, nil)
		must(t, err)
		must(t, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("2")) }))
		must(t, db.Close())
		before, err := os.ReadFile(path)
		must(t, err)
		j = open(t, options(dir, "boot-2"))
		refused(t, j)
		if !warned(j, "link-newer") || warned(j, "link-storage-failed") {
			t.Errorf("warnings = %+v, want that it is newer", j.Status().Warnings)
		}
		must(t, j.Close())
		after, err := os.ReadFile(path)
		must(t, err)
		if string(before) != string(after) {
			t.Error("a newer database was written to")
		}
	})
	t.Run("Held", func(t *testing.T) {
		j, _, dir := start(t)
		other, err := journal.New(options(dir, "boot-1"))
		must(t, err)
		defer other.Close()
		if err := other.Open(t.Context()); !errors.Is(err, edge.ErrLocked) {
			t.Errorf("Open = %v, want %v", err, edge.ErrLocked)
		}
		readable(t, j)
	})
	t.Run("FileGoneUnderTheMap", func(t *testing.T) {
		j, _, dir := start(t)
		epoch := j.Status().Epoch
		must(t, os.Truncate(filepath.Join(dir, "link.db"), 0))
		take(t, j, order(issuer, 3))
		if !j.Status().Kept || j.Status().Epoch != epoch || !warned(j, "link-rebuilt") {
			t.Errorf("status = %+v, want all of it kept anew", j.Status())
		}
		must(t, j.Close())
		j = open(t, options(dir, "boot-1"))
		if got := said(t, j); len(got) != 5 || j.Status().Epoch != epoch {
			t.Errorf("stream = %q of %s, want five entries of %s", got, j.Status().Epoch, epoch)
		}
	})
}

// TestJournal_RunMends: a file that failed is tried again, and one that could not be
// read at the start is read then, and not overwritten by what nobody knew.
func TestJournal_RunMends(t *testing.T) {
	t.Parallel()
	t.Run("Writing", func(t *testing.T) {
		o := options(t.TempDir(), "boot-1")
		disk := &filetest.BadDisk{Database: "link.db"}
		o.Disk = disk
		synctest.Test(t, func(t *testing.T) {
			j := running(t, o)
			take(t, j, order(issuer, 1))
			disk.Fill(t)
			disk.ReadOnly = true
			if _, err := j.Take(t.Context(), order(issuer, 2), "d"); err == nil {
				t.Fatal("taken on a failing disk")
			}
			disk.ReadOnly = false
			synctest.Wait()
			if j.Status().Kept {
				t.Fatal("kept before it was tried")
			}
			time.Sleep(6 * time.Second)
			synctest.Wait()
			if !j.Status().Kept || warned(j, "link-storage-failed") {
				t.Errorf("status = %+v, want the file back", j.Status())
			}
			take(t, j, order(issuer, 2))
		})
	})
	t.Run("Reading", func(t *testing.T) {
		dir := filled(t)
		o := options(dir, "boot-1")
		disk := &filetest.BadDisk{Database: "link.db", Opens: unix.EIO}
		o.Disk = disk
		synctest.Test(t, func(t *testing.T) {
			j := running(t, o)
			if j.Status().Kept || len(j.Unfinished()) != 0 {
				t.Fatalf("status = %+v on a failing disk", j.Status())
			}
			disk.Opens = nil
			synctest.Wait()
			if j.Status().Kept {
				t.Fatal("kept before it was tried")
			}
			time.Sleep(6 * time.Second)
			synctest.Wait()
			if !j.Status().Kept || len(j.Unfinished()) != 2 || j.NeedFull() || string(j.Note("n")) != "2" {
				t.Errorf("status = %+v, %d unfinished, want what the file has", j.Status(), len(j.Unfinished()))
			}
		})
	})
}

// running is a journal whose Run runs, in a bubble.
func running(t *testing.T, o journal.Options) *journal.Journal {
	t.Helper()
	j := open(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-ended)
	})
	return j
}

// TestJournal_AckOfMany: while many come they are written each second.
func TestJournal_AckOfMany(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j := running(t, options(dir, "boot-1"))
		for i := range uint64(100) {
			carry(t, j, order(issuer, 1+i))
		}
		before := j.Status()
		for seq := uint64(1); seq <= 200; seq++ {
			j.Ack(outbox.Position{Epoch: before.Epoch, Seq: seq})
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		if now := j.Status(); now.Counts.FlashSyncs < before.Counts.FlashSyncs+1 || now.Counts.FlashSyncs > before.Counts.FlashSyncs+3 {
			t.Errorf("%d commits for 200 acknowledgements in 2 s, want one or two", now.Counts.FlashSyncs-before.Counts.FlashSyncs)
		}
	})
}

// TestJournal_AckIsLazy: acknowledgements are written within a minute, together, and
// never for nothing.
func TestJournal_AckIsLazy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		j := running(t, options(dir, "boot-1"))
		for i := range uint64(9) {
			carry(t, j, order(issuer, 1+i))
		}
		before := j.Status()
		for seq := uint64(1); seq <= 20; seq++ {
			j.Ack(outbox.Position{Epoch: before.Epoch, Seq: seq})
			time.Sleep(time.Second)
		}
		if now := j.Status(); now.Counts.FlashSyncs != before.Counts.FlashSyncs || now.Acked != 20 {
			t.Errorf("%d commits for acknowledgements of 20 s, acked %d", now.Counts.FlashSyncs-before.Counts.FlashSyncs, now.Acked)
		}
		time.Sleep(41 * time.Second)
		synctest.Wait()
		if now := j.Status(); now.Counts.FlashSyncs != before.Counts.FlashSyncs+1 {
			t.Errorf("%d commits after a minute, want 1", now.Counts.FlashSyncs-before.Counts.FlashSyncs)
		}
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if now := j.Status(); now.Counts.FlashSyncs != before.Counts.FlashSyncs+1 {
			t.Errorf("%d commits after a day, want 1", now.Counts.FlashSyncs-before.Counts.FlashSyncs)
		}
	})
}

func TestJournal_New(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*journal.Options){
		"NoPath":  func(o *journal.Options) { o.Path = "" },
		"NoBoot":  func(o *journal.Options) { o.Boot = "" },
		"NoChild": func(o *journal.Options) { o.Child = nil },
		"NoStamp": func(o *journal.Options) { o.Stamp = nil },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t.TempDir(), "boot-1")
			change(&o)
			if _, err := journal.New(o); err == nil || !strings.HasPrefix(err.Error(), "cannot create") {
				t.Errorf("New = %v, want a refusal", err)
			}
		})
	}
}
