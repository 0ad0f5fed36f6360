package sitelink_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Kinds of packets, as the first byte shows them.
const (
	connect     = 0x10
	connack     = 0x20
	publish     = 0x30
	puback      = 0x40
	subscribe   = 0x80
	suback      = 0x90
	unsubscribe = 0xa0
	unsuback    = 0xb0
	pingreq     = 0xc0
	pingresp    = 0xd0
	goodbye     = 0xe0

	duplicate = 8 // flag of a PUBLISH
	retained  = 1
)

// packet is one packet from the link.
type packet struct {
	kind byte // without flags
	body []byte
}

func (p packet) topic() string { return string(p.body[2 : 2+binary.BigEndian.Uint16(p.body)]) }
func (p packet) id() uint16 {
	if p.kind == publish {
		return binary.BigEndian.Uint16(p.body[2+binary.BigEndian.Uint16(p.body):])
	}
	return binary.BigEndian.Uint16(p.body)
}
func (p packet) payload() []byte { return p.body[4+binary.BigEndian.Uint16(p.body):] }

// filters lists those of a SUBSCRIBE or UNSUBSCRIBE.
func (p packet) filters() (all []string) {
	after := 0
	if p.kind == subscribe {
		after = 1 // the QoS
	}
	for rest := p.body[2:]; len(rest) > 0; {
		n := int(binary.BigEndian.Uint16(rest))
		all = append(all, string(rest[2:2+n]))
		rest = rest[2+n+after:]
	}
	return all
}

// peer is a broker's end of one connection.
type peer struct {
	net.Conn
	in      *bufio.Reader
	writing sync.Mutex
}

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
	return packet{first & 0xf0, body}, err
}

// send writes raw bytes; that the link has hung up shows when reading.
func (p *peer) send(raw ...byte) {
	p.writing.Lock()
	defer p.writing.Unlock()
	_, _ = p.Write(raw)
}

// deliver sends a message with QoS 1.
func (p *peer) deliver(flags byte, topic string, payload []byte, id uint16) {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
	body = append(body, topic...)
	body = binary.BigEndian.AppendUint16(body, id)
	body = append(body, payload...)
	p.send(append(binary.AppendUvarint([]byte{publish | 2 | flags}, uint64(len(body))), body...)...)
}

// play is a broker that notes what it sees. Its knobs may be turned by the test
// between two synctest.Waits.
type play struct {
	mu         sync.Mutex // guards the rest
	now        *peer      // the connection that stands
	refuses    bool       // connections
	deaf       bool       // verdicts are not acknowledged
	subscribed []string
	gaveUp     []string
	verdicts   []packet
	acked      []uint16
	open       sync.WaitGroup
}

func (b *play) dial(context.Context, string, string) (net.Conn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuses {
		return nil, io.ErrClosedPipe
	}
	ours, theirs := net.Pipe()
	p := &peer{Conn: theirs, in: bufio.NewReader(theirs)}
	b.open.Go(func() {
		defer theirs.Close()
		for {
			got, err := p.read()
			if err != nil || got.kind == goodbye {
				return
			}
			b.answer(p, got)
		}
	})
	return ours, nil
}

// answer does what a broker does with a packet.
func (b *play) answer(p *peer, got packet) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch got.kind {
	case connect:
		p.send(connack, 2, 1, 0)
		b.now = p
	case subscribe:
		b.subscribed = got.filters()
		answer := []byte{suback, byte(2 + len(b.subscribed)), got.body[0], got.body[1]}
		for range b.subscribed {
			answer = append(answer, 1)
		}
		p.send(answer...)
	case unsubscribe:
		b.gaveUp = append(b.gaveUp, got.filters()...)
		p.send(unsuback, 2, got.body[0], got.body[1])
	case publish:
		b.verdicts = append(b.verdicts, got)
		if !b.deaf {
			p.send(puback, 2, byte(got.id()>>8), byte(got.id()))
		}
	case puback:
		b.acked = append(b.acked, got.id())
	case pingreq:
		p.send(pingresp, 0)
	}
}

// with turns knobs, or looks.
func (b *play) with(do func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	do()
}

// deliver sends a message over the connection that stands.
func (b *play) deliver(tb testing.TB, flags byte, topic string, payload []byte, id uint16) {
	tb.Helper()
	b.mu.Lock()
	p := b.now
	b.mu.Unlock()
	if p == nil {
		tb.Fatal("nobody is connected")
	}
	p.deliver(flags, topic, payload, id)
}

// deliverQoS0 sends a message that nobody acknowledges.
func (b *play) deliverQoS0(tb testing.TB, topic string, payload []byte) {
	tb.Helper()
	b.mu.Lock()
	p := b.now
	b.mu.Unlock()
	body := binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
	body = append(append(body, topic...), payload...)
	p.send(append(binary.AppendUvarint([]byte{publish}, uint64(len(body))), body...)...)
}

// cut ends the connection that stands.
func (b *play) cut() {
	b.mu.Lock()
	p := b.now
	b.now = nil
	b.mu.Unlock()
	_ = p.Close()
}
