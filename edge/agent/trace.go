package agent

import (
	"encoding/binary"
	"math/rand/v2"

	"holdfast/edge"
)

// begun gives a task its place in a trace: a piece of work of its own below its caller's or,
// where it came without, in a trace that is begun here, of which a share is sampled. The
// numbers need to differ, and nobody gains by guessing one: math/rand's generator, which the
// machine seeds, takes some nanoseconds and no lock.
func begun(t edge.Trace, share float64) edge.Trace {
	if t.ID.IsZero() {
		binary.NativeEndian.PutUint64(t.ID[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(t.ID[8:], rand.Uint64()|1) // never none
	}
	if !t.Decided && share > 0 {
		t.Sampled = rand.Float64() < share
	}
	t.Span = newSpan()
	return t
}

// newSpan names a piece of work.
func newSpan() (id edge.SpanID) {
	binary.NativeEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}
