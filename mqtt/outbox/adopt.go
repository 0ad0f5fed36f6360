package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// find is what lies on flash.
type find struct {
	scans []scan // by age
	ruins bool   // a slot cannot be read, or holds something else than a segment
}

// claim takes the folder for this process.
func (s *Spool) claim() error {
	if s.lock != nil {
		return nil
	}
	lock, err := s.options.Disk.Lock(s.options.Dir)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return edge.WithHint(fmt.Errorf("cannot open spool %q: %w", s.options.Dir, edge.ErrLocked),
			"is another agent running? stop it, or give this one a folder of its own")
	}
	s.lock = lock
	return err
}

// adopt opens the ring on flash and goes on with its numbers, as soon as a
// reservation on flash makes certain that they are new. Until then nothing changes.
func (s *Spool) adopt() error {
	if err := s.claim(); err != nil {
		return err
	}
	found, err := s.look()
	if err != nil {
		return err
	}
	r, start := s.ringOf(found)
	if !slices.ContainsFunc(s.slots, func(s slot) bool { return s.ready }) {
		if err := s.prepare(0); err != nil {
			return err
		}
	}
	_, err = s.write(&r, nil, func(h *head) { h.reserved = reserveFor(max(start, s.next)) })
	if err != nil {
		return err
	}
	s.takeOver(r, start)
	return nil
}

// look reads all slots.
func (s *Spool) look() (found find, err error) {
	content := make([]byte, segmentBytes)
	var failures []error
	for i := range s.slots {
		size, err := s.openSlot(i)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		if !s.slots[i].ready {
			found.ruins = found.ruins || size > 0
			continue
		}
		readSlot(s.slots[i].file, content)
		scan, ok := scanSegment(content)
		if !ok {
			found.ruins = found.ruins || !isZero(content)
			continue
		}
		scan.slot = i
		found.scans = append(found.scans, scan)
	}
	if len(failures) == len(s.slots) {
		return find{}, errors.Join(failures...)
	}
	found.ruins = found.ruins || len(failures) > 0
	edge.SortStable(found.scans, byGeneration)
	return found, nil
}

// isZero compares each byte with the next.
func isZero(b []byte) bool { return b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1]) }

func (s *Spool) openSlot(i int) (size int64, err error) {
	file := s.slots[i].file
	if file == nil {
		if file, err = s.options.Disk.Open(s.slotName(i)); err != nil {
			return 0, err
		}
	}
	size, err = file.Size()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots[i] = slot{file: file, ready: err == nil && size >= segmentBytes}
	return size, err
}

func (s *Spool) slotName(i int) string {
	return filepath.Join(s.options.Dir, fmt.Sprintf("%03d.segment", i))
}

// prepare gives a slot its size, in zeros, so that no write to it will need space.
func (s *Spool) prepare(i int) error {
	if s.slots[i].file == nil {
		if _, err := s.openSlot(i); err != nil {
			return err
		}
	}
	file, zeros := s.slots[i].file, make([]byte, maxBatch)
	for at := int64(0); at < segmentBytes; at += maxBatch {
		if _, err := file.WriteAt(zeros, at); err != nil {
			return err
		}
	}
	if err := errors.Join(file.Sync(), s.options.Disk.SyncDir(s.options.Dir)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slots[i].ready = true
	s.counts.FlashBytes += segmentBytes
	s.counts.FlashSyncs++
	return nil
}

// ringOf makes a ring of what was found, and says which number is certain to be new.
// Where nothing was found it is the ring that memory has been using.
func (s *Spool) ringOf(found find) (r ring, start uint64) {
	if len(found.scans) == 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		r = s.ring
		r.open = noSegment
		if found.ruins {
			s.warnLocked(warnDamaged, "nothing in the ring verified; it was made anew", "look at the disk")
		}
		return r, 1
	}
	newest := found.scans[len(found.scans)-1]
	r = ring{epoch: newest.epoch, generation: newest.generation, open: newest.segment}
	doubt, lost := found.ruins || newest.torn, false
	for i, scan := range found.scans {
		if scan.epoch != r.epoch {
			continue // of a ring before this one
		}
		last := i == len(found.scans)-1
		scan.damaged = scan.torn && !last
		r.take(scan)
		lost = lost || scan.holes || scan.damaged
	}
	r.trim()
	for i := 1; i < len(r.chain); i++ {
		lost = lost || r.chain[i].generation != r.chain[i-1].generation+1
	}
	if lost {
		r.damagedTo = r.reserved
	}
	return r, startAfter(r.reserved, newest.newest.clean, lost || doubt)
}

// take adds what was found in a segment, which is newer than those before.
func (r *ring) take(s scan) {
	r.chain = append(r.chain, s.segment)
	r.acked, r.reserved = s.newest.acked, s.newest.reserved
	r.droppedTo, r.dropped = s.newest.droppedTo, s.newest.dropped
	r.ackedKept, r.flashLast = r.acked, max(r.flashLast, s.last)
}

// startAfter is the first number that was certainly not given out. What does not
// verify may have held reservations.
func startAfter(reserved uint64, clean, doubt bool) uint64 {
	switch {
	case doubt:
		return reserved/stride*stride + (lostStrides+1)*stride + 1
	case clean:
		return reserved + 1
	}
	return (reserved+stride-1)/stride*stride + 1
}

// takeOver makes a ring the one in use. Records that waited in memory get numbers of
// its epoch.
func (s *Spool) takeOver(r ring, start uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.epoch == s.ring.epoch {
		r.acked = s.ring.acked
	} else {
		s.began, s.next = start, start
		renumber(&s.d0, &s.d1, &s.next)
	}
	s.ring, s.adopted = r, true
	if r.dropped > 0 {
		s.warnFullLocked()
	}
	if r.damagedTo > r.acked {
		s.warnLocked(warnDamaged, "part of the ring does not verify; what was there is reported as gaps", "look at the disk")
	}
	s.signalLocked()
}

// renumber gives what is in two queues numbers in the order it came.
func renumber(a, b *queue, next *uint64) {
	for i, j := 0, 0; i < a.len() || j < b.len(); *next++ {
		if j == b.len() || i < a.len() && a.items[i].Seq < b.items[j].Seq {
			a.items[i].Seq = *next
			i++
		} else {
			b.items[j].Seq = *next
			j++
		}
	}
}
