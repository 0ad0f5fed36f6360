package runtime

import "time"

// clock is the time a request has for its reply. It stands still while the instance
// that works on it is halted.
type clock struct {
	until  time.Time
	left   time.Duration // when it was halted
	halted bool
}

// deadline is when the time is over, as far as is known; zero while it stands still.
func (c *clock) deadline() time.Time {
	if c.halted {
		return time.Time{}
	}
	return c.until
}

// begin gives the next request its time.
func (l *lane) begin(within time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock.until, l.clock.left = time.Now().Add(within), within
}

// halt stops the clock of the request in flight. Any goroutine may call it.
func (l *lane) halt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clock.halted {
		return
	}
	l.clock.halted, l.clock.left = true, time.Until(l.clock.until)
	l.applyLocked()
}

// proceed lets the clock go on.
func (l *lane) proceed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.clock.halted {
		return
	}
	l.clock.halted, l.clock.until = false, time.Now().Add(l.clock.left)
	l.applyLocked()
}

// applyLocked tells the connection. One that is gone has nobody waiting for it.
func (l *lane) applyLocked() {
	if l.conn != nil {
		_ = l.conn.SetDeadline(l.clock.deadline())
	}
}
