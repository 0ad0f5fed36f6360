package containerd

import (
	"context"
	"sync"
	"time"
)

// pace bounds what all pulls take from the network together. Its zero value is no
// bound.
type pace struct {
	mu   sync.Mutex // guards what follows
	rate int64      // bytes a second
	free time.Time  // when what was taken has been paid for
}

// paceShare is the part of a second for which one read may take: so often a pull under
// the lowest rate still shows that something comes.
const paceShare = 4

// set changes the rate, for what is read from now on.
func (p *pace) set(rate int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate = rate
}

// await waits until something may be read, and says how much of want.
func (p *pace) await(ctx context.Context, want int) (share int, err error) {
	p.mu.Lock()
	rate, wait := p.rate, time.Until(p.free)
	p.mu.Unlock()
	if rate <= 0 {
		return want, nil
	}
	share = int(min(int64(want), max(1, rate/paceShare)))
	if wait <= 0 {
		return share, nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	case <-timer.C:
		return share, nil
	}
}

// took pays for what was read.
func (p *pace) took(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate <= 0 {
		return
	}
	if now := time.Now(); p.free.Before(now) {
		p.free = now // what was not taken earlier is not made up for
	}
	p.free = p.free.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
}
