package scheduler

import (
	"math"
	"math/bits"
	"time"

	"holdfast/edge"
)

const (
	// maxBurst is the most tokens a bucket holds: as many as a policy may write. With
	// maxPeriod it keeps a level within 63 bits.
	maxBurst = 1 << 16
	// maxPeriod is the longest span a rate is written for.
	maxPeriod = time.Hour
)

// bucket holds the tokens of one tenant. It counts in whole numbers, so that it is
// exact: one token is as many parts as the period of the rate has nanoseconds, and
// each nanosecond brings as many parts as the rate has tasks.
type bucket struct {
	gain  int64 // parts a nanosecond
	token int64 // parts of one token
	size  int64 // parts it holds
	level int64 // parts in it at the instant as of
	asOf  instant
}

// newBucket is a full one.
func newBucket(now instant, rate edge.Rate, burst int) bucket {
	b := bucket{gain: max(rate.Count, 1), token: int64(min(max(rate.Per, 1), maxPeriod)), asOf: now}
	b.size = int64(capacity(rate, burst)) * b.token
	b.level = b.size
	return b
}

// capacity is the number of tokens a bucket holds.
func capacity(rate edge.Rate, burst int) int {
	if burst <= 0 {
		burst = int(min(math.Ceil(rate.PerSecond()), maxBurst))
	}
	return min(max(burst, 1), maxBurst)
}

// at is the level at an instant not before asOf. Nothing overflows: what would be
// gained is computed only when it fits.
func (b *bucket) at(now instant) int64 {
	room, passed := b.size-b.level, int64(now-b.asOf)
	if passed <= 0 || room == 0 {
		return b.level
	}
	if passed > room/b.gain {
		return b.size
	}
	return b.level + passed*b.gain
}

// wait is how long after now the next token is there, to the nanosecond; 0 when one is.
func (b *bucket) wait(now instant) time.Duration {
	missing := b.token - b.at(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration((missing-1)/b.gain + 1)
}

// take removes the token that wait has found.
func (b *bucket) take(now instant) {
	b.level, b.asOf = b.at(now)-b.token, now
}

// tokens are those that are whole.
func (b *bucket) tokens(now instant) int { return int(b.at(now) / b.token) }

// burst is how many tokens it holds.
func (b *bucket) burst() int { return int(b.size / b.token) }

// reshape gives the bucket another rate and size. A smaller one is as full as it was
// before, a larger one holds what it held: a change never gives tokens, or changing
// to and fro would be a way around the rate.
func (b *bucket) reshape(now instant, rate edge.Rate, burst int) {
	level := uint64(b.at(now))
	next := newBucket(now, rate, burst)
	from, to := uint64(b.token), uint64(next.token)
	if next.burst() < b.burst() {
		from, to = uint64(b.size), uint64(next.size)
	}
	high, low := bits.Mul64(level, to) // level ≤ from × burst, and so the quotient fits in next
	scaled, _ := bits.Div64(high, low, from)
	next.level = int64(scaled)
	*b = next
}
