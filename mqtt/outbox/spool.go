package outbox

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"holdfast/edge"
)

// Spool is the telemetry ring.
type Spool struct {
	options SpoolOptions
	wake    chan struct{} // capacity 1: Run has something to look at
	turn    chan struct{} // capacity 1: whoever put something in may use the disk

	// Of whoever has the turn.
	lock      io.Closer
	buf       []byte
	allowance allowance
	storage   retry // of what is on flash
	room      retry // of making segments

	mu sync.Mutex // guards all below; never held while the disk works

	ring       ring
	adopted    bool // the ring is the one on flash
	opened     bool
	closed     bool
	next       uint64 // number of the next record
	began      uint64 // the first number of this run
	slots      []slot
	d0, d1     queue
	flying     int // of d1, being written just now
	lastCommit time.Time
	changed    chan struct{} // closed by the next Append; nil: nobody waits
	warnings   map[string]edge.Warning
	counts     Counts
	tally      tally
}

// slot is a file that holds one segment after the other.
type slot struct {
	file  File
	ready bool // it has its full size, so writing to it needs no space
}

// stride is how many numbers are reserved at once, so that none is given out twice
// whatever is lost. The digits above it count the power cuts. 90 million of them stay
// below 2^53, where numbers in JSON cease to be whole.
const stride = 100_000_000

// lostStrides is how many reservations a lost segment can hide: one a page.
const lostStrides = segmentBytes / page

// reserveFor is the reservation to make when seq is next: at least half a stride.
func reserveFor(seq uint64) uint64 {
	return (seq + stride/2 + stride - 1) / stride * stride
}

func newEpoch() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

func epochName(e uint64) string {
	s := strconv.FormatUint(e, 16)
	return "0000000000000000"[len(s):] + s
}

// Append takes a record. It never waits for the disk. The number is the record's for
// as long as Status tells the same epoch.
func (s *Spool) Append(r Record) (uint64, error) {
	if err := r.check(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return 0, fmt.Errorf("cannot append record: spool is closed: %w", edge.ErrUnavailable)
	case s.adopted && s.next > s.ring.reserved:
		s.counts.Refused++
		return 0, fmt.Errorf("cannot append record: no number is certain to be new: %w", edge.ErrUnavailable)
	}
	r.Mono = r.Mono.Truncate(time.Millisecond)
	if !r.Time.IsZero() {
		r.Time = r.Time.UTC().Truncate(time.Millisecond)
	}
	seq := s.next
	s.next++
	s.counts.Appended++
	s.pushLocked(Entry{Seq: seq, Boot: s.options.Boot, Record: r})
	s.signalLocked()
	return seq, nil
}

func (s *Spool) signalLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

func (s *Spool) pushLocked(e Entry) {
	before := s.urgentLocked()
	q := &s.d0
	if e.Class == D1 {
		q = &s.d1
	}
	q.push(e, time.Now())
	s.boundLocked()
	if e.Class == D1 && s.d1.len() == 1 || s.urgentLocked() != before {
		s.nudge()
	}
}

// boundLocked lets the oldest in memory go while there is too much. What is being
// written is not in memory for long, and stays.
func (s *Spool) boundLocked() {
	for s.d0.bytes+s.d1.bytes > s.options.Memory {
		first := s.d1.len() <= s.flying
		switch {
		case s.d0.len() > 0 && (first || s.d0.items[0].Seq < s.d1.items[s.flying].Seq):
			s.d0.remove(0)
		case !first:
			s.d1.remove(s.flying)
		default:
			return
		}
		s.counts.LostMemory++
	}
}

// urgentLocked: memory fills faster than the pace of the flash would empty it, or the
// numbers run out.
func (s *Spool) urgentLocked() bool {
	return s.d1.bytes >= s.options.Memory/4 || s.adopted && s.next+stride/4 > s.ring.reserved
}

func (s *Spool) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Ack acknowledges everything up to a place. Numbers of another epoch, or that were
// not given out, acknowledge nothing.
func (s *Spool) Ack(to Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if to.Epoch != epochName(s.ring.epoch) || to.Seq <= s.ring.acked || to.Seq >= s.next {
		return
	}
	s.d0.dropTo(to.Seq)
	s.flying = max(0, s.flying-s.d1.dropTo(to.Seq))
	s.ring.ack(to.Seq)
	if s.ring.dropped == 0 {
		delete(s.warnings, warnFull)
	}
	if to.Seq >= s.ring.damagedTo {
		delete(s.warnings, warnDamaged)
	}
	if s.adopted && s.ring.owedAcks() > 0 {
		s.nudge()
	}
}

// Changed returns a channel that the next Append closes. Take it, then Read, then
// wait; so no record is missed.
func (s *Spool) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

func (s *Spool) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Spool) release() { <-s.turn }

// Close writes what is still in memory, and lets go of the folder. Call it after Run
// has ended; what cannot be written is lost and said so.
func (s *Spool) Close() error {
	s.turn <- struct{}{}
	defer s.release()
	s.mu.Lock()
	again, adopted, waiting := s.closed, s.adopted, s.d1.len()
	s.closed = true // from here on no number is given out
	s.mu.Unlock()
	if again {
		return nil
	}
	var err error
	switch {
	case adopted:
		err = s.writeAll()
	case waiting > 0:
		err = fmt.Errorf("%d records were in memory only: %w", waiting, edge.ErrUnavailable)
	}
	for _, slot := range s.slots {
		if slot.file != nil {
			err = errors.Join(err, slot.file.Close())
		}
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("cannot close spool %q: %w", s.options.Dir, err)
	}
	return nil
}
