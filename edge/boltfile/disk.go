package boltfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Disk is what is done to files, so that tests can record it and make it fail. The
// database goes through OpenFile and from there straight to the kernel.
type Disk interface {
	OpenFile(name string, flag int, mode os.FileMode) (*os.File, error)
	Create(name string) (DiskFile, error)
	Rename(from, to string) error
	Link(from, to string) error
	Remove(name string) error
	SyncDir(name string) error
}

// DiskFile is a file being written.
type DiskFile interface {
	io.Writer
	Sync() error
	Close() error
}

// RealDisk is the kernel's.
type RealDisk struct{}

var _ Disk = RealDisk{}

// OpenFile opens a file for bbolt, or as a lock.
func (RealDisk) OpenFile(name string, flag int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, mode)
}

// Create makes a file that only its owner reads, or empties one.
func (RealDisk) Create(name string) (DiskFile, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

// Rename gives a file another name, in place of what had it.
func (RealDisk) Rename(from, to string) error { return os.Rename(from, to) }

// Link gives a file a second name.
func (RealDisk) Link(from, to string) error { return os.Link(from, to) }

// Remove takes a file out of its folder.
func (RealDisk) Remove(name string) error { return os.Remove(name) }

// SyncDir makes what was renamed and removed in a folder last.
func (RealDisk) SyncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Replace gives a file new content, so that after a power cut either the old or the
// new is there, whole.
func Replace(disk Disk, name string, content []byte) error {
	temporary := name + ".new"
	// What lies there may be a pipe, which would wait for a reader.
	if err := ignoreAbsent(disk.Remove(temporary)); err != nil {
		return err
	}
	if err := writeFile(disk, temporary, content); err != nil {
		return errors.Join(err, ignoreAbsent(disk.Remove(temporary)))
	}
	if err := disk.Rename(temporary, name); err != nil {
		return err
	}
	return disk.SyncDir(filepath.Dir(name))
}

func writeFile(disk Disk, name string, content []byte) error {
	file, err := disk.Create(name)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func ignoreAbsent(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// ReadBounded reads a file that must not be larger than expected.
func ReadBounded(name string, limit int64) ([]byte, error) {
	// What lies under the name may be a pipe, which would wait for a writer.
	file, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("cannot read %q: not a file", name))
	}
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("cannot read %q: more than %d bytes", name, limit)
	}
	return content, err
}
