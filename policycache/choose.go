package policycache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// candidate is a policy that was verified.
type candidate struct {
	policy   *edge.Policy
	signers  []string
	digest   string
	envelope []byte
	root     uint64 // version of the root it was verified under
	slot     string // where it lies; empty for the factory's
	origin   Origin
}

func digestOf(payload []byte) string {
	sum := sha256.Sum256(payload)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// accept verifies one envelope. With an error the candidate has what is known of a
// document whose signatures fit, else it is nil.
func accept(root *trust.Root, floors trust.Floors, node edge.Identity, envelope []byte) (*candidate, error) {
	policy, verified, err := trust.AcceptPolicy(root, floors, node, envelope)
	if verified == nil {
		return nil, err
	}
	return &candidate{
		policy: policy, signers: verified.Signers, digest: digestOf(verified.Payload),
		envelope: envelope, root: root.Version, origin: OriginCurrent,
	}, err
}

// followRoots extends the chain of roots by envelopes that were kept. Those the
// flashed root has overtaken are passed over; the first that does not fit ends it.
func followRoots(chain []*trust.Root, kept [][]byte) (roots []*trust.Root, used [][]byte) {
	for _, envelope := range kept {
		next, err := trust.NextRoot(chain[len(chain)-1], envelope)
		if err != nil {
			continue // older, or of another line; either way it proves nothing
		}
		chain, used = append(chain, next), append(used, envelope)
	}
	return chain, used
}

// trustKept walks to the newest root that the database or a copy leads to.
func (s *Store) trustKept(st *state, copies map[string]bundle) {
	chain, used := followRoots([]*trust.Root{s.options.Root}, st.roots)
	for _, name := range slotNames {
		var more [][]byte
		chain, more = followRoots(chain, copies[name].roots)
		used = append(used, more...)
	}
	s.roots, st.roots = chain, used
}

// newest is the root that new documents are held against.
func (s *Store) newest() *trust.Root { return s.roots[len(s.roots)-1] }

// rootOf is the root a kept policy was accepted under. A policy in force stays so
// when keys are rotated: it was signed by whoever held the role then, and an outdated
// policy beats none. When that root is gone the newest counts.
func (s *Store) rootOf(version uint64) *trust.Root {
	for _, root := range s.roots {
		if root.Version == version {
			return root
		}
	}
	return s.newest()
}

// mergeCopies takes policies from the copies where they are newer than the
// database's, or it has none.
func (s *Store) mergeCopies(st *state, copies map[string]bundle) {
	for _, name := range slotNames {
		copied, found := copies[name]
		if !found || copied.root == st.slots[name].root && bytes.Equal(copied.envelope, st.slots[name].envelope) {
			continue
		}
		theirs := s.verifyKept(st, copied.slot, nil)
		ours := s.verifyKept(st, st.slots[name], nil)
		if theirs != nil && (ours == nil || ours.olderThan(theirs)) {
			st.slots[name] = copied.slot
		}
	}
}

// verifyKept verifies a policy that was kept on disk; nil when it is not believed or
// once failed to apply.
func (s *Store) verifyKept(st *state, kept slot, floors trust.Floors) *candidate {
	if len(kept.envelope) == 0 {
		return nil
	}
	found, err := accept(s.rootOf(kept.root), floors, s.options.Identity, kept.envelope)
	if err != nil {
		return nil
	}
	if _, failed := st.refused[found.digest]; failed {
		return nil
	}
	return found
}

func (c *candidate) olderThan(other *candidate) bool {
	if c.root != other.root {
		return c.root < other.root
	}
	return c.policy.Metadata.Version < other.policy.Metadata.Version
}

// choose verifies every policy there is and picks the newest. Below the floor it
// looks only when nothing is above it: a policy that was outdated already is what
// there is after a rollback, and it beats none.
func (s *Store) choose(st *state) *candidate {
	if best := s.best(st, st.floors); best != nil {
		return best
	}
	best := s.best(st, nil)
	if best != nil && best.origin == OriginCurrent {
		best.origin = OriginPrevious
	}
	return best
}

func (s *Store) best(st *state, floors trust.Floors) *candidate {
	var best *candidate
	for _, name := range slotNames {
		found := s.verifyKept(st, st.slots[name], floors)
		if found == nil {
			continue
		}
		found.slot = name
		if best == nil || best.olderThan(found) {
			best = found
		}
	}
	factory := s.verifyFactory(st, floors)
	if factory != nil && (best == nil || best.olderThan(factory)) {
		best = factory
	}
	return best
}

// verifyFactory holds the factory policy against the root it was flashed with, on
// whose word both are.
func (s *Store) verifyFactory(st *state, floors trust.Floors) *candidate {
	if len(s.options.Factory) == 0 {
		return nil
	}
	found, err := accept(s.options.Root, floors, s.options.Identity, bytes.TrimSpace(s.options.Factory))
	var refusal *trust.Refusal
	if errors.As(err, &refusal) && refusal.Reason != trust.ReasonRollback {
		s.warn(warnFactory, s.options.Identity.Node, err.Error(), "put a factory policy on the node that its root's keys signed")
	}
	if err != nil {
		return nil
	}
	if _, failed := st.refused[found.digest]; failed {
		return nil
	}
	found.origin = OriginFactory
	return found
}
