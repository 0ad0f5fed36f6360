package sitelink

import (
	"context"
	"errors"
	"sort"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/verdict"
	"holdfast/mqtt"
)

// letter is a verdict on its way to the broker.
type letter struct {
	topic  string
	body   []byte
	until  time.Time // of use
	from   *message  // to be acknowledged when this was the last of it; nil when it was already
	counts *counts

	seq    uint64 // of letters
	marked bool   // as one that may have been sent before
}

// replies keep verdicts in order until the broker has acknowledged them.
//
//	add ─► queue ─► flying ─► ended ─► the message is told
//	         ▲         │        ▲
//	         └─────────┘        │   too old, crowded out, impossible to send
//	       connection ended     └── straight from the queue
type replies struct {
	maxCount int
	maxBytes int64
	tallies  *tallies
	told     func(*message)
	wake     chan struct{} // something has changed, for deliver
	room     chan struct{} // and for reserve

	mu       sync.Mutex // guards the rest
	last     uint64
	queue    []*letter // in order of seq
	flying   int
	reserved int       // verdicts that are still to come
	bytes    int64     // of queue and flying
	ended    []*letter // told, by the goroutine that must not wait
}

func newReplies(o Options, t *tallies, told func(*message)) *replies {
	return &replies{maxCount: o.MaxVerdicts, maxBytes: o.MaxBytes, tallies: t, told: told,
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// reserve waits until there is room for n more verdicts; false when ctx ended first.
// So no verdict gives way to another for want of a place: the broker has to wait. There
// is one caller at a time.
func (r *replies) reserve(ctx context.Context, n int) bool {
	n = min(n, r.maxCount)
	for {
		r.mu.Lock()
		fits := len(r.queue)+r.flying+r.reserved+n <= r.maxCount
		if fits {
			r.reserved += n
		}
		r.mu.Unlock()
		if fits {
			return true
		}
		select {
		case <-r.room:
		case <-ctx.Done():
			return false
		}
	}
}

// release gives back the place of a verdict that does not come.
func (r *replies) release() {
	r.mu.Lock()
	r.reserved = max(r.reserved-1, 0)
	r.mu.Unlock()
	r.rouse()
}

// add takes a verdict for which there is a place. The oldest that are not on their way
// make room for its bytes.
func (r *replies) add(l *letter) {
	r.mu.Lock()
	r.reserved = max(r.reserved-1, 0)
	r.last++
	l.seq = r.last
	r.queue = append(r.queue, l)
	r.bytes += int64(len(l.body))
	out := r.outdatedLocked(time.Now())
	for len(r.queue) > 0 && (len(r.queue)+r.flying > r.maxCount || r.bytes > r.maxBytes) {
		out = append(out, r.frontLocked())
		r.tallies.crowdedOut.Add(1)
	}
	r.mu.Unlock()
	r.untold(out)
	r.rouse()
}

func (r *replies) rouse() {
	for _, to := range []chan struct{}{r.wake, r.room} {
		select {
		case to <- struct{}{}:
		default:
		}
	}
}

// frontLocked takes the first of the queue out.
func (r *replies) frontLocked() *letter {
	l := r.queue[0]
	r.queue[0] = nil
	r.queue = r.queue[1:]
	r.bytes -= int64(len(l.body))
	return l
}

// outdatedLocked takes out what is of no more use.
func (r *replies) outdatedLocked(now time.Time) (out []*letter) {
	kept := r.queue[:0]
	for _, l := range r.queue {
		if now.Before(l.until) {
			kept = append(kept, l)
			continue
		}
		out = append(out, l)
		r.bytes -= int64(len(l.body))
		r.tallies.expired.Add(1)
	}
	clear(r.queue[len(kept):])
	r.queue = kept
	return out
}

// sweep drops what is of no more use.
func (r *replies) sweep() {
	r.mu.Lock()
	out := r.outdatedLocked(time.Now())
	r.mu.Unlock()
	r.untold(out)
}

// untold is done with verdicts nobody will hear.
func (r *replies) untold(out []*letter) {
	for _, l := range out {
		l.counts.untold.Add(1)
		r.conclude(l)
	}
	if len(out) > 0 {
		r.rouse()
	}
}

func (r *replies) conclude(l *letter) {
	if l.from != nil {
		r.told(l.from)
	}
}

// deliver publishes verdicts until the connection ends. At an orderly end those that
// wait still go out.
func (r *replies) deliver(ctx context.Context, s *mqtt.Session) {
	stays := context.WithoutCancel(ctx)
	for {
		r.settle()
		r.sweep()
		l := r.next()
		if l != nil {
			if !r.send(stays, s, l) {
				return
			}
			continue
		}
		if ctx.Err() != nil && r.idle() {
			return
		}
		select {
		case <-r.wake:
		case <-over(ctx):
		}
	}
}

// over ends with ctx, unless it has ended: then what flies must come home, and wakes.
func over(ctx context.Context) <-chan struct{} {
	if ctx.Err() != nil {
		return nil
	}
	return ctx.Done()
}

// next takes the oldest verdict to send it.
func (r *replies) next() *letter {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return nil
	}
	l := r.frontLocked()
	r.flying++
	r.bytes += int64(len(l.body))
	return l
}

func (r *replies) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flying == 0
}

// send gives a verdict to the session; false when the connection has ended.
func (r *replies) send(ctx context.Context, s *mqtt.Session, l *letter) bool {
	err := s.Send(ctx, mqtt.Message{Topic: l.topic, Payload: l.body}, func(err error) { r.landed(l, err) })
	switch {
	case err == nil:
		return true
	case errors.Is(err, edge.ErrInvalid):
		r.mu.Lock()
		r.flying--
		r.bytes -= int64(len(l.body))
		r.mu.Unlock()
		r.tallies.unsendable.Add(1)
		r.untold([]*letter{l})
		return true
	}
	r.mu.Lock()
	r.flying--
	r.returnLocked(l)
	r.mu.Unlock()
	return false
}

// landed is where acknowledgements are read: it must not wait.
func (r *replies) landed(l *letter, err error) {
	r.mu.Lock()
	r.flying--
	if err == nil {
		r.bytes -= int64(len(l.body))
		r.ended = append(r.ended, l)
	} else {
		if !l.marked {
			r.bytes -= int64(len(l.body))
			l.body, l.marked = verdict.Again(l.body), true
			r.bytes += int64(len(l.body))
			r.tallies.toldAgain.Add(1)
		}
		r.returnLocked(l)
	}
	r.mu.Unlock()
	r.rouse()
}

// returnLocked puts a letter back where it was in the queue.
func (r *replies) returnLocked(l *letter) {
	at := sort.Search(len(r.queue), func(i int) bool { return r.queue[i].seq > l.seq })
	r.queue = append(r.queue, nil)
	copy(r.queue[at+1:], r.queue[at:])
	r.queue[at] = l
}

// settle acknowledges the messages of verdicts that have arrived.
func (r *replies) settle() {
	r.mu.Lock()
	ended := r.ended
	r.ended = nil
	r.mu.Unlock()
	for _, l := range ended {
		l.counts.told.Add(1)
		r.tallies.told.Add(1)
		r.conclude(l)
	}
}

// load is how many verdicts wait or are on their way, and their bytes.
func (r *replies) load() (count int, bytes int64) {
	r.sweep()
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue) + r.flying, r.bytes
}
