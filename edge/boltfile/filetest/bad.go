package filetest

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/edge/boltfile"
)

// BadDisk is the real disk, until told what to fail.
type BadDisk struct {
	boltfile.RealDisk
	Database string // name of the file that is one; those beside it have it for a start
	Writes   error  // of files beside the database
	Opens    error  // for writing
	OnlyDB   bool   // of the database alone
	ReadOnly bool   // the database opens, and its writes fail

	mu   sync.Mutex
	open *os.File // the database, as it is open now
}

var _ boltfile.Disk = (*BadDisk)(nil)

// OpenFile opens a file, unless that is to fail.
func (d *BadDisk) OpenFile(name string, flag int, mode os.FileMode) (*os.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	isDatabase := strings.HasPrefix(filepath.Base(name), d.Database)
	if d.Opens != nil && flag&(os.O_RDWR|os.O_CREATE) != 0 && (isDatabase || !d.OnlyDB) {
		return nil, &os.PathError{Op: "open", Path: name, Err: d.Opens}
	}
	if d.ReadOnly && isDatabase {
		flag = os.O_RDONLY
	}
	file, err := d.RealDisk.OpenFile(name, flag, mode)
	if isDatabase {
		d.open = file
	}
	return file, err
}

// Create makes a file, whose writes may fail.
func (d *BadDisk) Create(name string) (boltfile.DiskFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	file, err := d.RealDisk.Create(name)
	if err != nil {
		return nil, err
	}
	return &badFile{file, d.Writes}, nil
}

// Fill makes every write to the database, as it is open now, fail for want of space.
func (d *BadDisk) Fill(t testing.TB) {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	must(t, err)
	defer full.Close()
	must(t, unix.Dup3(int(full.Fd()), int(d.open.Fd()), unix.O_CLOEXEC))
}

type badFile struct {
	boltfile.DiskFile
	err error
}

// Write fails, or writes.
func (f *badFile) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.DiskFile.Write(p)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
