package fleetlink_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Kinds of packets, as the first byte shows them.
const (
	connect    = 0x10
	connack    = 0x20
	publish    = 0x30
	puback     = 0x40
	subscribe  = 0x80
	suback     = 0x90
	pingreq    = 0xc0
	pingresp   = 0xd0
	disconnect = 0xe0
)

// faults are what befalls messages and connections. Zero is none.
type faults struct {
	delay     time.Duration // of each piece, each way
	duplicate float64       // chance that a message comes twice
	reorder   float64       // chance that a message comes later than those after it
	dropAfter float64       // chance that a message is acknowledged and lost
	willDelay time.Duration // of a will, at most: it may come after the next birth
	refuse    byte          // code of CONNACK
	noRoute   bool          // nobody can connect
	deaf      bool          // nobody hears what is said of itself
}

// broker is a broker in memory that speaks MQTT 3.1.1 with QoS 1, and fails as told.
type broker struct {
	delay atomic.Int64 // of faults

	mu       sync.Mutex // guards the rest
	random   *rand.Rand
	faults   faults
	sessions map[string]*session
	retained map[string][]byte
	watchers []func(topic string, payload []byte) // the fleet
	open     map[*guest]bool
	era      int // of what it remembers
	connects []time.Time
	packets  map[byte]int
	listens  bool // remembers what was said
	said     []said
	ended    sync.WaitGroup
}

// said is what a node published.
type said struct {
	topic   string
	payload []byte
	at      time.Time
}

// heard returns what was published on a topic.
func (b *broker) heard(topic string) (all []said) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.said {
		if s.topic == topic {
			all = append(all, s)
		}
	}
	return all
}

// session is what it remembers of a client.
type session struct {
	filters []string
	waiting []*parcel // sent or to be sent, not acknowledged
	next    uint16
	guest   *guest // connected just now
}

type parcel struct {
	topic    string
	payload  []byte
	retained bool
	id       uint16
}

// guest is one connection.
type guest struct {
	*end
	id   string
	will *parcel
}

func newBroker(seed uint64) *broker {
	return &broker{
		random: rand.New(rand.NewPCG(seed, 7)), sessions: map[string]*session{}, listens: true,
		retained: map[string][]byte{}, open: map[*guest]bool{}, packets: map[byte]int{},
	}
}

func (b *broker) set(f faults) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = f
	b.delay.Store(int64(f.delay))
}

func (b *broker) chance(p float64) bool { return p > 0 && b.random.Float64() < p }

// latency is asked with and without the lock.
func (b *broker) latency() time.Duration { return time.Duration(b.delay.Load()) }

var errNoRoute = errors.New("no route")

// dial is mqtt.Options.Dial.
func (b *broker) dial(context.Context, string, string) (net.Conn, error) {
	b.mu.Lock()
	noRoute := b.faults.noRoute
	b.connects = append(b.connects, time.Now())
	b.mu.Unlock()
	if noRoute {
		return nil, errNoRoute
	}
	ours, theirs := connection(b.latency)
	b.ended.Go(func() { b.serve(&guest{end: theirs}) })
	return ours, nil
}

// serve lives with one connection.
func (b *broker) serve(g *guest) {
	defer b.leave(g)
	in := bufio.NewReader(g)
	_ = g.SetReadDeadline(time.Now().Add(30 * time.Second))
	kind, body, err := readPacket(in)
	if err != nil || kind&0xf0 != connect {
		return
	}
	silence, ok := b.welcome(g, body)
	for ok {
		_ = g.SetReadDeadline(time.Now().Add(silence))
		kind, body, err := readPacket(in)
		if err != nil {
			return
		}
		ok = b.take(g, kind, body)
	}
}

func readPacket(in *bufio.Reader) (kind byte, body []byte, err error) {
	if kind, err = in.ReadByte(); err != nil {
		return 0, nil, err
	}
	length, err := binary.ReadUvarint(in)
	if err != nil {
		return 0, nil, err
	}
	body = make([]byte, length)
	_, err = io.ReadFull(in, body)
	return kind, body, err
}

// text takes a text of two bytes of length from the front.
func text(from []byte) (string, []byte) {
	n := int(binary.BigEndian.Uint16(from))
	return string(from[2 : 2+n]), from[2+n:]
}

// welcome answers CONNECT.
func (b *broker) welcome(g *guest, body []byte) (silence time.Duration, ok bool) {
	_, rest := text(body)
	flags := rest[1]
	silence = time.Duration(binary.BigEndian.Uint16(rest[2:])) * time.Second * 3 / 2
	g.id, rest = text(rest[4:])
	if flags&4 != 0 {
		var topic, payload string
		topic, rest = text(rest)
		payload, _ = text(rest)
		g.will = &parcel{topic: topic, payload: []byte(payload), retained: flags&0x20 != 0}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.packets[connect]++
	if code := b.faults.refuse; code != 0 {
		g.will = nil
		_, _ = g.Write([]byte{connack, 2, 0, code})
		return 0, false
	}
	s, present := b.sessions[g.id], byte(1)
	if s == nil {
		s, present = &session{}, 0
		b.sessions[g.id] = s
	}
	if s.guest != nil {
		s.guest.cut() // taken over
	}
	s.guest = g
	b.open[g] = true
	_, _ = g.Write([]byte{connack, 2, present, 0})
	for _, p := range s.waiting {
		g.send(p, 8)
	}
	return silence, true
}

// take deals with a packet.
func (b *broker) take(g *guest, kind byte, body []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.sessions[g.id]
	if s == nil || s.guest != g {
		return false
	}
	b.packets[kind&0xf0]++
	switch kind & 0xf0 {
	case subscribe:
		b.subscribeLocked(g, s, body)
	case publish:
		topic, rest := text(body)
		id := binary.BigEndian.Uint16(rest)
		if b.listens {
			b.said = append(b.said, said{topic, append([]byte(nil), rest[2:]...), time.Now()})
		}
		if !b.chance(b.faults.dropAfter) {
			b.routeLocked(topic, rest[2:], kind&1 != 0)
		}
		_, _ = g.Write([]byte{puback, 2, byte(id >> 8), byte(id)})
	case puback:
		s.acknowledged(binary.BigEndian.Uint16(body))
	case pingreq:
		_, _ = g.Write([]byte{pingresp, 0})
	case disconnect:
		g.will = nil
		return false
	}
	return true
}

func (s *session) acknowledged(id uint16) {
	for i, p := range s.waiting {
		if p.id == id {
			s.waiting = append(s.waiting[:i:i], s.waiting[i+1:]...)
			return
		}
	}
}

func (b *broker) subscribeLocked(g *guest, s *session, body []byte) {
	answer := []byte{suback, 0, body[0], body[1]}
	s.filters = nil
	for rest := body[2:]; len(rest) > 0; {
		var filter string
		filter, rest = text(rest)
		rest = rest[1:]
		s.filters = append(s.filters, filter)
		answer = append(answer, 1)
	}
	answer[1] = byte(len(answer) - 2)
	_, _ = g.Write(answer)
	for topic, payload := range b.retained {
		if matches(s.filters, topic) {
			b.deliverLocked(s, parcel{topic: topic, payload: payload, retained: true})
		}
	}
}

func matches(filters []string, topic string) bool {
	for _, filter := range filters {
		prefix, wild := strings.CutSuffix(filter, "+")
		rest, under := strings.CutPrefix(topic, prefix)
		if filter == topic || wild && under && !strings.Contains(rest, "/") {
			return true
		}
	}
	return false
}

// routeLocked gives a message to all who want it.
func (b *broker) routeLocked(topic string, payload []byte, retain bool) {
	payload = append([]byte(nil), payload...)
	if retain {
		b.retained[topic] = payload
		if len(payload) == 0 {
			delete(b.retained, topic)
		}
	}
	for _, s := range b.sessions {
		if matches(s.filters, topic) && !b.faults.deaf {
			b.deliverLocked(s, parcel{topic: topic, payload: payload})
		}
	}
	for _, watcher := range b.watchers {
		times := 1
		if b.chance(b.faults.duplicate) {
			times = 2
		}
		for range times {
			b.laterLocked(func() { watcher(topic, payload) })
		}
	}
}

// laterLocked hands something to the fleet, unless the broker forgets it first.
func (b *broker) laterLocked(do func()) {
	delay, era := b.faults.delay, b.era
	if b.chance(b.faults.reorder) {
		delay += time.Duration(b.random.Int64N(int64(5 * time.Second)))
	}
	time.AfterFunc(delay, func() {
		b.mu.Lock()
		forgotten := b.era != era
		b.mu.Unlock()
		if !forgotten {
			do()
		}
	})
}

// deliverLocked sends a message to one client, now or when it is back.
func (b *broker) deliverLocked(s *session, p parcel) {
	if s.next++; s.next == 0 {
		s.next = 1
	}
	p.id = s.next
	s.waiting = append(s.waiting, &p)
	if s.guest == nil {
		return
	}
	g := s.guest
	g.sendLater(&p, b, b.chance(b.faults.reorder))
	if b.chance(b.faults.duplicate) {
		g.send(&p, 8)
	}
}

func (g *guest) sendLater(p *parcel, b *broker, late bool) {
	if !late {
		g.send(p, 0)
		return
	}
	time.AfterFunc(time.Duration(b.random.Int64N(int64(3*time.Second))), func() { g.send(p, 0) })
}

func (g *guest) send(p *parcel, flags byte) {
	if p.retained {
		flags |= 1
	}
	body := binary.BigEndian.AppendUint16(nil, uint16(len(p.topic)))
	body = append(body, p.topic...)
	body = binary.BigEndian.AppendUint16(body, p.id)
	body = append(body, p.payload...)
	_, _ = g.Write(append(binary.AppendUvarint([]byte{publish | 2 | flags}, uint64(len(body))), body...))
}

// leave ends a connection; its will may come late.
func (b *broker) leave(g *guest) {
	_ = g.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, g)
	if s := b.sessions[g.id]; s != nil && s.guest == g {
		s.guest = nil
	}
	if g.will == nil {
		return
	}
	era, will := b.era, g.will
	say := func() {
		if b.era == era {
			b.routeLocked(will.topic, will.payload, will.retained)
		}
	}
	if b.faults.willDelay == 0 {
		say()
		return
	}
	time.AfterFunc(time.Duration(b.random.Int64N(int64(b.faults.willDelay))), func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		say()
	})
}

// publish is what the fleet does.
func (b *broker) publish(topic string, payload []byte, retain bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.routeLocked(topic, payload, retain)
}

// kept returns what is retained.
func (b *broker) kept(topic string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.retained[topic]
}

// each does something to every connection.
func (b *broker) each(do func(*guest)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for g := range b.open {
		do(g)
	}
}

// restart ends every connection; with amnesia nothing is remembered.
func (b *broker) restart(amnesia bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for g := range b.open {
		g.cut()
	}
	if amnesia {
		b.era++
		b.sessions, b.retained = map[string]*session{}, map[string][]byte{}
	}
}

func (b *broker) count(kind byte) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.packets[kind]
}
