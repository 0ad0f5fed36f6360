package slots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Free is the slot that takes the next version: neither what runs nor what is confirmed,
// and of two such rather the one that cannot be started, or the older.
func (s *Store) Free() (Name, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, _ := s.read() // what is lost begins anew
	return s.free(found.newest.State)
}

func (s *Store) free(state State) (Name, error) {
	may := func(n Name) bool { return n != state.Active && n != state.Confirmed && n != s.o.Running }
	worth := func(n Name) uint64 {
		if slot := state.Slot(n); slot.Proven && slot.Fault == "" {
			return slot.Sequence + 1
		}
		return 0
	}
	switch {
	case may(A) && (!may(B) || worth(A) <= worth(B)):
		return A, nil
	case may(B):
		return B, nil
	}
	return "", refuse("cannot install: version %s is on trial", state.Version(state.Active))
}

// Check tells whether a version would be installed: an error says why it would not.
func (s *Store) Check(b Binary) error {
	if err := b.Check(); err != nil {
		return fmt.Errorf("cannot install: %w", err)
	}
	state, _ := s.State() // what is lost begins anew
	return admissible(state, b)
}

func admissible(state State, b Binary) error {
	if bad, found := state.Badly(b.Digest); found {
		return refuse("cannot install version %s: it was found bad: %s", b.Version, bad.Reason)
	}
	if b.Sequence < state.Floor {
		return refuse("cannot install version %s: its sequence %d is below the floor of %d", b.Version, b.Sequence, state.Floor)
	}
	return nil
}

// Incoming is the file in which a program is to be put together that Adopt then takes, and
// the slot it is for. It makes the folder. What lies there may be the beginning of an
// earlier attempt.
func (s *Store) Incoming() (path string, slot Name, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, _ := s.read() // what is lost begins anew
	slot, err = s.free(found.newest.State)
	if err != nil {
		return "", "", err
	}
	dir := filepath.Join(s.o.Dir, string(slot))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", fmt.Errorf("cannot make slot: %w", err)
	}
	for _, above := range []string{s.o.Dir, filepath.Dir(s.o.Dir)} {
		if err := s.disk.SyncDir(above); err != nil {
			return "", "", fmt.Errorf("cannot make slot: %w", err)
		}
	}
	return filepath.Join(dir, incomingName), slot, nil
}

const incomingName = programName + ".new"

// Install reads a program and puts it into the free slot, which it returns. See Adopt.
func (s *Store) Install(ctx context.Context, b Binary, from io.Reader) (Name, error) {
	if err := s.Check(b); err != nil {
		return "", err
	}
	path, _, err := s.Incoming()
	if err != nil {
		return "", err
	}
	if err := s.fetch(ctx, path, b.Size, from); err != nil {
		return "", errors.Join(fmt.Errorf("cannot install version %s: %w", b.Version, err), ignoreAbsent(s.disk.Remove(path)))
	}
	return s.Adopt(ctx, b)
}

// fetch writes no more than one byte too many, which the size will tell.
func (s *Store) fetch(ctx context.Context, path string, size int64, from io.Reader) error {
	if err := ignoreAbsent(s.disk.Remove(path)); err != nil { // it may be a pipe
		return err
	}
	file, err := s.disk.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, io.LimitReader(untilDone{ctx, from}, size+1))
	return errors.Join(err, file.Close())
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx  context.Context
	from io.Reader
}

// Read reads.
func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.from.Read(p)
}

// Adopt takes the file of Incoming for the program that b describes, and returns its slot.
// The file is synced, read back from the disk as far as the kernel lets one, held against
// its description and this machine's architecture, and only then takes the place of what was
// in the slot. It is not switched to. A file that is not what it should be is removed.
func (s *Store) Adopt(ctx context.Context, b Binary) (Name, error) {
	if err := s.Check(b); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, _ := s.read() // what is lost begins anew
	slot, err := s.free(found.newest.State)
	if err != nil {
		return "", err
	}
	path := filepath.Join(s.o.Dir, string(slot), incomingName)
	if err := s.proof(ctx, b, path); err != nil {
		if ctx.Err() == nil {
			err = errors.Join(err, ignoreAbsent(s.disk.Remove(path)))
		}
		return "", fmt.Errorf("cannot install version %s: %w", b.Version, err)
	}
	if err := s.place(b, slot, path); err != nil {
		return "", fmt.Errorf("cannot install version %s: %w", b.Version, err)
	}
	return slot, nil
}

// proof makes a program last, and then finds out whether it did.
func (s *Store) proof(ctx context.Context, b Binary, path string) error {
	if err := os.Chmod(path, 0o755); err != nil { //nolint:gosec // it is a program
		return err
	}
	file, err := s.disk.Overwrite(path)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	dropCache(path)
	return b.verify(ctx, path)
}

// dropCache asks the kernel to read a file from the disk the next time. It may not.
func dropCache(path string) {
	file, err := os.Open(path)
	if err != nil {
		return
	}
	defer file.Close()
	_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
}

// place is the exchange: the slot is empty on the disk before its program changes, and has
// a version again after that.
func (s *Store) place(b Binary, slot Name, path string) error {
	if err := s.change(func(state *State) error { *state.at(slot) = Slot{}; return nil }); err != nil {
		return err
	}
	if info, err := os.Lstat(s.Path(slot)); err == nil && info.IsDir() { // a repair of the disk may have made it one
		if err := os.RemoveAll(s.Path(slot)); err != nil {
			return err
		}
	}
	if err := s.disk.Rename(path, s.Path(slot)); err != nil {
		return err
	}
	if err := s.disk.SyncDir(filepath.Dir(path)); err != nil {
		return err
	}
	return s.change(func(state *State) error { *state.at(slot) = Slot{Binary: b}; return nil })
}

func ignoreAbsent(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
