package commands

import (
	"context"
	"sync"
	"time"
)

// bucket holds permissions that come at a rate.
type bucket struct {
	every time.Duration // one
	burst int

	mu   sync.Mutex // guards next
	next time.Time  // when the bucket would be full, less burst
}

func newBucket(every time.Duration, burst int) *bucket {
	return &bucket{every: every, burst: burst}
}

// reserve takes one, and says how long to wait for it.
func (b *bucket) reserve(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if full := now.Add(-time.Duration(b.burst) * b.every); b.next.Before(full) {
		b.next = full
	}
	b.next = b.next.Add(b.every)
	return max(0, b.next.Sub(now))
}

// take takes one if it is there.
func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	full := now.Add(-time.Duration(b.burst) * b.every)
	if b.next.Before(full) {
		b.next = full
	}
	if b.next.Add(b.every).After(now) {
		return false
	}
	b.next = b.next.Add(b.every)
	return true
}

// wait takes one when it is there.
func (b *bucket) wait(ctx context.Context) error {
	return sleep(ctx, b.reserve(time.Now()))
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
