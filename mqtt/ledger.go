package mqtt

import (
	"strconv"
	"strings"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// entry is one message on its way.
type entry struct {
	Message
	done  func(error)
	since time.Time
	id    uint16 // 0 until the library has drawn one
	left  bool   // it was handed to the network
	seen  bool   // its PUBACK has come, and is on its way through the library
}

// ledger holds what is on its way on one connection, and poses as the library's
// store: that the library deletes an outgoing packet id from its store is the one
// true sign of a PUBACK. Its tokens say so too early, or never.
type ledger struct {
	slots   chan struct{} // one for each message on its way
	strayed func()

	mu     sync.Mutex // guards the rest
	drawn  *entry     // the one the library is asked to publish now
	byID   map[uint16]*entry
	all    map[*entry]struct{}
	closed bool
}

func newLedger(window int, strayed func()) *ledger {
	return &ledger{
		slots: make(chan struct{}, window), strayed: strayed,
		byID: map[uint16]*entry{}, all: map[*entry]struct{}{},
	}
}

// add takes a message in, whose sender holds a slot; false when the connection has
// ended.
func (l *ledger) add(e *entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.all[e] = struct{}{}
	return true
}

// draw announces the message whose Put comes next.
func (l *ledger) draw(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drawn = e
}

// written notes that a message goes to the network now.
func (l *ledger) written(id uint16) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.byID[id]; e != nil {
		e.left = true
	}
}

// awaits tells whether a message of that id waits for its acknowledgement, which has
// come now.
func (l *ledger) awaits(id uint16) bool {
	l.mu.Lock()
	e := l.byID[id]
	waits, over := e != nil && e.left && !e.seen, l.closed
	if waits {
		e.seen = true
	}
	l.mu.Unlock()
	if !waits && !over {
		l.strayed()
	}
	return waits
}

// oldest returns since when the oldest message waits.
func (l *ledger) oldest() (since time.Time, waits bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for e := range l.all {
		if !waits || e.since.Before(since) {
			since, waits = e.since, true
		}
	}
	return since, waits
}

// close settles everything still on its way as not acknowledged, but for what the
// library is just about to say, and takes nothing more.
func (l *ledger) close() {
	l.mu.Lock()
	l.closed = true
	left := l.all
	l.all, l.byID, l.drawn = nil, nil, nil
	l.mu.Unlock()
	for e := range left {
		if e.seen {
			l.settle(e, nil)
			continue
		}
		l.settle(e, ErrUnacknowledged)
	}
}

// settle tells a sender what became of its message, after it was taken out.
func (l *ledger) settle(e *entry, err error) {
	<-l.slots
	e.done(err)
}

// outgoing starts the library's keys of what it sends.
const outgoing = "o."

// Put is how the library says which id it has drawn for a message.
func (l *ledger) Put(key string, packet packets.ControlPacket) {
	if _, isPublish := packet.(*packets.PublishPacket); !isPublish || !strings.HasPrefix(key, outgoing) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.drawn == nil || l.closed {
		return
	}
	l.drawn.id = packet.Details().MessageID
	l.byID[l.drawn.id] = l.drawn
	l.drawn = nil
}

// Del is how the library says that an acknowledgement has come.
func (l *ledger) Del(key string) {
	number, isOutgoing := strings.CutPrefix(key, outgoing)
	id, err := strconv.ParseUint(number, 10, 16)
	if !isOutgoing || err != nil {
		return
	}
	l.mu.Lock()
	e := l.byID[uint16(id)]
	if e == nil || !e.left {
		l.mu.Unlock()
		return
	}
	delete(l.byID, e.id)
	delete(l.all, e)
	l.mu.Unlock()
	l.settle(e, nil)
}

// The rest of a store is for what a library keeps over connections. Ours keeps
// nothing: a new connection begins with nothing on its way.

func (l *ledger) Open()                            {}
func (l *ledger) Close()                           {}
func (l *ledger) Reset()                           {}
func (l *ledger) All() []string                    { return nil }
func (l *ledger) Get(string) packets.ControlPacket { return nil }

var _ paho.Store = (*ledger)(nil)
