package oneshot

import (
	"context"
	"time"

	"holdfast/edge"
)

// pool is the containers of one workload, and what is known of it. The keeper's mutex
// guards it.
type pool struct {
	spec   edge.Workload
	hash   string
	wanted bool // the last Apply named it

	warm  []held   // stand ready, the oldest first
	spent []held   // to be taken away
	busy  []*bout  // tasks at work, or being given a container
	free  waitList // for those who wait until fewer are at work

	demand demand
	chore  bool      // something is being made or taken away for it
	sheds  bool      // and it is the latter
	since  time.Time // there has been something to do
	proven string    // the version of which a container could be made last; empty: of none
	cold   uint64    // tasks for which none stood ready
	runs   uint64

	failure error // why none can be made; nil while it can
	tries   int
	next    time.Time // when it is tried again
	stuck   error     // why one cannot be taken away
	again   time.Time // when that is tried again
}

// held is a container of ours.
type held struct {
	id, hash  string
	container Container
}

// bout is one task and its container.
type bout struct {
	held
	task    string
	arrived time.Time
	begun   time.Time
	giveUp  context.CancelCauseFunc
}

// errand is what is to be done for a pool.
type errand uint8

const (
	rest errand = iota
	produce
	discard
)

// target is how many containers are to stand ready: one, and as many as tasks have come
// together lately, if they may.
func (p *pool) target(now time.Time) int {
	if !p.wanted || p.spec.Replicas == 0 {
		return 0
	}
	return min(max(1, p.demand.peak(now)), max(1, p.spec.Ahead()))
}

// shed puts what is not to stand ready any more to what is taken away: of another version
// first, and then the oldest.
func (p *pool) shed(now time.Time) {
	var keep []held
	for _, h := range p.warm {
		if h.hash == p.hash {
			keep = append(keep, h)
		} else {
			p.spent = append(p.spent, h)
		}
	}
	over := max(0, len(keep)-p.target(now))
	p.spent, p.warm = append(p.spent, keep[:over]...), keep[over:]
}

// due is what is to be done next, or when to look again. While nothing stands ready that
// is seen to first: the next task would have to wait for it.
func (p *pool) due(now time.Time) (e errand, at time.Time) {
	p.shed(now)
	if p.chore {
		return rest, time.Time{}
	}
	lacking := len(p.warm) < p.target(now)
	switch {
	case lacking && len(p.warm) == 0 && !now.Before(p.next):
		return produce, time.Time{}
	case len(p.spent) > 0 && !now.Before(p.again):
		return discard, time.Time{}
	case lacking && !now.Before(p.next):
		return produce, time.Time{}
	}
	if lacking {
		at = earlier(at, p.next)
	}
	if len(p.spent) > 0 {
		at = earlier(at, p.again)
	}
	if len(p.warm) > 1 {
		at = earlier(at, p.demand.changes())
	}
	return rest, at
}

// empty tells whether nothing is left of it.
func (p *pool) empty() bool {
	return !p.wanted && !p.chore && len(p.warm)+len(p.spent)+len(p.busy) == 0
}

// crowded tells whether so much is left to take away that whoever brings more has to do it
// himself.
func (p *pool) crowded() bool { return len(p.spent) >= max(2, p.spec.Replicas) }

// failed notes that a container could not be made.
func (p *pool) failed(err error, now time.Time, jitter float64) {
	p.failure = err
	p.next = now.Add(backoff(p.tries, jitter))
	p.tries++
}

// made notes that one could be, of the version that is wanted.
func (p *pool) made() { p.proven, p.failure, p.tries, p.next = p.hash, nil, 0, time.Time{} }

const (
	firstPause   = 250 * time.Millisecond
	longestPause = 30 * time.Second
)

// backoff is the pause after a failure: from a quarter of a second doubling up to half a
// minute, of which half is drawn, so that it never is none.
func backoff(tries int, jitter float64) time.Duration {
	bound := longestPause
	if tries < 7 { // 2^7 times the first is over the longest
		bound = min(firstPause<<tries, longestPause)
	}
	return bound/2 + time.Duration(jitter*float64(bound/2))
}

// earlier is the first of two instants of which zero means never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// waitList wakes those who wait. The zero value is ready.
type waitList struct{ changed chan struct{} }

// next returns what is closed when there is something to look at.
func (l *waitList) next() <-chan struct{} {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

func (l *waitList) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}
