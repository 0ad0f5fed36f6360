package mqtt_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// proxy stands between a session and a broker, and does to connections what
// networks do.
type proxy struct {
	net.Listener
	to string

	mu     sync.Mutex // guards the rest
	chance *rand.Rand
	faults faults
	open   map[net.Conn]bool
	cuts   int
	ended  sync.WaitGroup
}

// faults are drawn anew for each connection. Zero is none.
type faults struct {
	lives  int           // bytes one direction carries before both are cut, at most
	delay  time.Duration // before each piece, at most
	drops  int           // one piece in so many is left out; a network does that only below TLS
	pieces int           // bytes handed on at a time, at most
}

func startProxy(tb testing.TB, to string, seed uint64) *proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{Listener: l, to: to, chance: rand.New(rand.NewPCG(seed, 0)), open: map[net.Conn]bool{}}
	p.ended.Go(p.accept)
	tb.Cleanup(func() {
		l.Close()
		p.cut()
		p.ended.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.Addr().String() }

// set changes what befalls connections made from now on.
func (p *proxy) set(f faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = f
}

// cut ends every connection without a word.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.open {
		p.cuts++
		abort(conn)
	}
}

// abort resets a connection: what was on its way is gone.
func abort(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

func (p *proxy) accept() {
	for {
		near, err := p.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.to)
		if err != nil {
			abort(near)
			continue
		}
		p.mu.Lock()
		p.open[near], p.open[far] = true, true
		up, down := p.drawLocked(), p.drawLocked()
		p.mu.Unlock()
		p.ended.Go(func() { p.carry(near, far, up) })
		p.ended.Go(func() { p.carry(far, near, down) })
	}
}

// fate is what befalls one direction of one connection.
type fate struct {
	faults
	chance *rand.Rand
	left   int
}

func (p *proxy) drawLocked() *fate {
	f := &fate{faults: p.faults, chance: rand.New(rand.NewPCG(p.chance.Uint64(), 0)), left: -1}
	if f.lives > 0 {
		f.left = 1 + f.chance.IntN(f.lives)
	}
	return f
}

// carry hands bytes on until the connection's fate is met.
func (p *proxy) carry(from, to net.Conn, f *fate) {
	defer func() {
		p.mu.Lock()
		delete(p.open, from)
		p.mu.Unlock()
		abort(from)
		abort(to)
	}()
	buf := make([]byte, 4<<10)
	if f.pieces > 0 {
		buf = buf[:f.pieces]
	}
	for {
		n, err := from.Read(buf)
		if f.left >= 0 {
			n = min(n, f.left)
		}
		if f.delay > 0 {
			<-time.After(time.Duration(f.chance.Int64N(int64(f.delay))))
		}
		if n > 0 && (f.drops == 0 || f.chance.IntN(f.drops) > 0) {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if f.left >= 0 {
			f.left -= n
		}
		if err != nil || f.left == 0 {
			if !errors.Is(err, io.EOF) {
				p.mu.Lock()
				p.cuts++
				p.mu.Unlock()
			}
			return
		}
	}
}
