package stand

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Wire carries connections to an address, and can be cut. What is on its way when it
// is cut is lost.
type Wire struct {
	listener net.Listener
	to       string
	carried  atomic.Uint64
	ended    sync.WaitGroup

	mu   sync.Mutex // guards what follows
	cut  bool
	open map[net.Conn]bool
}

// StretchWire listens on a free port of the loopback.
func StretchWire(to string) (*Wire, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot stretch wire: %w", err)
	}
	w := &Wire{listener: listener, to: to, open: map[net.Conn]bool{}}
	w.ended.Go(w.accept)
	return w, nil
}

// Address is where the wire begins.
func (w *Wire) Address() string { return w.listener.Addr().String() }

// Carried counts the bytes of both directions.
func (w *Wire) Carried() uint64 { return w.carried.Load() }

// Cut ends what is open, and lets nothing new through until Mend.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	w.abortLocked()
}

// Twitch ends what is open and lets the next connection through.
func (w *Wire) Twitch() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.abortLocked()
}

// Mend makes the wire whole.
func (w *Wire) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = false
}

// Close ends everything.
func (w *Wire) Close() error {
	w.Cut()
	err := w.listener.Close()
	w.ended.Wait()
	return err
}

func (w *Wire) abortLocked() {
	for conn := range w.open {
		abort(conn)
	}
}

// abort resets a connection, as a cable that is pulled never does but a network may.
func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func (w *Wire) accept() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.DialTimeout("tcp", w.to, time.Second)
		if err != nil {
			abort(near)
			continue
		}
		if !w.keep(near, far) {
			abort(near)
			abort(far)
			continue
		}
		w.ended.Go(func() { w.carry(near, far) })
		w.ended.Go(func() { w.carry(far, near) })
	}
}

func (w *Wire) keep(ends ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return false
	}
	for _, end := range ends {
		w.open[end] = true
	}
	return true
}

func (w *Wire) carry(from, to net.Conn) {
	_, _ = io.Copy(to, io.TeeReader(from, counting{&w.carried})) // however it ends, both ends do
	w.mu.Lock()
	delete(w.open, from)
	w.mu.Unlock()
	abort(from)
	abort(to)
}

type counting struct{ n *atomic.Uint64 }

// Write counts.
func (c counting) Write(p []byte) (int, error) {
	c.n.Add(uint64(len(p)))
	return len(p), nil
}
