package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/edge"
)

// retry says when something that failed is tried again.
type retry struct {
	failures int // in a row
	at       time.Time
}

func (r *retry) failed(now time.Time) {
	wait := retryMost
	if r.failures < 7 { // more doublings pass retryMost
		wait = min(retryMost, retryBase<<r.failures)
	}
	r.failures++
	r.at = now.Add(wait)
}

func (r *retry) worked() { *r = retry{} }

// Open finds the ring on flash and goes on with it, or makes one. It reads all
// segments. It fails only when another agent holds the folder, or ctx ends; trouble
// with the disk is a warning, and records wait in memory meanwhile.
func (s *Spool) Open(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.release()
	if s.isOpened() {
		return errors.New("cannot open spool: it is open")
	}
	err := s.adopt()
	if errors.Is(err, edge.ErrLocked) {
		return err
	}
	s.settle(err)
	s.mu.Lock()
	s.opened = true
	s.mu.Unlock()
	s.nudge()
	return nil
}

func (s *Spool) isOpened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened || s.closed
}

// Run writes to flash what has to be there, and tries again what failed. It returns
// nil when ctx ends. There is no other goroutine.
func (s *Spool) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-timer.C:
		}
		if s.take(ctx) != nil {
			return nil // only ctx can be why
		}
		wait := s.work(ctx)
		s.release()
		timer.Reset(wait)
	}
}

// idle is how long nothing is looked at when nothing is due.
const idle = time.Hour

// work does what is due, one thing after the other, and returns how long until more is.
func (s *Spool) work(ctx context.Context) time.Duration {
	for ctx.Err() == nil {
		do, at := s.due(time.Now())
		if do == nil {
			return idle
		}
		if wait := time.Until(at); wait > 0 {
			return wait
		}
		do()
	}
	return idle
}

// due says what comes next, and when.
func (s *Spool) due(now time.Time) (do func(), at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opened || s.closed {
		return nil, time.Time{}
	}
	if !s.adopted {
		return func() { s.settle(s.adopt()) }, s.storage.at
	}
	commit, owed := s.commitDueLocked(now)
	for i := range s.slots {
		if !s.slots[i].ready && (!owed || commit.After(now) && commit.After(s.room.at)) {
			return func() { s.settleRoom(s.prepare(i)) }, s.room.at
		}
	}
	if !owed {
		return nil, time.Time{}
	}
	return func() { s.settle(s.commitDue()) }, commit
}

// commitDueLocked says when the next batch is to be written, if there is to be one.
func (s *Spool) commitDueLocked(now time.Time) (at time.Time, owed bool) {
	by := func(t time.Time) {
		if !owed || t.Before(at) {
			at, owed = t, true
		}
	}
	if s.d1.len() > 0 {
		by(s.settleByLocked(now))
	}
	if s.urgentLocked() {
		by(now)
	}
	if owed := s.ring.owedAcks(); owed >= ackMany {
		by(s.lastCommit.Add(ackSoon))
	} else if owed > 0 {
		by(s.lastCommit.Add(ackEvery))
	}
	if owed && at.Before(s.storage.at) {
		at = s.storage.at
	}
	return at, owed
}

// settleByLocked is when the oldest D1 record has to be on flash.
func (s *Spool) settleByLocked(now time.Time) time.Time {
	came := s.d1.items[0].at
	cost := s.options.SyncCost + (headMost+s.d1.flash()+page-1)/page*page
	afford := now.Add(s.allowance.wait(now, cost))
	soonest, latest := came.Add(Settle), came.Add(SettleMost)
	switch {
	case afford.Before(soonest):
		return soonest
	case afford.After(latest):
		return latest
	}
	return afford
}

// commitDue writes what it is time for. Acknowledgements take no record with them that
// may still wait for its own: once on flash that one would want a mark as well, and
// a node that tells something each minute would write twice each minute for ever.
func (s *Spool) commitDue() error {
	if s.recordsAreDue(time.Now()) {
		return s.commit()
	}
	return s.commitWith(nil, s.reserve)
}

func (s *Spool) recordsAreDue(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.urgentLocked() || s.d1.len() > 0 && !s.settleByLocked(now).After(now)
}

// commit writes one batch: the oldest D1 records, and the state of the ring.
func (s *Spool) commit() error { return s.commitWith(s.fly(), s.reserve) }

func (s *Spool) reserve(h *head) { h.reserved = max(h.reserved, reserveFor(s.next)) }

// fly is the oldest D1 records, as many as one batch has, which stay until it is written.
func (s *Spool) fly() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := s.d1.batch()
	s.flying = len(entries)
	return entries
}

func (s *Spool) commitWith(entries []Entry, finish func(*head)) error {
	h, err := s.write(&s.ring, entries, finish)
	now := time.Now()
	s.allowance.spend(now, len(s.buf)+s.options.SyncCost)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying = 0
	if err == nil {
		s.d1.dropTo(h.last)
		s.lastCommit = now
	}
	return err
}

// Flush writes the D1 records that are in memory now, without waiting for their time:
// for whoever knows that the power is about to go.
func (s *Spool) Flush(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.release()
	if !s.isKept() {
		return fmt.Errorf("cannot flush spool %q: it is not on flash: %w", s.options.Dir, edge.ErrUnavailable)
	}
	for s.d1Waits() {
		err := s.commit()
		s.settle(err)
		if err != nil {
			return fmt.Errorf("cannot flush spool %q: %w", s.options.Dir, err)
		}
	}
	return nil
}

func (s *Spool) isKept() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.adopted && !s.closed
}

func (s *Spool) d1Waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.d1.len() > 0
}

// writeAll writes what is in memory, and that nothing more follows.
func (s *Spool) writeAll() error {
	for s.moreThanBatch() {
		if err := s.commit(); err != nil {
			return err
		}
	}
	return s.commitWith(s.fly(), func(h *head) { h.reserved, h.clean = s.next-1, true })
}

func (s *Spool) moreThanBatch() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.d1.len() > len(s.d1.batch())
}

// settle takes note of how using the disk went.
func (s *Spool) settle(err error) {
	if err == nil {
		s.storage.worked()
		s.settled(warnFailed)
		return
	}
	s.storage.failed(time.Now())
	s.warn(warnFailed, fmt.Sprintf("telemetry is in memory only: %v", err), "look at the disk, or free some space on it")
}

func (s *Spool) settleRoom(err error) {
	if err == nil {
		s.room.worked()
		s.settled(warnShort)
		return
	}
	s.room.failed(time.Now())
	s.warn(warnShort, fmt.Sprintf("the ring has less room than it should: %v", err), "free some space on the disk")
}
