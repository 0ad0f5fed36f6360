package desk_test

import (
	"math/rand/v2"
	"testing"

	"holdfast/edge/fleet/desk"
)

// oracle is a stream as plainly as it can be written.
type oracle map[uint64]bool

func (o oracle) add(from, to uint64) {
	for n := from; n <= to; n++ {
		o[n] = true
	}
}

func (o oracle) through() (n uint64) {
	for o[n+1] {
		n++
	}
	return n
}

func (o oracle) holds(from, to uint64) bool {
	for n := from; n <= to; n++ {
		if !o[n] {
			return false
		}
	}
	return true
}

func TestStream_Add(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		var s desk.Stream
		all := oracle{}
		for range 100 {
			from := 1 + random.Uint64N(120)
			to := from + random.Uint64N(1+random.Uint64N(12))
			if !s.Add(from, to) {
				t.Fatalf("seed %d: %d–%d has no room", seed, from, to)
			}
			all.add(from, to)
			if s.Through() != all.through() {
				t.Fatalf("seed %d: after %d–%d all through %d, want %d", seed, from, to, s.Through(), all.through())
			}
			a := 1 + random.Uint64N(130)
			if b := a + random.Uint64N(4); s.Holds(a, b) != all.holds(a, b) {
				t.Fatalf("seed %d: holds %d–%d is %v, want %v", seed, a, b, s.Holds(a, b), all.holds(a, b))
			}
			if from, to, is := s.Hole(); is && (all[from] || all[to] || !all[to+1] || from != all.through()+1) {
				t.Fatalf("seed %d: the hole is %d–%d, which it is not", seed, from, to)
			}
		}
	}
}

// TestStream_Bound: what lies beyond holes is bounded, and what fills them still goes in.
func TestStream_Bound(t *testing.T) {
	var s desk.Stream
	for i := range uint64(desk.MaxSpans) {
		if !s.Add(2*i+2, 2*i+2) {
			t.Fatalf("the %d. island has no room", i+1)
		}
	}
	if s.Add(9999, 9999) {
		t.Error("one island too many is kept, want not")
	}
	for i := range uint64(desk.MaxSpans) {
		if !s.Add(2*i+1, 2*i+1) {
			t.Fatalf("what joins islands has no room")
		}
	}
	if s.Through() != 2*desk.MaxSpans {
		t.Errorf("all through %d, want %d", s.Through(), 2*desk.MaxSpans)
	}
}
