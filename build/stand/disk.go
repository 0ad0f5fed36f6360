package stand

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// SmallDisk puts a disk of so many bytes, in memory, under the state folder, until
// Close. The agent must not run.
func (s *Stand) SmallDisk(size int) error {
	if err := unix.Mount("holdfast-state", s.StateFolder(), "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		return fmt.Errorf("cannot mount disk at %q: %w", s.StateFolder(), err)
	}
	return nil
}

// ReadOnly lays a view over the state folder through which nothing can be written.
// What has files open below it goes on writing; so start the agent after it.
func (s *Stand) ReadOnly() error {
	dir := s.StateFolder()
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cannot cover %q: %w", dir, err)
	}
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return errors.Join(fmt.Errorf("cannot make %q read-only: %w", dir, err), s.Uncover())
	}
	return nil
}

// Uncover takes off the state folder what was laid over it last.
func (s *Stand) Uncover() error {
	// What still has a file open there keeps the disk until it closes it.
	if err := unix.Unmount(s.StateFolder(), unix.MNT_DETACH); err != nil {
		return fmt.Errorf("cannot uncover %q: %w", s.StateFolder(), err)
	}
	return nil
}

// uncoverAll takes everything off, if there is anything.
func (s *Stand) uncoverAll() error {
	for {
		err := s.Uncover()
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) { // nothing is mounted there
			return nil
		}
		if err != nil {
			return err
		}
	}
}
