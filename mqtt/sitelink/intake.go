package sitelink

import (
	"hash/maphash"
	"sync"

	"holdfast/mqtt"
)

// intake knows every message inside, and lately gone ones by their packet ids, and
// bounds how many tasks and bytes there are.
type intake struct {
	maxTasks int
	maxBytes int64
	seed     maphash.Seed

	mu    sync.Mutex // guards the rest
	tasks int
	bytes int64
	known map[uint16]*message // by packet id: inside, or lately gone
	gone  []*message          // those of known that are gone, the oldest first
}

// remembered is how many messages that are gone are still known when they come again:
// more than a broker has on its way to us. What is forgotten is computed again.
const remembered = 1024

// message is one from the broker, until all its verdicts are told.
type message struct {
	id    uint16
	print uint64 // of topic and payload

	// Guarded by the intake's mutex.
	size int64  // bytes it counts for
	open int    // verdicts still to be told
	ack  func() // of the connection that stands; nil when it has ended
	done bool
}

func newIntake(o Options) *intake {
	return &intake{maxTasks: o.MaxTasks, maxBytes: o.MaxBytes, seed: maphash.MakeSeed(), known: map[uint16]*message{}}
}

func (in *intake) print(d mqtt.Delivery) uint64 {
	var h maphash.Hash
	h.SetSeed(in.seed)
	_, _ = h.WriteString(d.Topic)
	_ = h.WriteByte(0) // which no topic holds
	_, _ = h.Write(d.Payload)
	return h.Sum64()
}

// admit takes a message in that will have so many verdicts; false when there is no
// room for its bytes.
func (in *intake) admit(d mqtt.Delivery, verdicts int) (*message, bool) {
	m := &message{id: d.ID, print: in.print(d), size: int64(len(d.Payload)), open: verdicts, ack: d.Ack}
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.bytes+m.size > in.maxBytes {
		return nil, false
	}
	in.bytes += m.size
	if m.id != 0 {
		in.known[m.id] = m // an older one with the id is done with, or of a session the broker has lost
	}
	return m, true
}

// again recognises a message that has come before. Is it inside, this connection
// acknowledges it when it is done; is it gone, at once.
func (in *intake) again(d mqtt.Delivery) bool {
	if !d.Duplicate || d.ID == 0 {
		return false
	}
	print := in.print(d)
	in.mu.Lock()
	m := in.known[d.ID]
	same := m != nil && m.print == print
	over := same && m.done
	if same && !over {
		m.ack = d.Ack
	}
	in.mu.Unlock()
	if over {
		d.Ack()
	}
	return same
}

// slot takes a place for one task, and more bytes of the message; false when there
// is no room.
func (in *intake) slot(m *message, more int64) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.tasks >= in.maxTasks || in.bytes+more > in.maxBytes {
		return false
	}
	in.tasks++
	in.bytes += more
	m.size += more
	return true
}

// leave gives the place of a task back.
func (in *intake) leave() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.tasks--
}

// told notes that one verdict of the message needs no more care, and acknowledges the
// message after the last. It must not be called where acknowledgements are read.
func (in *intake) told(m *message) {
	in.mu.Lock()
	m.open--
	if m.open > 0 || m.done {
		in.mu.Unlock()
		return
	}
	ack := m.ack
	m.ack, m.done = nil, true
	in.bytes -= m.size
	in.forgetLocked(m)
	in.mu.Unlock()
	if ack != nil {
		ack()
	}
}

// abandon gives a message up without acknowledging it: it comes again, and is new then.
func (in *intake) abandon(m *message) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if m.done {
		return
	}
	m.ack, m.done = nil, true
	in.bytes -= m.size
	if in.known[m.id] == m {
		delete(in.known, m.id)
	}
}

// forgetLocked lets a message that is done be among those known for some time.
func (in *intake) forgetLocked(m *message) {
	if in.known[m.id] != m {
		return
	}
	in.gone = append(in.gone, m)
	if len(in.gone) <= remembered {
		return
	}
	oldest := in.gone[0]
	in.gone[0] = nil
	in.gone = in.gone[1:]
	if in.known[oldest.id] == oldest {
		delete(in.known, oldest.id)
	}
}

// detach forgets the acknowledgements of a connection that has ended, and with them
// the packets they hold.
func (in *intake) detach() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, m := range in.known {
		m.ack = nil
	}
}

// load is how much is inside.
func (in *intake) load() (tasks int, bytes int64, known int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.tasks, in.bytes, len(in.known)
}
