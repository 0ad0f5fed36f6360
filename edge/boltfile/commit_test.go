package boltfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"holdfast/edge/boltfile"
	"holdfast/edge/boltfile/filetest"
)

func TestFile_Commit(t *testing.T) {
	t.Parallel()
	t.Run("OnlyWhatDiffers", func(t *testing.T) {
		o := options(filled(t, 3))
		before := read(t, o.Path)
		file, _ := open(t, o, boltfile.Intact)
		commit(t, file, 3)
		if read(t, o.Path) != before {
			t.Error("a commit without a change wrote to the file")
		}
		commit(t, file, 4)
		wantVersion(t, file.Records(), 4)
		must(t, file.Close())
		_, found := open(t, o, boltfile.Intact)
		if list := found.Records.Changes(records(4)); len(list) != 0 {
			t.Errorf("found records that differ in %+v", list)
		}
	})
	t.Run("NotItsOwners", func(t *testing.T) {
		o := options(filled(t, 3))
		file, _ := open(t, o, boltfile.Intact)
		for _, name := range []string{"meta/schema", "meta/seal", "stranger/0", "part", "part/", ""} {
			if _, err := file.Commit(t.Context(), boltfile.Records{name: nil}); err == nil || !file.IsOpen() {
				t.Errorf("Commit of %q = %v, open: %v, want it refused and the file open", name, err, file.IsOpen())
			}
		}
		wantVersion(t, file.Records(), 3)
	})
	t.Run("EmptyValues", func(t *testing.T) {
		o := next(options(t.TempDir()))
		want := boltfile.Records{"part/none": nil, "part/empty": {}, "part/with/slashes": []byte("1")}
		file, _ := open(t, o, boltfile.Absent)
		must(t, file.Rebuild(want))
		must(t, file.Close())
		_, found := open(t, o, boltfile.Intact)
		if list := found.Records.Changes(want); len(list) != 0 || len(found.Records) != len(want) {
			t.Errorf("found %v, want %v", found.Records, want)
		}
	})
	t.Run("Closed", func(t *testing.T) {
		if _, err := create(t, options(t.TempDir())).Commit(t.Context(), records(1)); err == nil {
			t.Error("a closed file took a commit")
		}
	})
}

func TestFile_CommitFails(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T) (*boltfile.File, *filetest.BadDisk, boltfile.Options) {
		o := options(filled(t, 3))
		disk := &filetest.BadDisk{Database: "test.db"}
		o.Disk = disk
		file, _ := open(t, o, boltfile.Intact)
		return file, disk, o
	}
	t.Run("Once", func(t *testing.T) {
		file, disk, o := start(t)
		disk.Fill(t)
		ended, end := context.WithCancel(t.Context())
		end() // whoever asked is gone
		_, err := file.Commit(ended, records(4))
		must(t, err)
		must(t, file.Close())
		_, found := open(t, o, boltfile.Intact)
		wantVersion(t, found.Records, 4)
	})
	t.Run("ForGood", func(t *testing.T) {
		file, disk, o := start(t)
		disk.Fill(t)
		disk.ReadOnly = true
		if _, err := file.Commit(t.Context(), records(4)); err == nil || file.IsOpen() {
			t.Errorf("Commit = %v, open: %v, want an error and the file closed", err, file.IsOpen())
		}
		if _, err := file.Restore(t.Context(), records(4)); err == nil || file.IsOpen() {
			t.Errorf("Restore = %v, open: %v, want an error and the file closed", err, file.IsOpen())
		}
		disk.ReadOnly = false
		found, err := file.Restore(t.Context(), records(5))
		must(t, err)
		wantRung(t, found, boltfile.Intact)
		must(t, file.Close())
		_, found = open(t, o, boltfile.Intact)
		wantVersion(t, found.Records, 5)
	})
	t.Run("TooLarge", func(t *testing.T) {
		file, _, o := start(t)
		large := records(4).With(boltfile.Change{Bucket: "part", Key: "large", Value: append([]byte("4 "), make([]byte, o.Layout.MaxBytes)...)})
		if _, err := file.Commit(t.Context(), large); err == nil {
			t.Error("a commit larger than the file may be was made")
		}
		_, err := file.Restore(t.Context(), records(4))
		must(t, err)
		if info, err := os.Stat(o.Path); err != nil || info.Size() > int64(o.Layout.MaxBytes) {
			t.Errorf("the file has %d bytes (%v), want at most %d", info.Size(), err, o.Layout.MaxBytes)
		}
	})
	t.Run("FileGoneUnderTheMap", func(t *testing.T) {
		file, _, o := start(t)
		must(t, os.Truncate(o.Path, 0))
		found, err := file.Commit(t.Context(), records(4))
		if !errors.Is(err, boltfile.ErrLost) || !found.Gone() || file.IsOpen() {
			t.Fatalf("Commit = %+v, %v, want %v", found, err, boltfile.ErrLost)
		}
		must(t, file.Rebuild(records(5)))
		commit(t, file, 6)
		must(t, file.Close())
		_, found = open(t, o, boltfile.Intact)
		wantVersion(t, found.Records, 6)
	})
}

// TestFile_RestoreCommits: what a failed sync left may be read and not be on the disk,
// so that finding it there is no reason to write nothing.
func TestFile_RestoreCommits(t *testing.T) {
	t.Parallel()
	o := options(filled(t, 3))
	before := read(t, o.Path)
	file := create(t, o)
	_, err := file.Restore(t.Context(), records(3))
	must(t, err)
	if read(t, o.Path) == before {
		t.Error("Restore wrote nothing")
	}
}

func TestRecords_Changes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	draw := func() boltfile.Records {
		some := boltfile.Records{}
		for range r.IntN(12) {
			some[fmt.Sprintf("b%d/k/%d", r.IntN(3), r.IntN(4))] = []byte{byte(r.IntN(3))}[:r.IntN(2)]
		}
		return some
	}
	for range 1000 {
		from, to := draw(), draw()
		got := from.With(from.Changes(to)...)
		if len(got) != len(to) || len(got.Changes(to)) != 0 {
			t.Fatalf("%v with the changes to %v = %v", from, to, got)
		}
		for name := range to {
			if !bytes.Equal(got[name], to[name]) {
				t.Fatalf("%s = %q, want %q", name, got[name], to[name])
			}
		}
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(o *boltfile.Options){
		"NoPath":    func(o *boltfile.Options) { o.Path = "" },
		"NoLayout":  func(o *boltfile.Options) { o.Layout = boltfile.Layout{} },
		"NoChild":   func(o *boltfile.Options) { o.Child = nil },
		"NoMigrate": func(o *boltfile.Options) { o.Layout.Schema = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t.TempDir())
			spoil(&o)
			if _, err := boltfile.New(o); err == nil {
				t.Error("options that lack something were taken")
			}
		})
	}
}
