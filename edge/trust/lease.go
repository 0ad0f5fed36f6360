package trust

import (
	"time"

	"holdfast/edge"
)

// LeaseState is what a lease means for what the node may do.
type LeaseState string

// The states of a lease. There is none in which a node stops.
const (
	LeaseOK       LeaseState = "ok"
	LeaseDegraded LeaseState = "degraded"
)

// Lease counts how long a node has been without proof that its fleet is there. It
// counts only what can be measured: boot time, and boots. It is a value; each
// transition gives a new one.
type Lease struct {
	Terms     edge.LeaseTerms `json:"terms"`
	Left      time.Duration   `json:"leftNs"` // of boot time
	BootsLeft int             `json:"bootsLeft"`
}

// NewLease is a whole lease, for a node that never had one.
func NewLease(terms edge.LeaseTerms) Lease {
	return Lease{Terms: terms, Left: terms.Duration(), BootsLeft: terms.Boots}
}

// Tick takes boot time off the lease.
func (l Lease) Tick(bootElapsed time.Duration) Lease {
	l.Left = max(0, l.Left-max(0, bootElapsed))
	return l
}

// Boot takes one boot off the lease.
func (l Lease) Boot() Lease {
	l.BootsLeft = max(0, l.BootsLeft-1)
	return l
}

// Refresh makes the lease whole. It takes a verified token to show that there is
// one; VerifyFreshness alone makes them.
func (l Lease) Refresh(token *Token) Lease {
	if token == nil || !token.verified {
		return l
	}
	return NewLease(l.Terms)
}

// Adopt takes over the terms of a new policy. What was used up stays used up: a
// policy is no proof that the fleet is there now.
func (l Lease) Adopt(terms edge.LeaseTerms) Lease {
	used, boots := l.Terms.Duration()-l.Left, l.Terms.Boots-l.BootsLeft
	l = NewLease(terms)
	l.Left = max(0, l.Left-max(0, used))
	l.BootsLeft = max(0, l.BootsLeft-max(0, boots))
	return l
}

// HoursLeft is what is left in hours of boot time, for status.
func (l Lease) HoursLeft() float64 { return l.Left.Hours() }

// State is degraded as soon as either count is used up.
func (l Lease) State() LeaseState {
	if l.Left <= 0 || l.BootsLeft <= 0 {
		return LeaseDegraded
	}
	return LeaseOK
}
