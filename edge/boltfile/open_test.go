package boltfile_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/edge/boltfile/filetest"
)

func TestFile_Open(t *testing.T) {
	t.Parallel()
	t.Run("Intact", func(t *testing.T) {
		o := options(filled(t, 3))
		before := read(t, o.Path)
		file, found := open(t, o, boltfile.Intact)
		wantVersion(t, found.Records, 3)
		if !file.IsOpen() || len(found.Records) != len(records(3)) {
			t.Errorf("open: %v with %d records, want %d", file.IsOpen(), len(found.Records), len(records(3)))
		}
		must(t, file.Close())
		must(t, file.Close())
		if read(t, o.Path) != before {
			t.Error("opening and closing wrote to the file")
		}
	})
	t.Run("HeldByAnother", func(t *testing.T) {
		o := options(filled(t, 3))
		first, _ := open(t, o, boltfile.Intact)
		if _, err := create(t, o).Open(t.Context()); !errors.Is(err, edge.ErrLocked) {
			t.Errorf("second Open = %v, want %v", err, edge.ErrLocked)
		}
		if _, err := first.Open(t.Context()); err == nil {
			t.Error("an open file was opened")
		}
		if err := first.Rebuild(records(1)); err == nil {
			t.Error("an open file was built anew")
		}
	})
	t.Run("TooLarge", func(t *testing.T) {
		o := options(filled(t, 3))
		must(t, os.Truncate(o.Path, int64(o.Layout.MaxBytes)+1))
		open(t, o, boltfile.Lost)
	})
	t.Run("OwnerCannotRead", func(t *testing.T) {
		o := options(filled(t, 3))
		o.Layout.Check = func(boltfile.Records) error { return errForTest }
		_, found := open(t, o, boltfile.Lost)
		if !errors.Is(found.Why, errForTest) || !errors.Is(found.Why, boltfile.ErrDamaged) {
			t.Errorf("lost because of %v, want %v", found.Why, errForTest)
		}
	})
}

// sleeps is a child that comes to no end and does nothing.
func sleeps(ctx context.Context, _ string) *exec.Cmd { return exec.CommandContext(ctx, "sleep", "60") }

// openUntil opens a file that cannot be checked in time, until that is held against it.
func openUntil(t *testing.T, file *boltfile.File, openings int) {
	t.Helper()
	for i := range openings {
		began := time.Now()
		found, err := file.Open(t.Context())
		must(t, err)
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("Open took %v, want at most 8 s", took)
		}
		if found.Rung == boltfile.Lost {
			return
		}
		wantRung(t, found, boltfile.Failed)
		if i == openings-1 {
			t.Errorf("after %d openings: %v, want the file lost", openings, found.Why)
		}
	}
}

func TestFile_OpenHangs(t *testing.T) {
	t.Parallel()
	t.Run("Loops", func(t *testing.T) { // its processor time ends, or ours, three times
		t.Parallel()
		o := options(filled(t, 3))
		o.Child = filetest.Child("loop")
		openUntil(t, create(t, o), 3)
	})
	t.Run("Sleeps", func(t *testing.T) {
		t.Parallel()
		o := options(filled(t, 3))
		o.Child = sleeps
		before := read(t, o.Path)
		file := create(t, o)
		found, err := file.Open(t.Context())
		must(t, err)
		wantRung(t, found, boltfile.Failed)
		wantAlone(t, filepath.Dir(o.Path), before)
		openUntil(t, file, 2)
	})
	t.Run("Killed", func(t *testing.T) {
		t.Parallel()
		o := options(filled(t, 3))
		o.Child = func(ctx context.Context, _ string) *exec.Cmd {
			return exec.CommandContext(ctx, "sh", "-c", "kill -KILL $$")
		}
		before := read(t, o.Path)
		file := create(t, o)
		open := func() {
			t.Helper()
			found, err := file.Open(t.Context())
			must(t, err)
			wantRung(t, found, boltfile.Failed)
			wantAlone(t, filepath.Dir(o.Path), before)
		}
		open()
		open()
		openUntil(t, file, 1)
	})
	t.Run("EndsWellUnheard", func(t *testing.T) { // something keeps what it says from ending
		t.Parallel()
		o := options(filled(t, 3))
		o.Child = func(ctx context.Context, _ string) *exec.Cmd {
			return exec.CommandContext(ctx, "sh", "-c", "sleep 2 & exit 0")
		}
		_, found := open(t, o, boltfile.Intact)
		wantVersion(t, found.Records, 3)
	})
	t.Run("BusyForAWhile", func(t *testing.T) {
		t.Parallel()
		o := options(filled(t, 3))
		looks := 0
		o.Child = func(ctx context.Context, path string) *exec.Cmd {
			if looks++; looks%3 == 0 {
				return filetest.Child("test")(ctx, path)
			}
			return exec.CommandContext(ctx, "sh", "-c", "kill -KILL $$")
		}
		file := create(t, o)
		for range 3 { // twice in vain each time
			for _, want := range []boltfile.Rung{boltfile.Failed, boltfile.Failed, boltfile.Intact} {
				found, err := file.Open(t.Context())
				must(t, err)
				wantRung(t, found, want)
			}
			must(t, file.Close())
		}
	})
}

// TestFile_OpenUntouched: what is no damage is no reason to change anything.
func TestFile_OpenUntouched(t *testing.T) {
	t.Parallel()
	good := filled(t, 3)
	ended, end := context.WithCancel(t.Context())
	end()
	for name, test := range map[string]struct {
		change func(o *boltfile.Options)
		ctx    context.Context
		want   boltfile.Rung
	}{
		"NoChild": {func(o *boltfile.Options) {
			o.Child = func(ctx context.Context, _ string) *exec.Cmd { return exec.CommandContext(ctx, "/nowhere/child") }
		}, t.Context(), boltfile.Failed},
		"UnknownKind": {func(o *boltfile.Options) { o.Child = filetest.Child("nobody's") }, t.Context(), boltfile.Failed},
		"Ended":       {func(*boltfile.Options) {}, ended, boltfile.Failed},
		"DiskReadOnly": {func(o *boltfile.Options) {
			o.Disk = &filetest.BadDisk{Database: "test.db", Opens: unix.EROFS}
		}, t.Context(), boltfile.ReadOnly},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.CopyFS(dir, os.DirFS(good)))
			o := options(dir)
			test.change(&o)
			file := create(t, o)
			found, err := file.Open(test.ctx)
			must(t, err)
			wantRung(t, found, test.want)
			if found.Why == nil || file.IsOpen() {
				t.Errorf("found %+v, open: %v, want a reason and a closed file", found, file.IsOpen())
			}
			if test.want == boltfile.ReadOnly {
				wantVersion(t, found.Records, 3)
			}
			wantAlone(t, dir, read(t, good+"/test.db"))
		})
	}
}

// wantAlone: the folder has the file as it was, and nothing beside it.
func wantAlone(t *testing.T, dir, content string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 || read(t, dir+"/test.db") != content {
		t.Errorf("the folder was written to: %v", entries)
	}
}

func TestFile_Read(t *testing.T) {
	t.Parallel()
	o := options(filled(t, 3))
	file := create(t, o)
	found, err := file.Read(t.Context())
	must(t, err)
	wantRung(t, found, boltfile.ReadOnly)
	wantVersion(t, found.Records, 3)
	if found.Why != nil || file.IsOpen() {
		t.Errorf("found %+v, open: %v, want no reason and a closed file", found, file.IsOpen())
	}
	must(t, os.WriteFile(o.Path, []byte("no database"), 0o600))
	found, err = file.Read(t.Context())
	must(t, err)
	wantRung(t, found, boltfile.Failed)
	wantAlone(t, filepath.Dir(o.Path), "no database")
}

// spoiled is a folder in which the commit of version 3 went bad, and the file there.
func spoiled(t *testing.T) (boltfile.Options, string) {
	t.Helper()
	o := options(filled(t, 2))
	before := read(t, o.Path)
	file, _ := open(t, o, boltfile.Intact)
	commit(t, file, 3)
	must(t, file.Close())
	spoilLast(t, o.Path, before)
	return o, read(t, o.Path)
}

func TestFile_OpenOlder(t *testing.T) {
	t.Parallel()
	t.Run("Quarantine", func(t *testing.T) {
		o, damaged := spoiled(t)
		must(t, os.WriteFile(o.Path+boltfile.Quarantine, []byte("an earlier one"), 0o600))
		must(t, unix.Mkfifo(o.Path+".older", 0o600)) // nobody will ever read from it
		file, found := open(t, o, boltfile.Older)
		wantVersion(t, found.Records, 2)
		if !errors.Is(found.Why, boltfile.ErrDamaged) || read(t, o.Path+boltfile.Quarantine) != damaged {
			t.Errorf("one commit back because of %v, want the damaged file in quarantine", found.Why)
		}
		commit(t, file, 3)
		must(t, file.Close())
		_, found = open(t, o, boltfile.Intact)
		wantVersion(t, found.Records, 3)
	})
	t.Run("NoLinks", func(t *testing.T) {
		o, _ := spoiled(t)
		o.Disk = noLinks{}
		_, found := open(t, o, boltfile.Older)
		wantVersion(t, found.Records, 2)
	})
	t.Run("DiskFull", func(t *testing.T) {
		o, damaged := spoiled(t)
		disk := &filetest.BadDisk{Database: "test.db", Writes: unix.ENOSPC}
		o.Disk = disk
		file, found := open(t, o, boltfile.Failed)
		if !errors.Is(found.Why, unix.ENOSPC) || read(t, o.Path) != damaged {
			t.Errorf("failed because of %v, want %v and the file as it was", found.Why, unix.ENOSPC)
		}
		disk.Writes = nil
		found, err := file.Restore(t.Context(), records(3))
		must(t, err)
		wantRung(t, found, boltfile.Older)
		wantVersion(t, file.Records(), 3)
	})
}

// noLinks is a disk without hard links.
type noLinks struct{ boltfile.RealDisk }

func (noLinks) Link(string, string) error { return unix.EPERM }

// next are the options of a program of the next schema.
func next(o boltfile.Options) boltfile.Options {
	o.Layout, o.Child = nextLayout(), filetest.Child("next")
	return o
}

func TestFile_OpenNewer(t *testing.T) {
	t.Parallel()
	o := options(t.TempDir())
	file, _ := open(t, next(o), boltfile.Absent)
	must(t, file.Rebuild(boltfile.Records{"meta/newest": []byte("1")}))
	before := read(t, o.Path)
	_, err := file.Commit(t.Context(), boltfile.Records{"meta/newest": []byte("2")})
	must(t, err)
	must(t, file.Close())
	t.Run("Intact", func(t *testing.T) {
		content := read(t, o.Path)
		_, found := open(t, o, boltfile.Newer)
		if !errors.Is(found.Why, boltfile.ErrNewer) {
			t.Errorf("found because of %v, want %v", found.Why, boltfile.ErrNewer)
		}
		wantAlone(t, filepath.Dir(o.Path), content)
	})
	t.Run("Damaged", func(t *testing.T) { // so it is for the newer program to help
		spoilLast(t, o.Path, before)
		content := read(t, o.Path)
		open(t, o, boltfile.Newer)
		wantAlone(t, filepath.Dir(o.Path), content)
	})
}

func TestFile_OpenMigrates(t *testing.T) {
	t.Parallel()
	o := options(filled(t, 3))
	file, found := open(t, next(o), boltfile.Intact)
	want := found.Records.With(boltfile.Change{Bucket: "part", Key: "0", Value: []byte("changed")})
	if string(want["meta/newest"]) != "3" || want["meta/version"] != nil {
		t.Errorf("newest = %q, version = %q, want 3 and none", want["meta/newest"], want["meta/version"])
	}
	_, err := file.Commit(t.Context(), want)
	must(t, err)
	must(t, file.Close())
	open(t, o, boltfile.Newer)
	_, found = open(t, next(o), boltfile.Intact)
	if list := found.Records.Changes(want); len(list) != 0 {
		t.Errorf("after migration and commit: found differs in %+v", list)
	}
}
