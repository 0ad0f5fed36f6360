package policycache

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Disk is what the store does to files, so that tests can record it and make it
// fail. The database goes through OpenFile and from there straight to the kernel.
type Disk interface {
	OpenFile(name string, flag int, mode os.FileMode) (*os.File, error)
	Create(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	SyncDir(name string) error
}

// File is a file being written.
type File interface {
	io.Writer
	Sync() error
	Close() error
}

// osDisk is the real one.
type osDisk struct{}

var _ Disk = osDisk{}

func (osDisk) OpenFile(name string, flag int, mode os.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag, mode)
}

func (osDisk) Create(name string) (File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (osDisk) Rename(from, to string) error { return os.Rename(from, to) }
func (osDisk) Remove(name string) error     { return os.Remove(name) }

func (osDisk) SyncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// replaceFile gives a file new content, so that after a power cut either the old or
// the new is there, whole.
func replaceFile(disk Disk, name string, content []byte) error {
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

// readBounded reads a file that must not be larger than expected.
func readBounded(name string, limit int64) ([]byte, error) {
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

// errHeld: somebody else has the lock.
var errHeld = errors.New("lock is held")

// lockFile takes the lock on the state folder, which outlives any one database file.
func lockFile(disk Disk, name string, limit time.Duration) (*os.File, error) {
	file, err := disk.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return file, nil
		case !errors.Is(err, unix.EWOULDBLOCK):
			file.Close()
			return nil, fmt.Errorf("cannot lock %q: %w", name, err)
		case time.Now().After(deadline):
			file.Close()
			return nil, errHeld
		}
	}
}

// bootTime is how long the machine has been up, suspended time included.
func bootTime() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return 0 // every kernel since 2.6.39 has the clock
	}
	return time.Duration(now.Nano())
}

// bootID tells one boot from another. Where the kernel does not say, every start
// counts as a boot, which can only end a lease early.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
