package policycache

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// commit makes a state durable: first the copies, which leave everything as it was
// when they fail, then the database in one transaction. What did not change is not
// written.
func (s *Store) commit(ctx context.Context, st *state) error {
	if s.db == nil {
		return s.storageError(s.lost)
	}
	want, err := st.encode()
	if err != nil {
		return err
	}
	if err := s.writeCopies(*st); err != nil {
		return s.storageError(err)
	}
	if list := s.kept.changes(want); len(list) > 0 {
		if err := s.db.commit(list); err != nil {
			if err := s.recover(ctx, st, err); err != nil {
				return errors.Join(s.storageError(err), s.undoCopies())
			}
			return nil
		}
		s.kept = want
	}
	s.keptAt = s.options.BootTime()
	s.settled(warnFailed)
	s.settled(warnReadOnly)
	return s.dropCopies(*st)
}

// undoCopies takes back what a commit that failed had written beside the database.
func (s *Store) undoCopies() error {
	return errors.Join(s.writeCopies(s.state), s.dropCopies(s.state))
}

// recover follows a failed commit, of which nobody knows what the file has. It
// closes it, climbs the ladder, and commits once to the file as it was found.
func (s *Store) recover(ctx context.Context, st *state, why error) error {
	s.drop(why)
	err := s.reopen(ctx, st)
	if err == nil {
		return nil
	}
	err = errors.Join(why, err)
	s.drop(err)
	s.warnStorage(warnFailed, err)
	s.retry = s.retry.failed()
	return err
}

// drop lets go of the database.
func (s *Store) drop(why error) {
	db := s.db
	s.db, s.kept = nil, nil
	switch {
	case db == nil:
	case errors.Is(why, errFault):
		db.abandon()
	default:
		if err := db.close(); err != nil {
			s.options.Log.Warn("state not closed", "error", err)
		}
	}
}

// reopen climbs the ladder under a running agent and commits what is in memory.
func (s *Store) reopen(ctx context.Context, st *state) error {
	// Whoever asked may go away; half a climb would help nobody.
	at, err := s.climb(context.WithoutCancel(ctx), true)
	if err != nil {
		return err
	}
	switch at.rung {
	case rungIntact, rungOlder:
		s.db, s.kept = at.db, at.records
	case rungAbsent, rungLost:
		st.epoch, st.needFull = newEpoch(), true
		if s.db, s.kept, err = s.rebuild(*st); err != nil {
			return err
		}
	default:
		return fmt.Errorf("cannot reopen database: %w", at.why)
	}
	s.report(at, true)
	want, err := st.encode()
	if err != nil {
		return err
	}
	if list := s.kept.changes(want); len(list) > 0 {
		if err := s.db.commit(list); err != nil {
			s.drop(err)
			return err
		}
	}
	s.kept, s.keptAt = want, s.options.BootTime()
	s.settled(warnFailed)
	s.settled(warnReadOnly)
	return s.dropCopies(*st)
}

// storageError says what a person can do about a disk that fails.
func (s *Store) storageError(err error) error {
	hint := "look at the kernel's log for errors of the disk"
	switch {
	case s.has(warnNewer):
		hint = "the state was written by a newer version: start that one, or move state.db away"
	case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT):
		hint = "free some space on the disk of " + s.options.Dir
	case isReadOnly(err) || s.has(warnReadOnly):
		hint = "make the disk of " + s.options.Dir + " writable"
	}
	return edge.WithHint(fmt.Errorf("cannot keep policy state: %w: %w", edge.ErrUnavailable, err), hint)
}
