package slots_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/edge/boltfile"
	"holdfast/edge/slots"
)

// brokenDisk is the real one, until told what to fail.
type brokenDisk struct {
	boltfile.RealDisk
	creates    error // of files
	overwrites error // of records
	syncs      error // of records
}

var _ slots.Disk = (*brokenDisk)(nil)

type brokenFile struct {
	*os.File
	err error
}

// Sync syncs, or fails.
func (f brokenFile) Sync() error {
	if f.err != nil {
		return f.err
	}
	return f.File.Sync()
}

// Create makes a file, or fails.
func (d *brokenDisk) Create(name string) (boltfile.DiskFile, error) {
	if d.creates != nil {
		return nil, d.creates
	}
	return d.RealDisk.Create(name)
}

// Overwrite opens a file, or fails.
func (d *brokenDisk) Overwrite(name string) (boltfile.DiskFile, error) {
	if d.overwrites != nil {
		return nil, d.overwrites
	}
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	return brokenFile{file, d.syncs}, err
}

// choose is a start on a disk that has something wrong with it.
func (g *gateway) choose() (slots.Choice, error) {
	g.t.Helper()
	g.Running = ""
	return g.store().Choose()
}

// TestStore_ChooseUncounted: where tries cannot be counted, nothing is tried, and what is
// confirmed runs.
func TestStore_ChooseUncounted(t *testing.T) {
	for name, disk := range map[string]*brokenDisk{
		"ReadOnly":  {overwrites: syscall.EROFS, creates: syscall.EROFS},
		"Full":      {overwrites: syscall.ENOSPC, creates: syscall.ENOSPC},
		"SyncFails": {syncs: syscall.EIO},
	} {
		t.Run(name, func(t *testing.T) {
			for _, before := range []string{factoryVersion, "2"} {
				g := newGateway(t)
				if before != factoryVersion {
					g.confirmed(before, 2)
				}
				must(t, g.store().Cancel()) // so that both records are there
				g.try("3", 3)
				g.Disk = disk
				starts := 4
				if name == "SyncFails" {
					starts = 1 // what the disk did not take may count all the same, at the next
				}
				for range starts {
					choice, err := g.choose()
					if err == nil || choice.Version != before || !strings.Contains(strings.Join(choice.Said, "\n"), "version 3 is not tried: its tries cannot be counted") {
						t.Fatalf("chose %+v with error %v, want %s", choice, err, before)
					}
				}
				g.Disk = nil
				g.wantStart("3")
			}
		})
	}
	t.Run("NoRoomForANewRecord", func(t *testing.T) {
		g := newGateway(t)
		g.confirmed("2", 2)
		g.try("3", 3)
		g.Disk = &brokenDisk{creates: syscall.ENOSPC}
		g.wantStart("3") // the record is written over the older one
	})
}

// TestStore_ChooseSlowDisk: a disk that does not give the programs costs one start, and no
// version.
func TestStore_ChooseSlowDisk(t *testing.T) {
	g := newGateway(t)
	g.confirmed("2", 2)
	g.try("3", 3)
	must(t, os.Remove(filepath.Join(g.Run, "seen.a")))
	before := slots.Generation(g.store())
	g.Patience = time.Nanosecond
	got := g.wantStart(factoryVersion)
	if want := "the disk does not give its file within 1ns"; !strings.Contains(got.Rescue, want) || len(got.Said) != 2 {
		t.Errorf("got %+v, want %q", got, want)
	}
	if slots.Generation(g.store()) != before {
		t.Error("that was recorded")
	}
	g.Patience = 0
	g.wantStart("3")
}

// TestStore_ChooseDamaged: whatever is wrong with the records, something is started.
func TestStore_ChooseDamaged(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, g *gateway){
		"BothEmpty": func(t *testing.T, g *gateway) {
			write(t, filepath.Join(g.Dir, "record.1"), nil)
			write(t, filepath.Join(g.Dir, "record.2"), nil)
		},
		"BothFolders": func(t *testing.T, g *gateway) {
			for _, name := range []string{"record.1", "record.2"} {
				must(t, os.Remove(filepath.Join(g.Dir, name)))
				must(t, os.Mkdir(filepath.Join(g.Dir, name), 0o755))
			}
		},
		"APipe": func(t *testing.T, g *gateway) {
			write(t, filepath.Join(g.Dir, "record.1"), nil)
			must(t, os.Remove(filepath.Join(g.Dir, "record.2")))
			must(t, syscall.Mkfifo(filepath.Join(g.Dir, "record.2"), 0o600))
		},
		"FolderIsAFile": func(t *testing.T, g *gateway) {
			must(t, os.RemoveAll(g.Dir))
			write(t, g.Dir, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t)
			g.confirmed("2", 2)
			must(t, g.store().Switch(g.install("3", 3)))
			spoil(t, g)
			choice, err := g.choose()
			if err == nil || choice.Slot != slots.Factory || !strings.Contains(choice.Rescue, "nothing is known of other versions") {
				t.Fatalf("chose %+v with error %v", choice, err)
			}
		})
	}
	t.Run("BeginsAnew", func(t *testing.T) {
		g := newGateway(t)
		g.confirmed("2", 2)
		second := filepath.Join(g.Dir, "record.2")
		kept, err := os.ReadFile(second)
		must(t, err)
		write(t, filepath.Join(g.Dir, "record.1"), nil)
		write(t, second, bytes.Repeat([]byte{'x'}, len(kept)))
		g.Running = slots.Factory
		g.confirmed("3", 3)
		write(t, filepath.Join(g.Dir, "unrelated"), kept)
		g.wantStart("3")
	})
}

// TestStore_ChooseTorn: one damaged record may have counted a start, so one is taken off.
func TestStore_ChooseTorn(t *testing.T) {
	g := newGateway(t)
	g.confirmed("2", 2)
	g.try("3", 3)
	g.wantStart("3")
	spoilOlder(t, g)
	g.wantStart("2")
	if bad := g.state().Bad; len(bad) != 1 || bad[0].Version != "3" {
		t.Errorf("bad are %+v", bad)
	}
}

// spoilOlder damages the record that was written last but one.
func spoilOlder(t *testing.T, g *gateway) {
	t.Helper()
	before := slots.Generation(g.store())
	for _, name := range []string{"record.1", "record.2"} {
		path := filepath.Join(g.Dir, name)
		kept, err := os.ReadFile(path)
		must(t, err)
		write(t, path, []byte("torn"))
		if slots.Generation(g.store()) == before {
			return
		}
		write(t, path, kept)
	}
	t.Fatal("there is no older record")
}
