package policycache

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// Reasons of refusals that are not in the document but in what this node knows.
const (
	ReasonRolledBack  = trust.Reason("rolled_back")  // it was in force here and failed to apply
	ReasonSameVersion = trust.Reason("same_version") // another document had this version
)

// Judge verifies a policy as Apply does, and gives what it says. Nothing comes of it.
func (s *Store) Judge(ctx context.Context, envelope []byte) (*edge.Policy, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	if err := s.afford(); err != nil {
		return nil, err
	}
	next, err := s.judge(envelope)
	if err != nil {
		return nil, s.charge(fmt.Errorf("cannot apply policy: %w", err))
	}
	return next.policy, nil
}

// Apply verifies a policy, keeps it, puts it in force, and only then returns nil. With
// any error what was in force still is. The policy is on trial from then on, if there
// is one to go back to: see Prove and Rollback.
func (s *Store) Apply(ctx context.Context, envelope []byte) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.release()
	if err := s.afford(); err != nil {
		return err
	}
	next, err := s.judge(envelope)
	if err == nil && !s.file.IsOpen() {
		// Somebody may just have made room. What the database remembers counts again.
		s.mend(ctx)
		next, err = s.judge(envelope)
	}
	if err != nil {
		return s.charge(fmt.Errorf("cannot apply policy: %w", err))
	}
	if s.current != nil && next.digest == s.current.digest {
		return nil
	}
	st := s.state.clone()
	next.slot = freeSlot(st.force)
	st.slots[next.slot] = slot{next.envelope, next.root}
	return s.adopt(ctx, st, next)
}

// freeSlot is where the next policy goes: the other slot; while one is on trial its
// own, because in the other lies, or would be lost, the one to go back to.
func freeSlot(in force) string {
	if in.Slot == slotNames[0] && in.Trial == nil || in.Slot == slotNames[1] && in.Trial != nil {
		return slotNames[1]
	}
	return slotNames[0]
}

// judge holds an arriving policy against the root, the floor and what is remembered.
func (s *Store) judge(envelope []byte) (*candidate, error) {
	root := s.newest()
	if err := s.state.floors.Check(root, trust.RoleRoot, root.Version); err != nil {
		return nil, err
	}
	next, err := accept(root, s.state.floors, s.options.Identity, oneLine(envelope))
	inForce := next != nil && s.current != nil && next.digest == s.current.digest
	switch {
	case inForce && (err == nil || trust.ReasonOf(err) == trust.ReasonRollback):
		return s.current, nil // after a rollback it is below the floor, and in force
	case err != nil:
		return nil, err
	}
	version := next.policy.Metadata.Version
	if failed, known := s.state.refused[next.digest]; known {
		return nil, &trust.Refusal{Reason: ReasonRolledBack, Detail: fmt.Sprintf("version %d failed to apply: %s", version, failed.Why)}
	}
	if version == s.state.floors.Of(root, trust.RolePolicy) && s.state.equal != "" && next.digest != s.state.equal {
		return nil, &trust.Refusal{Reason: ReasonSameVersion, Detail: fmt.Sprintf("another document was version %d", version)}
	}
	return next, nil
}

// adopt commits a state in which another policy is in force, and swaps. When it
// cannot be kept, nothing changes.
func (s *Store) adopt(ctx context.Context, st state, next *candidate) error {
	before, proven, raised := s.current, s.proven, cloneWarnings(s.warnings)
	trial := s.beginTrial()
	s.enforce(&st, next)
	st.force.Trial = trial
	if err := s.commit(ctx, &st); err != nil {
		s.current, s.proven = before, proven
		s.restore(raised)
		s.show()
		return fmt.Errorf("cannot apply policy version %d: %w", next.policy.Metadata.Version, err)
	}
	s.state = st
	s.settled(warnRolledBack)
	s.settleWithheld()
	s.show()
	s.options.Log.Info("policy in force", "version", st.force.Version, "digest", st.force.Digest)
	return nil
}

// Rollback takes a policy out of force that failed to apply, and remembers it. What
// was in force before is again, in memory even if the disk does not take it; then an
// error says so.
func (s *Store) Rollback(ctx context.Context, version uint64, why string) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.release()
	if s.current == nil || s.current.policy.Metadata.Version != version {
		return fmt.Errorf("cannot roll back policy version %d: it is not in force: %w", version, edge.ErrNotFound)
	}
	st := s.state.clone()
	s.takeBack(&st, why)
	s.state = st
	err := s.commit(ctx, &s.state)
	s.show()
	if err != nil {
		return fmt.Errorf("cannot remember rollback of policy version %d: %w", version, err)
	}
	return nil
}

// AddRoots follows rotations of the root document. What was reached before an error
// is kept. The policy in force stays in force; new ones need the new keys.
func (s *Store) AddRoots(ctx context.Context, envelopes ...[]byte) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.release()
	if err := s.afford(); err != nil {
		return err
	}
	st, before := s.state.clone(), s.roots
	refused := s.charge(s.followNew(&st, envelopes))
	if len(s.roots) == len(before) {
		return refused
	}
	if err := s.commit(ctx, &st); err != nil {
		s.roots = before
		s.show()
		return errors.Join(refused, err)
	}
	s.state = st
	s.settleWithheld()
	s.show()
	return refused
}

// followNew walks on from the newest root.
func (s *Store) followNew(st *state, envelopes [][]byte) error {
	for i, envelope := range envelopes {
		line, old := oneLine(envelope), s.newest()
		next, err := trust.NextRoot(old, line)
		if err != nil {
			return fmt.Errorf("cannot follow root document %d of %d: %w", i+1, len(envelopes), err)
		}
		s.roots = append(s.roots[:len(s.roots):len(s.roots)], next)
		st.roots = append(st.roots, line)
		st.floors = st.floors.Raise(next, trust.RoleRoot, next.Version)
		if old.KeySet(trust.RoleFreshness) != next.KeySet(trust.RoleFreshness) {
			st.clock = st.clock.Forget() // its time may have been signed by a thief
		}
	}
	return nil
}

// Nonce asks the fleet whether it is there: the answer to it is for Hear. Each call
// asks anew.
func (s *Store) Nonce(ctx context.Context) (string, error) {
	if err := s.begin(ctx); err != nil {
		return "", err
	}
	defer s.release()
	raw := make([]byte, 16)
	rand.Read(raw) // never fails
	s.nonce = hex.EncodeToString(raw)
	return s.nonce, nil
}

// Hear takes the fleet's signed answer to the latest Nonce: the lease is whole again,
// the time is known, and a policy or root that is kept from us shows as a warning. An
// answer counts once. It counts in memory at once, and on disk within the hour.
func (s *Store) Hear(ctx context.Context, envelope []byte) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.release()
	if err := s.afford(); err != nil {
		return err
	}
	token, err := trust.VerifyFreshness(s.newest(), envelope, s.nonce, s.options.Identity.Node)
	if err != nil {
		return s.charge(fmt.Errorf("cannot hear freshness token: %w", err))
	}
	s.nonce, s.heard = "", token
	s.count()
	s.state.lease = s.state.lease.Refresh(token)
	s.state.clock = s.state.clock.Hear(token.Time).Keep(s.options.Wall())
	s.settleWithheld()
	s.keep(ctx, hearEvery)
	s.show()
	return nil
}

// SyncedFull notes that the fleet was told everything since the epoch began.
func (s *Store) SyncedFull(ctx context.Context) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.release()
	st := s.state.clone()
	st.needFull = false
	if err := s.commit(ctx, &st); err != nil {
		return err
	}
	s.state = st
	s.show()
	return nil
}
