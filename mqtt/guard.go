package mqtt

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// guard stands between the client library and the network. Everything the broker
// sends is judged here before the library reads it, and the guard alone decides when
// a connection is over: towards the library it stays open until release, so that the
// session can bring its own goroutines home first.
//
//	           release
//	  open ──► failed ──► released
//	reads wait, writes     reads end
//	go nowhere
type guard struct {
	conn   net.Conn
	raw    io.Closer // below TLS: closing it never waits
	ledger *ledger
	limits limits

	// Of the library's reading goroutine.
	in      *bufio.Reader
	buf     []byte // head of a packet, reused
	ready   []byte // what of it is still to be handed over
	rest    int    // payload that follows unseen
	greeted bool   // CONNACK has come

	sending  sync.Mutex     // one packet after the other
	answers  sync.Mutex     // guards awaited and large
	awaited  written        // the SUBSCRIBE or UNSUBSCRIBE on its way
	large    map[uint16]int // sizes of messages passed on without payload, by packet id
	once     sync.Once
	failed   chan struct{} // closed by fail, after err is set
	err      error
	freed    sync.Once
	released chan struct{}
}

// limits are the bounds of one connection.
type limits struct {
	frame   int           // bytes
	skim    bool          // larger messages pass without their payload
	greet   time.Duration // until CONNACK
	silence time.Duration // longest pause between two whole packets
	write   time.Duration // for one packet to leave
}

// readBuffer holds some small packets; a payload goes past it.
const readBuffer = 2 << 10

func newGuard(conn net.Conn, raw io.Closer, l *ledger, lim limits) *guard {
	g := &guard{
		conn: conn, raw: raw, ledger: l, limits: lim,
		in: bufio.NewReaderSize(conn, readBuffer), buf: make([]byte, 0, MaxTopic+frameHead),
		failed: make(chan struct{}), released: make(chan struct{}),
	}
	g.awaitWithin(lim.greet)
	return g
}

// fail ends the connection. Only the first reason counts.
func (g *guard) fail(reason error) {
	g.once.Do(func() {
		g.err = reason
		_ = g.raw.Close() // the reason is known already
		close(g.failed)
	})
}

// release lets the library see that the connection has ended.
func (g *guard) release() { g.freed.Do(func() { close(g.released) }) }

func (g *guard) isFailed() bool {
	select {
	case <-g.failed:
		return true
	default:
		return false
	}
}

// Read hands over what has been judged.
func (g *guard) Read(p []byte) (int, error) {
	for {
		switch {
		case len(g.ready) > 0:
			n := copy(p, g.ready)
			g.ready = g.ready[n:]
			return n, nil
		case g.rest > 0:
			n, err := g.in.Read(p[:min(len(p), g.rest)])
			g.rest -= n
			if n > 0 {
				return n, nil
			}
			if err != nil {
				return 0, g.end(cutOff(err))
			}
		default:
			if err := g.next(); err != nil {
				return 0, g.end(err)
			}
		}
	}
}

// end names the end of reading and waits until the library may know of it.
func (g *guard) end(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = failure(Silent, "broker was silent for %v", g.patience())
	}
	g.fail(err)
	<-g.released
	return io.EOF
}

func (g *guard) patience() time.Duration {
	if g.greeted {
		return g.limits.silence
	}
	return g.limits.greet
}

func (g *guard) awaitWithin(d time.Duration) { _ = g.conn.SetReadDeadline(time.Now().Add(d)) } // fails only when closed, and then reads do too

// next judges one packet. What may be ignored leaves nothing ready.
func (g *guard) next() error {
	if g.greeted {
		g.awaitWithin(g.limits.silence)
	}
	f, err := readFrame(g.in, g.buf)
	if err != nil {
		return err
	}
	large := f.length > g.limits.frame
	if large && (!g.limits.skim || !g.greeted || f.kind != kindPublish) {
		return failure(Protocol, "broker sent a packet of %d bytes, %d are allowed", f.length, g.limits.frame)
	}
	pass := true
	if g.greeted && f.kind == kindPublish {
		g.rest, err = f.publish(g.in)
		if err == nil && large {
			pass, err = g.skimmed(&f)
		}
	} else {
		pass, err = g.control(&f)
	}
	if err != nil {
		return err
	}
	g.buf = f.head[:0]
	if pass {
		g.ready = f.head
	}
	return nil
}

// skimmed throws the payload of a large message away and notes its size. With QoS 0
// nothing of it passes: nobody waits for its acknowledgement.
func (g *guard) skimmed(f *frame) (pass bool, err error) {
	if _, err := io.CopyN(io.Discard, g.in, int64(g.rest)); err != nil {
		return false, cutOff(err)
	}
	g.rest = 0
	f.withoutPayload()
	if f.flags>>1&3 == 0 {
		return false, nil
	}
	id := binary.BigEndian.Uint16(f.head[len(f.head)-2:])
	g.answers.Lock()
	defer g.answers.Unlock()
	if g.large == nil {
		g.large = map[uint16]int{}
	}
	g.large[id] = f.length
	return true, nil
}

// oversize returns, once, how many bytes a message had that was passed on without
// its payload; otherwise 0.
func (g *guard) oversize(id uint16) int {
	g.answers.Lock()
	defer g.answers.Unlock()
	size := g.large[id]
	delete(g.large, id)
	return size
}

// Write sends a packet whole. The library hears of no failure: it comes through Read.
func (g *guard) Write(packet []byte) (int, error) {
	g.sending.Lock()
	defer g.sending.Unlock()
	if g.isFailed() {
		return len(packet), nil
	}
	g.note(inspect(packet))
	_ = g.conn.SetWriteDeadline(time.Now().Add(g.limits.write)) // fails only when closed
	if _, err := g.conn.Write(packet); err != nil {
		g.failWriting(err)
	}
	return len(packet), nil
}

// failWriting ends the connection, unless reading will tell a better reason: a broker
// that does not like our certificate says so and hangs up while CONNECT is written.
func (g *guard) failWriting(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		g.fail(failure(Silent, "broker took nothing for %v", g.limits.write))
	} else if g.greeted { // which is settled before anybody writes beside CONNECT
		g.fail(err)
	}
}

// note remembers what a packet of ours may be answered with.
func (g *guard) note(w written) {
	switch w.kind {
	case kindPublish:
		g.ledger.written(w.id)
	case kindSubscribe, kindUnsub:
		g.answers.Lock()
		g.awaited = w
		g.answers.Unlock()
	}
}

// Close is how the library ends a refused connection.
func (g *guard) Close() error {
	g.fail(net.ErrClosed)
	g.release()
	return nil
}

// The deadlines are the guard's own.

func (g *guard) SetDeadline(time.Time) error      { return nil }
func (g *guard) SetReadDeadline(time.Time) error  { return nil }
func (g *guard) SetWriteDeadline(time.Time) error { return nil }
func (g *guard) LocalAddr() net.Addr              { return g.conn.LocalAddr() }
func (g *guard) RemoteAddr() net.Addr             { return g.conn.RemoteAddr() }

var _ net.Conn = (*guard)(nil)
