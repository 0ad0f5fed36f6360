package policycache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/edge/trust"
)

// Store keeps the policy in force.
type Store struct {
	options Options
	view    atomic.Pointer[published]
	status  atomic.Pointer[Status]

	turn chan struct{} // capacity 1: whoever put something in may touch what follows

	opened   bool
	loaded   bool // the state came from the database, or there was none
	lock     *os.File
	writable bool           // the lock was had and the disk takes writes
	file     *boltfile.File // closed: memory only
	lost     error          // then why
	keptAt   time.Duration  // boot time of the latest commit
	copies   map[string][]byte
	roots    []*trust.Root // from the flashed one to the newest
	state    state
	current  *candidate // in force; nil: none
	proven   *candidate // while it is on trial: what it would be taken back for
	bootID   string
	nonce    string // asked and not answered yet
	heard    *trust.Token
	warnings map[string]edge.Warning
	retry    backoff
	junk     junk
}

// Open finds the best policy there is and puts it in force. It fails only when
// another agent holds the folder, or ctx ends; trouble with the disk is a warning.
func (s *Store) Open(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.release()
	if s.opened {
		return errors.New("cannot open policy cache: it is open")
	}
	s.warnings = map[string]edge.Warning{}
	s.bootID = s.options.BootID()
	if s.bootID == "" {
		s.bootID = newEpoch() // every start is a boot then
	}
	if err := s.claim(); err != nil {
		return err
	}
	at, err := s.climb(ctx, s.writable)
	if err != nil {
		return errors.Join(s.held(err), s.unlock())
	}
	s.load(at)
	s.settle(ctx)
	s.opened = true
	s.show()
	return nil
}

func (s *Store) path(name string) string { return filepath.Join(s.options.Dir, name) }

// climb finds what it can of the database.
func (s *Store) climb(ctx context.Context, writable bool) (boltfile.Found, error) {
	if writable {
		return s.file.Open(ctx)
	}
	return s.file.Read(ctx)
}

// claim takes the folder for this process.
func (s *Store) claim() error {
	err := os.MkdirAll(s.options.Dir, 0o755)
	if err == nil {
		s.lock, err = lockFile(s.options.Disk, s.path("state.lock"), lockLimit)
	}
	if errors.Is(err, edge.ErrLocked) {
		return s.held(err)
	}
	s.writable = err == nil
	if err != nil {
		s.warnStorage(warnReadOnly, err)
	}
	return nil
}

func (s *Store) held(err error) error {
	if !errors.Is(err, edge.ErrLocked) {
		return fmt.Errorf("cannot open policy cache: %w", err)
	}
	return edge.WithHint(fmt.Errorf("cannot open state folder %q: %w", s.options.Dir, edge.ErrLocked),
		"is another agent running? stop it, or give this one a folder of its own")
}

// load makes the state of what the ladder found, and chooses the policy.
func (s *Store) load(at boltfile.Found) {
	s.loaded = at.Rung != boltfile.Failed && at.Rung != boltfile.Newer
	s.state = state{slots: map[string]slot{}, refused: map[string]Refused{}}
	known := false
	if at.Records != nil {
		st, err := decode(at.Records)
		if known = err == nil; known {
			s.state = st
		}
	}
	if !known {
		s.state.epoch, s.state.needFull = newEpoch(), true
	}
	if at.Rung == boltfile.Older {
		s.state.needFull = true // something the fleet was told may be gone
	}
	s.state.clock.Built = s.options.Built
	copies := s.readCopies()
	s.report(at, len(s.copies) > 0)
	s.count()
	s.trustKept(&s.state, copies)
	s.mergeCopies(&s.state, copies)
	s.enforce(&s.state, s.choose(&s.state))
	s.resumeTrial(&s.state)
	s.recall()
}

// recall shows again, after a restart, that a newer policy failed to apply.
func (s *Store) recall() {
	for _, failed := range s.state.refused {
		if failed.Version > s.state.force.Version {
			s.warnRollback(failed)
		}
	}
}

// enforce makes a policy the one in force in a state, without touching the disk.
func (s *Store) enforce(st *state, chosen *candidate) {
	s.current = chosen
	if chosen == nil {
		st.force = force{Origin: OriginNone}
		s.warn(warnNone, s.options.Identity.Node, "there is no policy that can be verified; nothing is allowed", "apply a signed policy")
		return
	}
	s.settled(warnNone)
	if st.force.Digest != chosen.digest || st.force.Origin != chosen.origin || st.force.Slot != chosen.slot {
		st.force = force{
			Slot: chosen.slot, Origin: chosen.origin, Version: chosen.policy.Metadata.Version,
			Digest: chosen.digest, Since: st.clock.Now(s.options.Wall()),
		}
	}
	if st.lease.Terms == (edge.LeaseTerms{}) {
		st.lease = trust.NewLease(chosen.policy.Lease)
	} else if st.lease.Terms != chosen.policy.Lease {
		st.lease = st.lease.Adopt(chosen.policy.Lease)
	}
	newest := s.newest()
	st.floors = st.floors.Raise(newest, trust.RoleRoot, newest.Version)
	if chosen.root == newest.Version && chosen.policy.Metadata.Version >= st.floors.Of(newest, trust.RolePolicy) {
		st.floors = st.floors.Raise(newest, trust.RolePolicy, chosen.policy.Metadata.Version)
		st.equal = chosen.digest
	}
}

// settle writes what opening changed. That it cannot is a warning, no failure.
func (s *Store) settle(ctx context.Context) {
	if !s.writable || !s.file.IsOpen() && s.blocked() {
		return
	}
	if !s.file.IsOpen() {
		if err := s.rebuild(s.state); err != nil {
			s.warnStorage(warnFailed, err)
			return
		}
	}
	if err := s.commit(ctx, &s.state); err != nil {
		s.options.Log.Warn("state not kept", "error", err)
	}
}

// blocked tells whether a database may not be built now.
func (s *Store) blocked() bool {
	for _, code := range [...]string{warnNewer, warnFailed, warnReadOnly} {
		if _, raised := s.warnings[code]; raised {
			return true
		}
	}
	return false
}

// Close keeps what was counted and lets go of the folder.
func (s *Store) Close() error {
	s.turn <- struct{}{}
	defer s.release()
	if !s.opened {
		return nil
	}
	s.opened = false
	s.count()
	s.orderly()
	var err error
	if s.file.IsOpen() {
		err = s.commit(context.Background(), &s.state)
	}
	return errors.Join(err, s.file.Close(), s.unlock())
}

func (s *Store) unlock() error {
	if s.lock == nil {
		return nil
	}
	lock := s.lock
	s.lock = nil
	// A child being started right now may hold a copy of the file, and with it the
	// lock, until it runs its own program: closing alone is not enough.
	err := unix.Flock(int(lock.Fd()), unix.LOCK_UN)
	return errors.Join(err, lock.Close())
}

// take waits for the turn to change something.
func (s *Store) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot wait for policy cache: %w", ctx.Err())
	}
}

func (s *Store) release() { <-s.turn }

// begin takes the turn on an open store.
func (s *Store) begin(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	if !s.opened {
		s.release()
		return fmt.Errorf("cannot use policy cache: not open: %w", edge.ErrUnavailable)
	}
	return nil
}

// Snapshot is the policy in force. It is never nil, and before Open it is none.
func (s *Store) Snapshot() *Snapshot { return s.view.Load().snapshot }

// Changed is closed at the next change of the policy in force or the end of its
// lease. Take it before the Snapshot.
func (s *Store) Changed() <-chan struct{} { return s.view.Load().changed }

// publish shows readers a snapshot, and wakes those who wait for one.
func (s *Store) publish(snapshot *Snapshot, changed bool) {
	before := s.view.Load()
	next := &published{snapshot: snapshot}
	if !changed {
		next.changed = before.changed
		s.view.Store(next)
		return
	}
	next.changed = make(chan struct{})
	s.view.Store(next)
	if before != nil {
		close(before.changed)
	}
}
