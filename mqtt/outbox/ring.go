package outbox

import (
	"errors"
	"math"
	"slices"
	"time"
)

// ring is what there is to know about the segments on flash. It does no I/O.
type ring struct {
	epoch      uint64
	acked      uint64
	ackedKept  uint64 // as flash has it
	reserved   uint64 // numbers up to here may be given out
	flashLast  uint64 // greatest number on flash
	droppedTo  uint64
	dropped    uint64
	damagedTo  uint64    // where the damage found by Open ends
	generation uint64    // of the newest segment
	chain      []segment // oldest first
	open       segment   // that is written to; in the chain once something is in it
}

// noSegment is full, so that the first write makes a new one.
var noSegment = segment{slot: -1, end: segmentBytes}

var errNoSegment = errors.New("no segment could be made")

// head is what the next batch says about the ring.
func (r *ring) head(boot string) head {
	return head{
		epoch: r.epoch, generation: r.open.generation, acked: r.acked, reserved: r.reserved,
		droppedTo: r.droppedTo, dropped: r.dropped, boot: boot,
	}
}

func (r *ring) ack(seq uint64) {
	r.acked = seq
	if seq >= r.droppedTo {
		r.dropped = 0
	}
	r.trim()
}

// trim frees segments of which everything is acknowledged.
func (r *ring) trim() {
	for len(r.chain) > 1 && r.chain[0].last <= r.acked {
		r.chain = r.chain[1:]
	}
}

// owedAcks counts the numbers on flash that would be sent again after a power cut.
func (r *ring) owedAcks() uint64 {
	done := min(r.acked, r.flashLast)
	return done - min(done, r.ackedKept)
}

// freeSlot finds the slot that has been free for longest.
func (r *ring) freeSlot(slots []slot) (int, bool) {
	for i := range slots {
		at := (r.open.slot + 1 + i) % len(slots)
		holds := func(seg segment) bool { return seg.slot == at }
		if slots[at].ready && !slices.ContainsFunc(r.chain, holds) {
			return at, true
		}
	}
	return 0, false
}

// dropOldest makes room at the cost of the oldest records.
func (r *ring) dropOldest(records uint64) {
	if records > 0 {
		r.droppedTo = max(r.droppedTo, r.chain[0].last)
		r.dropped += records
	}
	r.chain = r.chain[1:]
}

// begin starts a new segment in a slot.
func (r *ring) begin(slot int) {
	r.generation++
	r.open = segment{slot: slot, generation: r.generation}
}

// wrote takes note of a batch that is durable.
func (r *ring) wrote(h *head, size int) {
	r.open.end += size
	r.open.last = max(r.open.last, h.last)
	r.flashLast = max(r.flashLast, h.last)
	r.ackedKept, r.reserved = h.acked, h.reserved
	if n := len(r.chain); n > 0 && r.chain[n-1].generation == r.open.generation {
		// Readers hold copies of the slice.
		r.chain = append(slices.Clone(r.chain[:n-1]), r.open)
		return
	}
	r.chain = append(slices.Clone(r.chain), r.open)
}

// write makes a batch durable: one write, one sync. Where that fails nobody knows
// what the place holds, so it is not used again before the ring comes round.
func (s *Spool) write(r *ring, entries []Entry, finish func(*head)) (head, error) {
	h := s.headFor(r, finish)
	s.buf = encodeBatch(s.buf, &h, entries)
	if r.open.end+len(s.buf) > segmentBytes {
		if err := s.rotate(r); err != nil {
			return h, err
		}
		h = s.headFor(r, finish)
		s.buf = encodeBatch(s.buf, &h, entries)
	}
	file := s.slots[r.open.slot].file
	_, err := file.WriteAt(s.buf, int64(r.open.end))
	if err == nil {
		err = file.Sync()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.FlashBytes += uint64(len(s.buf))
	s.counts.FlashSyncs++
	if err != nil {
		r.open.end += len(s.buf)
		return h, err
	}
	r.wrote(&h, len(s.buf))
	return h, nil
}

func (s *Spool) headFor(r *ring, finish func(*head)) head {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := r.head(s.options.Boot)
	finish(&h)
	return h
}

// rotate goes on to the next slot. When all are in use the oldest segment goes; a slot that is not
// prepared yet, as the ring is new and much came at once, is none in use.
func (s *Spool) rotate(r *ring) error {
	s.mu.Lock()
	slot, free := r.freeSlot(s.slots)
	if !free {
		s.mu.Unlock()
		s.prepareNow()
		s.mu.Lock()
		slot, free = r.freeSlot(s.slots)
	}
	var oldest []segment
	if !free {
		oldest = r.chain[:min(1, len(r.chain))]
	}
	acked := r.acked
	s.mu.Unlock()
	switch {
	case free:
		s.beginIn(r, slot)
		return nil
	case len(oldest) == 0:
		return errNoSegment
	}
	left := reader{epoch: r.epoch, cursor: acked, most: math.MaxInt, bytes: math.MaxInt, counts: true, damaged: map[uint64]bool{}}
	left.read(s.slots[oldest[0].slot].file, oldest[0])
	s.mu.Lock()
	// What was acknowledged meanwhile may have freed the segment, or made the count
	// too high; then nothing is lost but a little room.
	if len(r.chain) > 0 && r.chain[0].generation == oldest[0].generation {
		s.dropLocked(r, left.count)
	}
	s.mu.Unlock()
	s.beginIn(r, oldest[0].slot)
	return nil
}

// prepareNow prepares a slot that was to be prepared when there is time for it. Where that has failed of late
// it is left for later.
func (s *Spool) prepareNow() {
	s.mu.Lock()
	i := slices.IndexFunc(s.slots, func(one slot) bool { return !one.ready })
	due := s.adopted && !time.Now().Before(s.room.at)
	s.mu.Unlock()
	if i >= 0 && due {
		s.settleRoom(s.prepare(i))
	}
}

func (s *Spool) dropLocked(r *ring, records uint64) {
	if r.chain[0].last <= r.acked {
		records = 0
	}
	r.dropOldest(records)
	s.counts.LostFull += records
	if records == 0 {
		return
	}
	// Those in memory between the records that went would only make the gap into many.
	if r == &s.ring {
		n := s.d0.dropTo(r.droppedTo)
		r.dropped += uint64(n)
		s.counts.LostFull += uint64(n)
	}
	s.warnFullLocked()
}

func (s *Spool) beginIn(r *ring, slot int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.begin(slot)
}
