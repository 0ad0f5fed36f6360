package policycache

import (
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// Origin says where the policy in force came from.
type Origin string

// The origins, and what status shows when a lease has ended.
const (
	OriginNone     Origin = "none"     // there is no policy: nothing is allowed
	OriginFactory  Origin = "factory"  // the one flashed with the image
	OriginCurrent  Origin = "current"  // the newest that was accepted
	OriginPrevious Origin = "previous" // the newest failed to apply, or is gone
	OriginDegraded Origin = "degraded" // only as a State: the lease has ended
)

// Snapshot is the policy in force at one moment. Nobody changes it.
type Snapshot struct {
	Policy  *edge.Policy `json:"-"` // nil: nothing is allowed
	Origin  Origin       `json:"origin"`
	Name    string       `json:"name,omitempty"`
	Version uint64       `json:"version,omitempty"`
	Digest  string       `json:"digest,omitempty"`  // sha256:… of the signed payload
	Signers []string     `json:"signers,omitempty"` // key ids whose signatures fit
	Root    uint64       `json:"root"`              // version of the root it was verified under
	Since   time.Time    `json:"since,omitzero"`    // when it came into force
	Lease   trust.Lease  `json:"lease"`             // as of the last tick, a minute ago at most
	Ended   bool         `json:"leaseEnded,omitempty"`

	// While the policy is on trial: how it stands, and the one before it.
	Trial  *Trial       `json:"trial,omitempty"`
	Proven *edge.Policy `json:"-"`
}

// State is the one word a status shows. A lease that ended shows unless the policy
// says that everything stays as it is.
func (s *Snapshot) State() Origin {
	if s.Degraded() {
		return OriginDegraded
	}
	return s.Origin
}

// Degraded tells whether new images and risky commands are to be refused. What runs
// keeps running.
func (s *Snapshot) Degraded() bool {
	return s.Ended && s.Policy != nil && s.Policy.Lease.OnExpiry != edge.LeaseHold
}

// differs tells whether a consumer has something to do.
func (s *Snapshot) differs(other *Snapshot) bool {
	return s.Digest != other.Digest || s.Origin != other.Origin || s.Ended != other.Ended || (s.Trial == nil) != (other.Trial == nil)
}

// published is what readers see, swapped as one.
type published struct {
	snapshot *Snapshot
	changed  chan struct{} // closed at the next change
}
