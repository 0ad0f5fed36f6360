package outbox

import (
	"cmp"
	"fmt"
	"slices"

	"holdfast/edge"
)

// Batch is a stretch of the stream.
type Batch struct {
	Epoch   string
	Entries []Entry // by ascending number; together they stand for every number in between
}

const (
	// readBytes bounds what one Read takes from flash into memory.
	readBytes = 256 << 10
	// readTries is how often Read begins anew because the ring moved on under it. It
	// does so once in a megabyte.
	readTries = 4
)

// view is what a Read looks at.
type view struct {
	ring   ring // of its time; the chain only when it is on flash
	slots  []slot
	cursor uint64
	began  uint64
	memory []Entry
}

// Read returns what follows a place, at most so many entries. A place of another
// epoch, or before what is acknowledged, means what follows the acknowledged. There is
// nothing more when no entries come. Whoever reads must not change the bodies.
func (s *Spool) Read(after Position, most int) (Batch, error) {
	most = max(1, most)
	for range readTries {
		v, err := s.view(after, most)
		if err != nil {
			return Batch{}, err
		}
		batch := Batch{Epoch: epochName(v.ring.epoch), Entries: v.read(most)}
		if s.stands(v) {
			return batch, nil
		}
	}
	return Batch{}, fmt.Errorf("cannot read spool %q: it moves on too fast: %w", s.options.Dir, edge.ErrUnavailable)
}

func (s *Spool) view(after Position, most int) (view, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return view{}, fmt.Errorf("cannot read spool %q: it is closed: %w", s.options.Dir, edge.ErrUnavailable)
	}
	v := view{ring: s.ring, slots: slices.Clone(s.slots), cursor: s.ring.acked, began: s.began}
	if after.Epoch == epochName(s.ring.epoch) {
		v.cursor = max(v.cursor, after.Seq)
	}
	if !s.opened {
		v.ring.chain = nil
		return v, nil // numbers may still change
	}
	v.memory = s.d0.behind(v.cursor, most, nil)
	v.memory = s.d1.behind(v.cursor, most, v.memory)
	return v, nil
}

// stands: no segment was put to another use since.
func (s *Spool) stands(v view) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ring.epoch == v.ring.epoch && s.ring.generation == v.ring.generation
}

func (v *view) read(most int) []Entry {
	r := reader{epoch: v.ring.epoch, cursor: v.cursor, most: most, bytes: readBytes, damaged: map[uint64]bool{}}
	for i, seg := range v.ring.chain {
		if i > 0 && seg.generation != v.ring.chain[i-1].generation+1 {
			r.suspect = true
		}
		if seg.last > r.cursor && !r.full() {
			r.read(v.slots[seg.slot].file, seg)
		}
	}
	entries := r.entries
	for _, e := range v.memory {
		if !r.full() || e.Seq < r.cursor {
			entries = append(entries, e)
		}
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	entries = slices.CompactFunc(entries, func(a, b Entry) bool { return a.Seq == b.Seq })
	return v.withGaps(entries, most, r.damaged)
}

// withGaps puts a gap wherever numbers are missing.
func (v *view) withGaps(entries []Entry, most int, damaged map[uint64]bool) []Entry {
	var whole []Entry
	before := v.cursor
	for _, e := range entries {
		if e.Seq > before+1 {
			gap := v.gap(before+1, e.Seq-1, damaged[e.Seq])
			whole = append(whole, Entry{Seq: gap.To, Gap: gap})
		}
		whole = append(whole, e)
		before = e.Seq
	}
	return whole[:min(most, len(whole))]
}

func (v *view) gap(from, to uint64, damaged bool) *Gap {
	gap := &Gap{From: from, To: to, Why: WhyMemory}
	switch {
	case v.ring.dropped > 0 && from <= v.ring.droppedTo:
		gap.Why, gap.Count = WhyFull, v.ring.dropped
	case damaged:
		gap.Why = WhyDamaged
	case from >= v.began:
		gap.Count = to - from + 1 // in this run every number was a record's
	}
	return gap
}
