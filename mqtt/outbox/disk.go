package outbox

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Disk is what the spool does to files, so that tests can record it, take its power
// away and make it fail.
type Disk interface {
	// Lock makes the folder, where there is none, and holds it until closed. It fails
	// with unix.EWOULDBLOCK while somebody else does.
	Lock(dir string) (io.Closer, error)
	// Open opens a file to read and write, and makes an empty one where there is none.
	Open(name string) (File, error)
	// SyncDir makes durable which files there are.
	SyncDir(dir string) error
}

// File is a segment. Offsets are the caller's; there is no position.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	// Sync makes durable what was written: the data and the size, not the times.
	Sync() error
}

// osDisk is the real one.
type osDisk struct{}

var _ Disk = osDisk{}

func (osDisk) Lock(dir string) (io.Closer, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock %q: %w", dir, err), folder.Close())
	}
	return folder, nil
}

func (osDisk) Open(name string) (File, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{file}, nil
}

func (osDisk) SyncDir(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("cannot use %q: not a file", f.Name())
	}
	return info.Size(), nil
}

func (f osFile) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
