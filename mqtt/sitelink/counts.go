package sitelink

import (
	"sync/atomic"

	"holdfast/edge"
)

// counts are those of one trigger.
type counts struct {
	messages, unfit atomic.Uint64
	outcomes        [len(edge.Outcomes)]atomic.Uint64
	told, untold    atomic.Uint64
}

// tallies are those of the link as a whole.
type tallies struct {
	messages, retained, strays, duplicates, redelivered, oversize, full, abandoned atomic.Uint64
	told, toldAgain, expired, crowdedOut, unsendable                               atomic.Uint64
}
