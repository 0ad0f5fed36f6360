package fleetlink_test

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// line is one direction of a connection in memory, with a delay, so that it works in
// virtual time.
type line struct {
	delay func() time.Duration

	mu     sync.Mutex // guards the rest
	chunks []chunk
	wake   chan struct{}
	closed bool
	black  bool // what is written vanishes
	limit  time.Time
	bytes  int64
}

type chunk struct {
	at   time.Time
	data []byte
}

func newLine(delay func() time.Duration) *line {
	return &line{delay: delay, wake: make(chan struct{})}
}

func (l *line) signalLocked() {
	close(l.wake)
	l.wake = make(chan struct{})
}

func (l *line) write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, io.ErrClosedPipe
	}
	if l.black {
		return len(p), nil
	}
	at := time.Now().Add(l.delay())
	if n := len(l.chunks); n > 0 && at.Before(l.chunks[n-1].at) {
		at = l.chunks[n-1].at // a connection keeps the order
	}
	l.bytes += int64(len(p))
	l.chunks = append(l.chunks, chunk{at, append([]byte(nil), p...)})
	l.signalLocked()
	return len(p), nil
}

func (l *line) read(p []byte) (int, error) {
	for {
		l.mu.Lock()
		now, until := time.Now(), l.limit
		if len(l.chunks) > 0 {
			first := &l.chunks[0]
			if !first.at.After(now) {
				n := copy(p, first.data)
				if first.data = first.data[n:]; len(first.data) == 0 {
					l.chunks = l.chunks[1:]
				}
				l.mu.Unlock()
				return n, nil
			}
			if until.IsZero() || first.at.Before(until) {
				until = first.at
			}
		} else if l.closed {
			l.mu.Unlock()
			return 0, io.EOF
		}
		if !l.limit.IsZero() && !now.Before(l.limit) {
			l.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
		wake := l.wake
		l.mu.Unlock()
		wait(wake, until)
	}
}

// wait ends when woken, or at a time unless that is zero.
func wait(wake <-chan struct{}, until time.Time) {
	if until.IsZero() {
		<-wake
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-wake:
	case <-timer.C:
	}
}

func (l *line) close(loss bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if loss {
		l.chunks = nil
	}
	l.signalLocked()
}

func (l *line) set(change func(*line)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
	l.signalLocked()
}

// end is one end of a connection.
type end struct{ in, out *line }

var _ net.Conn = (*end)(nil)

// connection makes the two ends of one.
func connection(delay func() time.Duration) (a, b *end) {
	up, down := newLine(delay), newLine(delay)
	return &end{in: down, out: up}, &end{in: up, out: down}
}

func (e *end) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *end) Write(p []byte) (int, error) { return e.out.write(p) }

func (e *end) Close() error {
	e.out.close(false)
	e.in.close(true)
	return nil
}

// cut ends both directions; what is on its way is lost.
func (e *end) cut() {
	e.out.close(true)
	e.in.close(true)
}

// halfOpen lets both ends believe that the other is there.
func (e *end) halfOpen() {
	e.out.set(func(l *line) { l.black, l.chunks = true, nil })
	e.in.set(func(l *line) { l.black, l.chunks = true, nil })
}

func (e *end) SetDeadline(t time.Time) error { return e.SetReadDeadline(t) }

func (e *end) SetReadDeadline(t time.Time) error {
	e.in.set(func(l *line) { l.limit = t })
	return nil
}

func (e *end) SetWriteDeadline(time.Time) error { return nil } // a write never waits

func (e *end) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (e *end) RemoteAddr() net.Addr { return &net.TCPAddr{} }
