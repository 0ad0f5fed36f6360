package fleetlink

import (
	"sync"
	"time"
)

// pace keeps history to half of the link. It goes in bursts, as fast as the link takes
// it, and then rests for as long as the burst took until its last acknowledgement. So
// half of the time is left to everything else, whatever the link can do, and there is
// no estimate that could drift.
//
//	nothing ──► burst: sending, at most burstFor ──► closing: what is on its way arrives
//	   ▲                                                │
//	   └──────────────────── rest ◄─────────────────────┘
type pace struct {
	mu      sync.Mutex // guards the rest
	link    int        // counts connections
	pending int        // on its way
	bytes   int        // of the burst
	began   time.Time  // the burst; zero: none
	latest  time.Time  // when something of it last arrived
	until   time.Time  // rest
	rate    float64    // bytes per second in flight, lately
	drained uint64     // entries
}

// burstFor is long beside what the end of a burst costs on a fast link, where brokers
// and kernels hold an acknowledgement back for 40 ms; and short beside what a person
// notices.
const burstFor = 250 * time.Millisecond

// ready returns how many entries may go now, of so many that may be on their way. When
// none may, again is when to ask; zero is when something has arrived.
func (p *pace) ready(now time.Time, most int) (n int, again time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isClosingLocked(now) && p.pending == 0 {
		p.endLocked() // there was no more to send for a while
	}
	switch {
	case now.Before(p.until):
		return 0, p.until
	case p.isClosingLocked(now):
		return 0, time.Time{}
	}
	return max(0, most-p.pending), time.Time{}
}

func (p *pace) isClosingLocked(now time.Time) bool {
	return !p.began.IsZero() && now.Sub(p.began) >= burstFor
}

// depart notes that an entry is given to the session. The answer belongs to arrive.
func (p *pace) depart(now time.Time, bytes int) (link int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.began.IsZero() {
		p.began, p.latest, p.bytes = now, now, 0
	}
	p.pending++
	p.bytes += bytes
	return p.link
}

// arrive notes that it is with the broker, or never will be.
func (p *pace) arrive(link int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.drained++
	}
	if link != p.link {
		return // of a connection before
	}
	p.pending--
	p.latest = time.Now()
	if p.pending == 0 && p.isClosingLocked(p.latest) {
		p.endLocked()
	}
}

func (p *pace) endLocked() {
	took := p.latest.Sub(p.began)
	p.until, p.began = p.latest.Add(took), time.Time{}
	if took <= 0 {
		return
	}
	rate := float64(p.bytes) / took.Seconds()
	if p.rate > 0 {
		rate = (7*p.rate + rate) / 8
	}
	p.rate = rate
}

// anew begins a connection, with nothing on its way.
func (p *pace) anew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link++
	p.pending, p.began, p.until = 0, time.Time{}, time.Time{}
}

func (p *pace) figures() (rate int64, drained uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(p.rate), p.drained
}
