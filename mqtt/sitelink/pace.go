package sitelink

import (
	"context"
	"time"
)

// pace lets so many messages a second pass, and after a pause a burst of them. Who
// waits here makes the session's inbox fill and the broker hold back. It is used by
// one goroutine at a time.
type pace struct {
	every time.Duration
	burst time.Duration // how far behind it may be
	next  time.Time
}

// mostBurst is how many messages may pass at once.
const mostBurst = 128

func newPace(rate, burst int) pace {
	every := max(time.Second/time.Duration(rate), 1)
	return pace{every: every, burst: time.Duration(burst-1) * every}
}

// least is not worth a timer.
const least = time.Millisecond

// wait returns false when ctx ended first.
func (p *pace) wait(ctx context.Context) bool {
	now := time.Now()
	if earliest := now.Add(-p.burst); p.next.Before(earliest) {
		p.next = earliest
	}
	ahead := p.next.Sub(now)
	if ahead >= least {
		timer := time.NewTimer(ahead)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
	p.next = p.next.Add(p.every)
	return ctx.Err() == nil
}
