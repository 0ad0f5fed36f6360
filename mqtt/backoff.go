package mqtt

import "time"

// The law of waiting.
const (
	backoffBase = 2 * time.Second
	// stable is how long a connection must have stood for its end to be news. A
	// broker that takes us in and throws us out again is waited for longer each time.
	stable = time.Minute
	// What a person must put right is not put right in seconds.
	refusedBase = 30 * time.Second
	refusedCap  = 10 * time.Minute
)

// backoff counts attempts and says how long to wait for the next one.
type backoff struct {
	random   func() float64
	attempts int // since the last stable connection
	refusals int // of them in a row for which a person is needed
}

// after returns the wait after a connection that stood for so long and ended with f.
//
// Lost networks: uniform in [0, min(cap, base·2ⁿ)), full jitter, because what took
// the broker from one node took it from all. Refusals: uniform in the upper half of
// that with their own base and cap, so never soon.
func (b *backoff) after(f *Failure, stood, limit time.Duration) time.Duration {
	if stood >= stable {
		b.attempts, b.refusals = 0, 0
	}
	if f.needsPerson() {
		ceiling := doubled(refusedBase, b.refusals, max(refusedCap, limit))
		b.refusals++
		return ceiling/2 + time.Duration(b.random()*float64(ceiling/2))
	}
	b.refusals = 0
	ceiling := doubled(backoffBase, b.attempts, limit)
	b.attempts++
	return time.Duration(b.random() * float64(ceiling))
}

// doubled is base·2ⁿ, but no more than limit.
func doubled(base time.Duration, n int, limit time.Duration) time.Duration {
	for range n {
		if base >= limit {
			break
		}
		base *= 2
	}
	return min(base, limit)
}
