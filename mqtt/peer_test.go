package mqtt_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"holdfast/mqtt"
)

// Kinds of packets, as the first byte shows them.
const (
	connect   = 0x10
	connack   = 0x20
	publish   = 0x30
	puback    = 0x40
	subscribe = 0x80
	suback    = 0x90
	pingreq   = 0xc0
	pingresp  = 0xd0
	goodbye   = 0xe0
)

// packet is one packet from the session.
type packet struct {
	kind  byte // without flags
	flags byte
	body  []byte
}

// id is the packet id of a PUBLISH or SUBSCRIBE.
func (p packet) id() uint16 {
	if p.kind == publish {
		return binary.BigEndian.Uint16(p.body[2+binary.BigEndian.Uint16(p.body):])
	}
	return binary.BigEndian.Uint16(p.body)
}

func (p packet) payload() string { return string(p.body[4+binary.BigEndian.Uint16(p.body):]) }

// filters counts those of a SUBSCRIBE.
func (p packet) filters() (n int) {
	for rest := p.body[2:]; len(rest) > 0; n++ {
		rest = rest[3+binary.BigEndian.Uint16(rest):]
	}
	return n
}

// peer is a broker's end of one connection, speaking raw bytes.
type peer struct {
	net.Conn
	in *bufio.Reader
	n  int // which connection it is, from 1
}

// read takes the next packet.
func (p *peer) read() (packet, error) {
	first, err := p.in.ReadByte()
	if err != nil {
		return packet{}, err
	}
	length, err := binary.ReadUvarint(p.in)
	if err != nil {
		return packet{}, err
	}
	body := make([]byte, length)
	_, err = io.ReadFull(p.in, body)
	return packet{first & 0xf0, first & 0x0f, body}, err
}

// until reads on to a packet of a kind; false when the session hangs up.
func (p *peer) until(kind byte) (packet, bool) {
	for {
		got, err := p.read()
		if err != nil || got.kind == kind {
			return got, err == nil
		}
	}
}

// send writes raw bytes; that the session has hung up shows when reading.
func (p *peer) send(raw ...byte) { _, _ = p.Write(raw) }

// answer does what an honest broker does with a packet.
func (p *peer) answer(got packet) {
	switch got.kind {
	case connect:
		p.send(connack, 2, 0, 0)
	case subscribe:
		id := got.id()
		p.send(append([]byte{suback, byte(2 + got.filters()), byte(id >> 8), byte(id)}, bytesOf(1, got.filters())...)...)
	case publish:
		p.acknowledge(got.id())
	case pingreq:
		p.send(pingresp, 0)
	}
}

func (p *peer) acknowledge(id uint16) { p.send(puback, 2, byte(id>>8), byte(id)) }

func bytesOf(b byte, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = b
	}
	return out
}

// deliver sends a QoS 1 message.
func (p *peer) deliver(flags byte, topic, payload string, id uint16) {
	p.send(message(flags, topic, payload, id)...)
}

// message is a QoS 1 PUBLISH.
func message(flags byte, topic, payload string, id uint16) []byte {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
	body = append(body, topic...)
	body = binary.BigEndian.AppendUint16(body, id)
	body = append(body, payload...)
	return append(binary.AppendUvarint([]byte{publish | 2 | flags}, uint64(len(body))), body...)
}

// serve answers honestly until the session hangs up. Before each answer it asks
// instead, which may answer itself and return true, or nil.
func (p *peer) serve(instead func(got packet) bool) {
	for {
		got, err := p.read()
		if err != nil {
			return
		}
		if instead == nil || !instead(got) {
			p.answer(got)
		}
	}
}

// play is a broker made of one function a connection: it ends the connection by
// returning.
type play struct {
	script func(p *peer)
	refuse func(n int) error // asked before each connection, or nil

	mu    sync.Mutex
	dials int
	open  sync.WaitGroup
}

// dial is Options.Dial over in-memory pipes, so that it works in virtual time.
func (b *play) dial(context.Context, string, string) (net.Conn, error) {
	b.mu.Lock()
	b.dials++
	n := b.dials
	b.mu.Unlock()
	if b.refuse != nil {
		if err := b.refuse(n); err != nil {
			return nil, err
		}
	}
	ours, theirs := net.Pipe()
	b.open.Go(func() {
		defer theirs.Close()
		b.script(&peer{theirs, bufio.NewReader(theirs), n})
	})
	return ours, nil
}

// honest serves every connection.
func honest(p *peer) { p.serve(nil) }

// running is a session whose Run has begun.
type running struct {
	*mqtt.Session
	stop func()
}

// start runs a session until the test ends or stop is called.
func start(tb testing.TB, o mqtt.Options) running {
	tb.Helper()
	if o.Broker == "" {
		o.Broker = "tcp://broker.test"
	}
	if o.ClientID == "" {
		o.ClientID = "n1"
	}
	s, err := mqtt.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("Run returned %v, want nil", err)
		}
	})
	tb.Cleanup(stop)
	return running{s, stop}
}

// await waits until the state is as asked.
func (r running) await(tb testing.TB, asked func(mqtt.State) bool) mqtt.State {
	tb.Helper()
	for {
		changed := r.Changed()
		if state := r.State(); asked(state) {
			return state
		}
		select {
		case <-changed:
		case <-tb.Context().Done():
			tb.Fatalf("state is %+v", r.State())
		}
	}
}

func isUp(s mqtt.State) bool      { return s.Phase == mqtt.Up }
func isWaiting(s mqtt.State) bool { return s.Phase == mqtt.Waiting }
