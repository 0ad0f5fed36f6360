package policycache

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/boltfile"
)

// commit makes a state durable: first the copies, which leave everything as it was
// when they fail, then the database in one transaction. What did not change is not
// written.
func (s *Store) commit(ctx context.Context, st *state) error {
	if !s.file.IsOpen() {
		return s.storageError(s.lost)
	}
	want, err := st.encode()
	if err != nil {
		return err
	}
	if err := s.writeCopies(*st); err != nil {
		return s.storageError(err)
	}
	found, err := s.file.Commit(ctx, want)
	if err := s.land(found, err, st); err != nil {
		s.warnStorage(warnFailed, err)
		s.retry = s.retry.failed()
		return errors.Join(s.storageError(err), s.undoCopies())
	}
	return s.dropCopies(*st)
}

// undoCopies takes back what a commit that failed had written beside the database.
func (s *Store) undoCopies() error {
	return errors.Join(s.writeCopies(s.state), s.dropCopies(s.state))
}

// reopen climbs the ladder under a running agent and commits what is in memory.
func (s *Store) reopen(ctx context.Context, st *state) error {
	want, err := st.encode()
	if err != nil {
		return err
	}
	found, err := s.file.Restore(ctx, want)
	if err := s.land(found, err, st); err != nil {
		return err
	}
	return s.dropCopies(*st)
}

// land follows a commit: what the ladder found on the way is told, and a database that
// was lost under the running agent is built anew.
func (s *Store) land(found boltfile.Found, err error, st *state) error {
	if errors.Is(err, boltfile.ErrLost) {
		st.epoch, st.needFull = newEpoch(), true
		err = s.rebuild(*st)
	}
	if err == nil || found.Rung == boltfile.Older {
		s.report(found, true)
	}
	if err != nil {
		return err
	}
	s.keptAt = s.options.BootTime()
	s.settled(warnFailed)
	s.settled(warnReadOnly)
	return nil
}

// rebuild makes a new database of what is in memory.
func (s *Store) rebuild(st state) error {
	r, err := st.encode()
	if err != nil {
		return err
	}
	return s.file.Rebuild(r)
}

// storageError says what a person can do about a disk that fails.
func (s *Store) storageError(err error) error {
	hint := "look at the kernel's log for errors of the disk"
	switch {
	case s.has(warnNewer):
		hint = "the state was written by a newer version: start that one, or move state.db away"
	case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT):
		hint = "free some space on the disk of " + s.options.Dir
	case errors.Is(err, unix.EROFS) || errors.Is(err, os.ErrPermission) || s.has(warnReadOnly):
		hint = "make the disk of " + s.options.Dir + " writable"
	}
	return edge.WithHint(fmt.Errorf("cannot keep policy state: %w: %w", edge.ErrUnavailable, err), hint)
}
