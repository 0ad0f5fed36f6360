package policycache

import (
	"context"
	"fmt"
	"slices"

	"holdfast/edge"
)

// Trial is the first time of a policy in force, in which whoever carries it out may
// find that it cannot be. It is kept, so that it goes on after a restart.
type Trial struct {
	// Failing names the workloads that were not well before the trial, and so say
	// nothing about the policy.
	Failing []string `json:"failing,omitempty"`
	// Crashes counts the starts of the agent within the trial that follow no orderly end.
	Crashes int `json:"crashes,omitempty"`
}

// maxCrashes within a trial are taken for the policy's doing: it may be what kills
// the agent, eats the memory or starts the node anew.
const maxCrashes = 3

// beginTrial prepares the trial of the policy that comes next. When the one in force is
// on trial itself, the new one stands against the same proven one.
func (s *Store) beginTrial() *Trial {
	switch {
	case s.current == nil:
		return nil
	case s.state.force.Trial != nil:
		return &Trial{Failing: s.state.force.Trial.Failing}
	}
	s.proven = s.current
	failing := s.options.Failing()
	slices.Sort(failing)
	return &Trial{Failing: failing}
}

// Prove ends the trial of the policy in force well.
func (s *Store) Prove(ctx context.Context, version uint64) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.release()
	if s.current == nil || s.current.policy.Metadata.Version != version {
		return fmt.Errorf("cannot prove policy version %d: it is not in force: %w", version, edge.ErrNotFound)
	}
	if s.state.force.Trial == nil {
		return nil
	}
	s.state.force.Trial, s.proven = nil, nil
	err := s.commit(ctx, &s.state)
	s.show()
	if err != nil {
		return fmt.Errorf("cannot remember that policy version %d has proven itself: %w", version, err)
	}
	return nil
}

// resumeTrial goes on with a trial that the end of an earlier agent interrupted, or
// ends it when there were too many.
func (s *Store) resumeTrial(st *state) {
	trial := st.force.Trial
	if trial == nil || s.current == nil {
		return
	}
	if s.proven = s.second(st); s.proven == nil {
		st.force.Trial = nil // there is nothing to go back to any more
		return
	}
	resumed := *trial
	resumed.Crashes++
	st.force.Trial = &resumed
	if resumed.Crashes >= maxCrashes {
		s.takeBack(st, fmt.Sprintf("the agent ended %d times without order while the policy was new", resumed.Crashes))
	}
}

// orderly takes the end that is coming out of the count.
func (s *Store) orderly() {
	if trial := s.state.force.Trial; trial != nil && trial.Crashes > 0 {
		s.state.force.Trial = &Trial{Failing: trial.Failing, Crashes: trial.Crashes - 1}
	}
}

// second is the best policy but the one in force.
func (s *Store) second(st *state) *candidate {
	rest := st.clone()
	delete(rest.slots, s.current.slot)
	return s.choose(&rest)
}

// takeBack makes the policy in force one that failed, and the best of the others the
// one in force.
func (s *Store) takeBack(st *state, why string) {
	failed := s.current
	refused := Refused{
		Version: failed.policy.Metadata.Version, Digest: failed.digest, Why: why, At: st.clock.Now(s.options.Wall()),
	}
	st.remember(refused)
	delete(st.slots, failed.slot)
	s.proven = nil
	s.enforce(st, s.choose(st))
	s.warnRollback(refused)
}
