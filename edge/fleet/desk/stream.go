package desk

import (
	"slices"
	"time"
)

// span is a stretch of numbers, both ends within.
type span struct{ from, to uint64 }

// maxSpans bounds what may lie beyond a hole. Nodes send in order, so that more than
// a few are a node's fault or somebody's will; what does not fit is not kept, and comes
// again.
const maxSpans = 256

// stream is which numbers of one stream are kept.
type stream struct {
	through uint64 // all up to here
	above   []span // what lies beyond a hole: ascending, apart from one another

	reminded time.Time // when the node was last due to hear of a hole
}

// holds tells whether all of a stretch is kept.
func (s *stream) holds(n span) bool {
	if n.to <= s.through {
		return true
	}
	return slices.ContainsFunc(s.above, func(a span) bool { return a.from <= n.from && n.to <= a.to })
}

// add notes a stretch; false when there is no room for one more beyond a hole.
func (s *stream) add(n span) bool {
	i := 0
	for i < len(s.above) && s.above[i].to+1 < n.from {
		i++
	}
	j := i
	for ; j < len(s.above) && s.above[j].from <= n.to+1; j++ {
		n = span{min(n.from, s.above[j].from), max(n.to, s.above[j].to)}
	}
	if n.from <= s.through+1 {
		s.through = max(s.through, n.to)
		s.above = slices.Delete(s.above, 0, j)
		return true
	}
	if i == j && len(s.above) >= maxSpans {
		return false
	}
	s.above = slices.Replace(s.above, i, j, n)
	return true
}

// hole is the first stretch that is missing, if any is.
func (s *stream) hole() (missing span, is bool) {
	if len(s.above) == 0 {
		return span{}, false
	}
	return span{s.through + 1, s.above[0].from - 1}, true
}

// remindEvery is how often a node hears again up to where its history is whole, while
// more of it comes and there is a hole: a broker may have dropped what it acknowledged. A
// node takes that for a question if what it lacks a confirmation of is half a minute old.
const remindEvery = 40 * time.Second

// remind tells whether the node is to hear of a hole now.
func (s *stream) remind(now time.Time) bool {
	if len(s.above) == 0 || now.Sub(s.reminded) < remindEvery {
		return false
	}
	s.reminded = now
	return true
}
