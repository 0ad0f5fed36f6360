package desk

import (
	"context"
	"sync/atomic"
	"time"

	"holdfast/mqtt"
)

// maxHeld is how many bytes an attendant may have in hand, from the session's inbox to
// the disk: the rest waits there, and what that has no room for with the broker.
const maxHeld = 8 << 20

// item is one message on its way from the session to the attendant.
type item struct {
	said Said
	ack  func()
}

func (i item) size() int64 { return int64(len(i.said.Payload)) }

// queue is what the session has handed over and the attendant has not flushed. The
// session alone puts, the attendant alone takes.
type queue struct {
	items chan item // as long as a batch, so that one is gathered while another is flushed
	held  atomic.Int64
	room  chan struct{} // rung when there may be some
}

func newQueue() *queue { return &queue{items: make(chan item, maxBatch), room: make(chan struct{}, 1)} }

// put waits for room, or for the end of ctx. An item that is alone always fits.
func (q *queue) put(ctx context.Context, i item) {
	for held := q.held.Load(); held > 0 && held+i.size() > maxHeld; held = q.held.Load() {
		select {
		case <-q.room:
		case <-ctx.Done():
			return
		}
	}
	q.held.Add(i.size())
	select {
	case q.items <- i:
	case <-ctx.Done():
		q.held.Add(-i.size())
	}
}

// settle lets go bytes that were taken.
func (q *queue) settle(bytes int64) {
	q.held.Add(-bytes)
	ring(q.room)
}

// handle passes a message on. What waits here is not acknowledged, so it comes again
// if the connection ends first.
func (at *attendant) handle(ctx context.Context, m mqtt.Delivery) {
	topic, err := mqtt.ParseTopic(m.Topic)
	if err != nil || topic.Node == "" || topic.Site != at.desk.options.Site {
		m.Ack()
		return
	}
	at.queue.put(ctx, item{Said{topic, m.Payload, m.Retained, time.Now()}, m.Ack})
}
