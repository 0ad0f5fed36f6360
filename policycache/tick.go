package policycache

import (
	"context"
	"time"

	"holdfast/edge/boltfile"
)

const (
	// tickEvery is how old the lease in a snapshot may be.
	tickEvery = time.Minute
	// keepEvery is how much counted time a power cut may lose. A commit is some 20 KB
	// of flash, so an hour costs half a megabyte a day; who cuts the power every
	// 59 minutes to save the lease spends boots instead.
	keepEvery = time.Hour
	// hearEvery is how soon tokens are written one after the other. To lose one costs
	// the lease what it had used up before.
	hearEvery = 10 * time.Minute
)

// Run counts the lease and the clock floor on, keeps them once an hour, and tries to
// reopen a database that failed. It returns nil when ctx ends.
func (s *Store) Run(ctx context.Context) error {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if s.begin(ctx) != nil {
			return nil // only ctx, or Close, can be why
		}
		s.count()
		s.keep(ctx, keepEvery)
		if s.retry = s.retry.tick(); s.retry.left <= 0 {
			s.mend(ctx)
		}
		s.show()
		s.release()
	}
}

// keep commits what was counted, unless something was kept lately.
func (s *Store) keep(ctx context.Context, every time.Duration) {
	if !s.file.IsOpen() || s.options.BootTime()-s.keptAt < every {
		return
	}
	if err := s.commit(ctx, &s.state); err != nil {
		s.options.Log.Warn("state not kept", "error", err)
	}
}

// mend tries to get a failed database back.
func (s *Store) mend(ctx context.Context) {
	if s.file.IsOpen() || s.has(warnNewer) || !s.writable && !s.reclaim() {
		return
	}
	if err := s.reenter(ctx); err != nil {
		s.drop()
		s.warnStorage(warnFailed, err)
		s.retry = s.retry.failed()
		return
	}
	s.retry = backoff{}
}

// drop gives the database up, of which nobody knows in which state it is.
func (s *Store) drop() {
	if err := s.file.Close(); err != nil {
		s.options.Log.Warn("state not closed", "error", err)
	}
}

// reclaim tries again for a folder that could not be claimed at the start, when its
// disk may have been read-only.
func (s *Store) reclaim() bool {
	if err := s.claim(); err != nil {
		s.lost = err // another agent has it by now
	}
	return s.writable
}

// reenter gets the database back. When it could not be read at the start, what it
// knows comes before what little is in memory.
func (s *Store) reenter(ctx context.Context) error {
	if s.loaded {
		return s.reopen(ctx, &s.state)
	}
	at, err := s.climb(ctx, true)
	if err != nil {
		return err
	}
	if at.Rung == boltfile.Failed || at.Rung == boltfile.Newer || at.Rung == boltfile.ReadOnly {
		return at.Why
	}
	s.settled(warnFailed)
	s.load(at)
	s.settle(ctx)
	if !s.file.IsOpen() {
		return s.lost
	}
	return nil
}

// backoff counts ticks until the next try: 1, 2, 4 … 64. It needs no jitter, for
// nobody else uses this disk.
type backoff struct{ wait, left int }

func (b backoff) failed() backoff {
	wait := min(max(1, 2*b.wait), 64)
	return backoff{wait, wait}
}

func (b backoff) tick() backoff {
	b.left--
	return b
}

// count takes the boot time since the last count off the lease, and a boot when this
// is another one.
func (s *Store) count() {
	up := s.options.BootTime()
	elapsed := up
	if last := s.state.boot; last.ID == s.bootID && up >= last.Up {
		elapsed = up - last.Up
	} else if last.ID != "" {
		s.state.lease = s.state.lease.Boot()
	}
	s.state.boot = boot{ID: s.bootID, Up: up}
	s.state.lease = s.state.lease.Tick(elapsed)
	s.state.clock = s.state.clock.Tick(elapsed).Keep(s.options.Wall())
}
