package runtime

import (
	"time"

	"holdfast/edge"
)

const (
	// backoffBase bounds the second wait in a row; the first restart is at once, so
	// that a single crash costs no more than the start itself. 200 ms is about what
	// a start costs, so a failing instance uses at most half a core of starting.
	backoffBase = 200 * time.Millisecond
	// backoffCap keeps the longest wait within what a person watches.
	backoffCap = 30 * time.Second
	// stableAfter is how long an instance must have been ready for its end to count
	// as the first of a new row. It is well over the time a server needs to fail on
	// a bad setting, and under the period of most slow leaks.
	stableAfter = 10 * time.Second
	// A crash loop is loopEnds ends within loopWindow: one crash is an accident, two
	// may be, three are a condition somebody should look at.
	loopEnds   = 3
	loopWindow = time.Minute
)

// record is what one seat remembers about the ends of its instances.
type record struct {
	streak int         // ends in a row without a stable run between them
	ends   []time.Time // the last loopEnds ends, oldest first
}

// failed is the record after one more end at now, of an instance that had been
// ready for up.
func (r record) failed(now time.Time, up time.Duration) record {
	if up >= stableAfter {
		r.streak = 0
	}
	r.streak++
	ends := append(append([]time.Time(nil), r.ends...), now)
	if len(ends) > loopEnds {
		ends = ends[len(ends)-loopEnds:]
	}
	r.ends = ends
	return r
}

// delay is how long to wait before the next try: nothing after a first end, then
// full jitter (jitter in [0, 1)) under a bound that doubles. Instances that died
// together therefore do not come back together.
func (r record) delay(jitter float64) time.Duration {
	if r.streak <= 1 {
		return 0
	}
	return jittered(r.streak-2, backoffBase, backoffCap, jitter)
}

// delayStart is how long to wait after so many failed starts in a row: there is no
// instance to miss, and trying again at once would meet the same missing image.
func delayStart(failed int, jitter float64) time.Duration {
	return jittered(failed, backoffBase, backoffCap, jitter)
}

// looping tells whether the ends up to now are a crash loop.
func (r record) looping(now time.Time) bool {
	return len(r.ends) >= loopEnds && now.Sub(r.ends[0]) < loopWindow
}

// calmAt is when the record stops being a crash loop if nothing ends any more.
func (r record) calmAt() time.Time {
	if len(r.ends) < loopEnds {
		return time.Time{}
	}
	return r.ends[0].Add(loopWindow)
}

// jittered draws from the lower share of base·2^doublings, bounded by limit.
func jittered(doublings int, base, limit time.Duration, jitter float64) time.Duration {
	bound := limit
	if doublings < 16 { // 2^16 times any base here is over any limit here
		bound = min(base<<max(doublings, 0), limit)
	}
	return time.Duration(jitter * float64(bound))
}

// restarts tells whether an instance that ended so is to be started again. An end
// nobody saw (nil: a power cut, a lost task, a container that never ran) is no proof
// that the work was done. So it is started again under every policy, "no" too: a
// one-shot runs until it has been seen to exit, which may be more than once.
func restarts(policy edge.RestartPolicy, exit *edge.Exit) bool {
	if exit == nil {
		return true
	}
	switch policy {
	case edge.RestartNo:
		return false
	case edge.RestartOnFailure:
		return exit.Code != 0 || exit.Signal != "" || exit.OOM
	default:
		return true
	}
}

// codeUnknown is the code containerd gives an end that it knows nothing of.
const codeUnknown = 255

// seenEnd is an exit if somebody saw it, or nil. A driver may give an unseen
// end a code that stands for it; a real exit has an instant.
func seenEnd(exit *edge.Exit) *edge.Exit {
	if exit != nil && exit.Code == codeUnknown && exit.Signal == "" && !exit.OOM && exit.At.IsZero() {
		return nil
	}
	return exit
}
