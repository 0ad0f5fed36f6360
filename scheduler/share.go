package scheduler

import (
	"math"
	"time"
)

const (
	// shareSpan is how long a share that is not used is saved up: a tenant may so come in
	// bursts of a few batch tasks, and not with what it saved up over a night.
	shareSpan = instant(5 * time.Second)
	// milli is how finely cores are counted.
	milli = 1000
	// lendBelow is how busy the node may be, in hundredths, for unused shares to be lent.
	lendBelow = 70
	// busySpan is how far back it is looked at: one to two of these. What is lent is so called
	// back within a second.
	busySpan = instant(time.Second)
)

// share is a tenant's part of the node's time: a bucket that fills by so many thousandths of
// a core, in thousandths of a nanosecond, and that work inside the share is taken from.
type share struct {
	gain  int64 // thousandths of a core; 0: not bounded
	level int64
	asOf  instant
}

// follow takes another share over. It gains nothing by the change, and a new one is full.
func (s *share) follow(now instant, cores float64) {
	level, known := s.at(now), s.gain > 0
	s.gain, s.asOf = int64(math.Ceil(cores*milli)), now
	if s.level = s.size(); known {
		s.level = min(level, s.level)
	}
}

func (s *share) size() int64 { return s.gain * int64(shareSpan) }

// at is the level at an instant not before asOf. Twice the span fills any bucket, as debts
// are bounded too.
func (s *share) at(now instant) int64 {
	return min(s.level+s.gain*int64(min(now-s.asOf, 2*shareSpan)), s.size())
}

// holds tells whether so much work is inside the share: all of it is saved up, or, for what is
// longer than can be, nothing is owed.
func (s *share) holds(now instant, work time.Duration) bool {
	return s.gain == 0 || s.at(now) >= min(int64(min(work, maxCost))*milli, s.size())
}

// take removes work, and gives it back where it is below 0.
func (s *share) take(now instant, work time.Duration) {
	work = min(max(work, -maxCost), maxCost)
	s.level, s.asOf = max(min(s.at(now)-int64(work)*milli, s.size()), -s.size()), now
}

// busyness is how much of its slots' time the node has used of late.
type busyness struct {
	began, asOf instant
	now, last   time.Duration // slots' time used since began, and in the span before
}

// pass lets time pass, with so many tasks running.
func (b *busyness) pass(now instant, running int) {
	for b.asOf < now {
		until := min(now, b.began+busySpan)
		b.now += time.Duration(until-b.asOf) * time.Duration(running)
		if b.asOf = until; until == b.began+busySpan {
			b.last, b.now, b.began = b.now, 0, until
			if now-until > 2*busySpan { // nothing in between is looked at any more
				skipped := (now - until) / busySpan * busySpan
				b.last = time.Duration(busySpan) * time.Duration(running)
				b.began, b.asOf = until+skipped, until+skipped
			}
		}
	}
}

// lends tells whether there is time that nobody asks for.
func (b *busyness) lends(slots int) bool {
	span := b.asOf - b.began + busySpan
	return instant(b.now+b.last)*100 < span*instant(slots)*lendBelow
}

// chargeFor takes the work of a task that is let in from its tenant's share, if it lies inside.
func (it *item) chargeFor(now instant, work time.Duration) {
	if it.tenant != nil && it.tenant.share.gain > 0 && !it.outside {
		it.payer, it.charged = it.tenant, work
		it.payer.share.take(now, work)
	}
}

// used corrects the charge to what the task really took.
func (it *item) used(now instant, work time.Duration) {
	if it.payer != nil {
		it.payer.share.take(now, work-it.charged)
		it.payer = nil
	}
}

// exceeds tells whether so much work lies outside the tenant's share.
func (t *tenant) exceeds(now instant, work time.Duration) bool {
	return t != nil && !t.share.holds(now, work)
}
