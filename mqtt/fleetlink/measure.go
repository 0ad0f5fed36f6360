package fleetlink

import (
	"fmt"
	"sync"
	"time"

	"holdfast/edge"
)

// Verifying a signature costs more than sending junk. Of confirmations and of answers so
// many are looked at in a second, or at once after a time of quiet; a fleet says fewer. The
// rest may be lost: confirmations are cumulative, and an answer counts once.
const (
	wordsASecond = 20
	wordsAtOnce  = 100
)

var errTooMany = fmt.Errorf("more than %d a second: %w", wordsASecond, edge.ErrInvalid)

// refuse counts what was of no use, and tells some of it.
func (l *Link) refuse(topic string, why error) {
	if l.refusals.count(time.Now()) {
		l.options.Refused(topic, why.Error())
	}
}

// refusals are told ten times a minute at most.
type refusals struct {
	mu      sync.Mutex // guards the rest
	all     uint64
	told    int
	minutes time.Time // since when told counts
}

const toldAMinute = 10

func (r *refusals) count(now time.Time) (tell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all++
	if now.Sub(r.minutes) >= time.Minute {
		r.minutes, r.told = now, 0
	}
	r.told++
	return r.told <= toldAMinute
}

func (r *refusals) sum() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}

// bucket holds permissions, which come back at a rate.
type bucket struct {
	mu    sync.Mutex // guards spent
	spent time.Time  // up to when permissions of the past are used up
}

// take takes one if there is one.
func (b *bucket) take(now time.Time) bool {
	const one = time.Second / wordsASecond
	b.mu.Lock()
	defer b.mu.Unlock()
	if full := now.Add(-wordsAtOnce * one); b.spent.Before(full) {
		b.spent = full
	}
	if b.spent.Add(one).After(now) {
		return false
	}
	b.spent = b.spent.Add(one)
	return true
}
