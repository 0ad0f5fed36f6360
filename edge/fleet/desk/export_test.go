package desk

import (
	"context"
	"log/slog"
	"time"
)

// Stream is a stream's numbers for tests.
type Stream struct{ s stream }

// MaxSpans is how many stretches may lie beyond a hole.
const MaxSpans = maxSpans

// Add notes a stretch.
func (s *Stream) Add(from, to uint64) bool { return s.s.add(span{from, to}) }

// Holds tells whether all of a stretch is kept.
func (s *Stream) Holds(from, to uint64) bool { return s.s.holds(span{from, to}) }

// Through is up to where all is kept.
func (s *Stream) Through() uint64 { return s.s.through }

// Hole is the first that is missing.
func (s *Stream) Hole() (from, to uint64, is bool) {
	n, is := s.s.hole()
	return n.from, n.to, is
}

// Remind tells whether the node is to hear of a hole.
func (s *Stream) Remind(now time.Time) bool { return s.s.remind(now) }

// RemindEvery is how often it is.
const RemindEvery = remindEvery

// KeptThrough reads a file of history anew.
func KeptThrough(folder *Folder, node, epoch string) (uint64, error) {
	return newHistory(folder.path+"/"+historyFolder, slog.New(slog.DiscardHandler)).through(streamID{node, epoch})
}

// DigestOf is what a node reports of a policy.
func DigestOf(payload []byte) string { return digestOf(payload) }

// HistoryOf is where a node's streams are kept.
func (f *Folder) HistoryOf(node string) string { return f.path + "/" + historyFolder + "/" + node }

// Queue is the way from the session to the attendant.
type Queue struct{ q *queue }

// NewQueue is an empty one.
func NewQueue() Queue { return Queue{newQueue()} }

// MaxHeld is how many bytes it may hold.
const MaxHeld = maxHeld

// Put passes a message on.
func (q Queue) Put(ctx context.Context, payload []byte, ack func()) {
	q.q.put(ctx, item{Said{Payload: payload}, ack})
}

// Held is how many bytes are in it, and were taken but not settled.
func (q Queue) Held() int64 { return q.q.held.Load() }

// Take takes the next message, nil where there is none; what it does with it is over when
// Settle is called.
func (q Queue) Take() ([]byte, func()) {
	select {
	case i := <-q.q.items:
		return i.said.Payload, i.ack
	default:
		return nil, nil
	}
}

// Settle lets go bytes that were taken.
func (q Queue) Settle(bytes int64) { q.q.settle(bytes) }
