package policycache

import (
	"context"
	"fmt"

	"holdfast/edge"
)

// Before is the policy that a rollback of the one in force would bring back, and
// edge.ErrNotFound when there is none: then a rollback would leave the node without.
func (s *Store) Before(ctx context.Context) (*edge.Policy, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	if s.current == nil {
		return nil, fmt.Errorf("cannot tell which policy was before: none is in force: %w", edge.ErrNotFound)
	}
	rest := s.state.clone()
	rest.remember(Refused{Digest: s.current.digest, At: rest.clock.Now(s.options.Wall())})
	delete(rest.slots, s.current.slot)
	if next := s.choose(&rest); next != nil {
		return next.policy, nil
	}
	return nil, fmt.Errorf("there is no policy before version %d: %w", s.current.policy.Metadata.Version, edge.ErrNotFound)
}

// Policies lists every policy the node keeps and may put in force again, the one in
// force and the factory's among them: what these need is not to be thrown away.
func (s *Store) Policies(ctx context.Context) ([]*edge.Policy, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.release()
	var kept []*edge.Policy
	for _, name := range slotNames {
		if found := s.verifyKept(&s.state, s.state.slots[name], nil); found != nil {
			kept = append(kept, found.policy)
		}
	}
	if found := s.verifyFactory(&s.state, nil); found != nil {
		kept = append(kept, found.policy)
	}
	if s.current != nil {
		kept = append(kept, s.current.policy)
	}
	if s.proven != nil {
		kept = append(kept, s.proven.policy)
	}
	return kept, nil
}
