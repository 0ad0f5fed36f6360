package fleetlink

import (
	"context"
	"sync"
	"time"
)

const (
	monthForm = "2006-01"
	saveEvery = time.Hour
	// freeEvery is how often the meter is saved when nothing depends on it.
	freeEvery = 24 * time.Hour
	// reserveShare of a budget is there from the first of the month on, so that a
	// node that comes back has something to drain with.
	reserveShare = 20
	// stepShare is how much must have become free before history goes on.
	stepShare = 1000
	// scarceFor keeps the warning while history goes on and off.
	scarceFor = time.Hour
)

// budget counts the bytes of a month. They are spread over it: of the month that has
// passed, as large a share may have been used.
type budget struct {
	meter Meter

	mu     sync.Mutex // guards the rest
	usage  Usage
	aside  Usage  // the month counted before, for a clock that comes back to it
	mark   uint64 // of the session's bytes, what usage has
	saved  Usage
	waits  bool
	since  time.Time // when history began to wait
	latest time.Time // when it last had to
}

func newBudget(m Meter) *budget { return &budget{meter: m} }

func (b *budget) load(now time.Time) error {
	u, err := b.meter.Load()
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		return err
	}
	if u.Month >= b.usage.Month {
		if u.Month == b.usage.Month {
			u.Bytes = max(u.Bytes, b.usage.Bytes)
		}
		b.usage, b.saved = u, u
	}
	b.turnLocked(now)
	return nil
}

// used is what the month has cost, by what the session has counted.
func (b *budget) used(now time.Time, wire uint64) Usage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.usedLocked(now, wire)
}

func (b *budget) usedLocked(now time.Time, wire uint64) Usage {
	b.turnLocked(now)
	b.usage.Bytes += wire - b.mark
	b.mark = wire
	return b.usage
}

// turnLocked begins another month. A clock that is a little behind does not bring an old
// one back, but one that was far ahead for a moment must not stop the count for years.
func (b *budget) turnLocked(now time.Time) {
	now = now.UTC()
	month := now.Format(monthForm)
	next := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC).Format(monthForm)
	if month <= b.usage.Month && b.usage.Month <= next {
		return
	}
	former := b.usage
	b.usage = Usage{Month: month}
	if b.aside.Month == month {
		b.usage = b.aside
	}
	b.aside = former
	if month < former.Month { // what was noted lies ahead
		b.waits, b.latest = false, time.Time{}
	}
}

func (b *budget) save(now time.Time, wire uint64) error {
	u := b.used(now, wire)
	b.mu.Lock()
	same := u == b.saved
	b.saved = u
	b.mu.Unlock()
	if same {
		return nil
	}
	return b.meter.Save(u)
}

// scarce tells whether history has to wait, and until when.
func (b *budget) scarce(now time.Time, wire, total uint64) (until time.Time, scarce bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.usedLocked(now, wire)
	if total == 0 {
		b.waits = false
		return time.Time{}, false
	}
	start, err := time.Parse(monthForm, u.Month)
	if err != nil {
		return time.Time{}, false // a month of Format's always parses
	}
	end := start.AddDate(0, 1, 0)
	need := float64(u.Bytes)
	if b.waits {
		need += float64(total) / stepShare
	}
	until = freeAt(start, end, need, float64(total))
	scarce = now.Before(until)
	if scarce && !b.waits {
		b.since = now
		until = freeAt(start, end, need+float64(total)/stepShare, float64(total))
	}
	if b.waits = scarce; scarce {
		b.latest = now
	}
	return until, scarce
}

// freeAt is when so many bytes may have been used.
func freeAt(start, end time.Time, need, total float64) time.Time {
	share := need/total - 1.0/reserveShare
	switch {
	case share <= 0:
		return start
	case need > total:
		return end
	}
	return start.Add(time.Duration(share * float64(end.Sub(start))))
}

// warns tells whether the month has been scarce lately, and since when.
func (b *budget) warns(now time.Time) (since time.Time, warns bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.since, b.waits || !b.latest.IsZero() && now.Sub(b.latest) < scarceFor
}

// scarce tells whether the month's bytes are used up for now.
func (l *Link) scarce() (until time.Time, scarce bool) {
	return l.budget.scarce(l.now(), l.wire(), l.options.Budget())
}

// now is the wall clock, or what has certainly passed.
func (l *Link) now() time.Time {
	now := time.Now()
	if floor := l.options.Session.ClockFloor; floor != nil {
		if at := floor(); at.After(now) {
			return at
		}
	}
	return now
}

// keepMeter saves the meter now and then, until ctx ends.
func (l *Link) keepMeter(ctx context.Context) error {
	for {
		every := freeEvery
		if l.options.Budget() > 0 {
			every = saveEvery
		}
		if !pause(ctx, every) {
			return nil
		}
		if err := l.budget.save(l.now(), l.wire()); err != nil {
			l.options.Log.Warn("bytes of the month were not kept", "err", err)
		}
	}
}
