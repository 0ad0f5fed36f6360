package containerd

import (
	"context"
	"sync"
	"time"

	"holdfast/edge"
)

// maxBacklog bounds the events that wait for a slow listener: a hundred instances
// that each start, end and go three times over.
const maxBacklog = 1024

// backlog holds events until they are told. When it is full it forgets what comes,
// and says so once there is room.
type backlog struct {
	more chan struct{} // holds one token while something waits

	mu   sync.Mutex // guards what follows
	held []edge.InstanceEvent
	lost bool // something was forgotten after what is held
}

func newBacklog() *backlog { return &backlog{more: make(chan struct{}, 1)} }

// put adds events. It never waits.
func (b *backlog) put(events ...edge.InstanceEvent) {
	if len(events) == 0 {
		return
	}
	b.mu.Lock()
	if b.lost || len(b.held)+len(events) > maxBacklog {
		b.lost = true // from here on, or the order would not be kept
	} else {
		b.held = append(b.held, events...)
	}
	b.mu.Unlock()
	select {
	case b.more <- struct{}{}:
	default:
	}
}

// take empties it.
func (b *backlog) take() []edge.InstanceEvent {
	b.mu.Lock()
	defer b.mu.Unlock()
	held := b.held
	if b.lost {
		held = append(held, edge.InstanceEvent{At: time.Now(), Kind: edge.InstanceEventGap})
	}
	b.held, b.lost = nil, false
	return held
}

// drain tells what comes in until ctx ends.
func (b *backlog) drain(ctx context.Context, emit func(edge.InstanceEvent)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.more:
		}
		for _, event := range b.take() {
			if ctx.Err() != nil {
				return
			}
			emit(event)
		}
	}
}
