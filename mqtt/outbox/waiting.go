package outbox

import "math"

// tally is how many records waited when they were last counted.
type tally struct {
	at    tallied
	count uint64
}

// tallied is everything that changes how many wait. While only more are appended
// nothing has to be counted again.
type tallied struct {
	opened                         bool
	epoch, generation, acked       uint64
	lostMemory, lostFull, appended uint64
}

func (t tallied) but(appended uint64) tallied {
	t.appended = appended
	return t
}

// Waiting counts the records that are not acknowledged. Numbers do not tell: whole
// stretches of them are skipped after a power cut. After an acknowledgement, and at each
// new segment, what is on flash is read for it.
func (s *Spool) Waiting() uint64 {
	for range readTries {
		at, last := s.tallied()
		if last.at.opened && last.at == at.but(last.at.appended) {
			return last.count + at.appended - last.at.appended
		}
		v, err := s.view(Position{}, math.MaxInt)
		if err != nil {
			return 0
		}
		count := v.count()
		if again, _ := s.tallied(); again == at {
			s.keepTally(tally{at, count})
			return count
		}
	}
	return 0 // it moves on so fast that nothing stays
}

func (s *Spool) tallied() (at tallied, last tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return tallied{
		opened: s.opened && !s.closed, epoch: s.ring.epoch, acked: s.ring.acked, generation: s.ring.generation,
		lostMemory: s.counts.LostMemory, lostFull: s.counts.LostFull, appended: s.counts.Appended,
	}, s.tally
}

func (s *Spool) keepTally(t tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally = t
}

// count counts the records behind the cursor.
func (v *view) count() uint64 {
	r := reader{epoch: v.ring.epoch, cursor: v.cursor, most: 1, bytes: 1, counts: true, damaged: map[uint64]bool{}}
	for _, seg := range v.ring.chain {
		if seg.last > r.cursor {
			r.read(v.slots[seg.slot].file, seg)
		}
	}
	return r.count + uint64(len(v.memory))
}
