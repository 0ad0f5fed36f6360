package policycache

import (
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
)

const (
	// junkBurst is more than an honest sender with stale documents ever has refused in
	// a row.
	junkBurst = 32
	// junkEvery is how often another refusal may follow. Refusing the worst document
	// costs 16 signature checks, some 10 ms on a slow ARM: 1 % of the processor.
	junkEvery = time.Second
)

// junk limits what documents that are refused may cost. Those that are accepted cost
// nothing; so nobody can shut out the fleet for longer than junkEvery.
type junk struct {
	spent int
	since time.Duration // boot time up to which refills are counted
}

// afford refuses to look at anything while too much was refused lately.
func (s *Store) afford() error {
	now := s.options.BootTime()
	if refills := int((now - s.junk.since) / junkEvery); refills > 0 {
		s.junk.spent = max(0, s.junk.spent-refills)
		s.junk.since = now
	}
	if s.junk.spent >= junkBurst {
		return edge.WithHint(fmt.Errorf("cannot look at more documents: too many were refused lately: %w", edge.ErrUnavailable),
			"find out who sends them; one a second is looked at")
	}
	return nil
}

// charge counts a refusal, and hands the error on.
func (s *Store) charge(err error) error {
	if trust.ReasonOf(err) != "" {
		s.junk.spent++
	}
	return err
}
