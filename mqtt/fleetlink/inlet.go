package fleetlink

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"holdfast/mqtt"
)

// How many messages wait for their turn in memory. What does not fit stays with the
// broker, until the next connection.
const (
	mostPolicies = 4
	mostCommands = 16
)

// What could not be dealt with now is tried again after againBase, then twice that,
// up to againMost.
const (
	againBase = 5 * time.Second
	againMost = 5 * time.Minute
)

// inlet deals with messages that may take time, one after the other, and acknowledges
// each when it has been dealt with.
type inlet struct {
	most int
	deal func(context.Context, mqtt.Delivery) error
	came chan struct{} // capacity 1

	refused func(topic string, why error)

	mu      sync.Mutex // guards the rest
	waiting []mqtt.Delivery
	crowded uint64 // messages there was no room for
}

func (l *Link) newInlet(most int, deal func(context.Context, mqtt.Delivery) error) *inlet {
	return &inlet{most: most, deal: deal, refused: l.refuse, came: make(chan struct{}, 1)}
}

// put lines a message up. The same one that comes again takes the other's place: only
// its acknowledgement still counts.
func (i *inlet) put(d mqtt.Delivery, most int) error {
	if err := checkSize(d, most); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	same := func(other mqtt.Delivery) bool { return other.Topic == d.Topic && bytes.Equal(other.Payload, d.Payload) }
	if at := slices.IndexFunc(i.waiting, same); at >= 0 {
		first, second := i.waiting[at].Ack, d.Ack
		d.Ack = func() { first(); second() } // the broker may have sent it twice on this connection
		i.waiting[at] = d
		return nil
	}
	if len(i.waiting) == i.most {
		i.crowded++
		return nil
	}
	i.waiting = append(i.waiting, d)
	nudge(i.came)
	return nil
}

// run deals with what comes, until ctx ends.
func (i *inlet) run(ctx context.Context) error {
	wait := againBase
	for ctx.Err() == nil {
		var again <-chan time.Time
		if i.turn(ctx) {
			again = time.After(wait)
		} else {
			wait = againBase
		}
		select {
		case <-ctx.Done():
		case <-i.came:
		case <-again:
			wait = min(2*wait, againMost)
		}
	}
	return nil
}

// turn deals once with each message that waits, and tells whether some are left.
func (i *inlet) turn(ctx context.Context) (left bool) {
	for n := i.len(); n > 0 && ctx.Err() == nil; n-- {
		d := i.first()
		err := i.deal(ctx, d)
		if err != nil && isForLater(err) {
			i.postpone()
			left = true
			continue
		}
		i.done(err)
	}
	return left
}

func (i *inlet) len() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.waiting)
}

func (i *inlet) first() mqtt.Delivery {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.waiting[0]
}

// postpone lets the others go before the first, which is to be tried again.
func (i *inlet) postpone() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.waiting = append(i.waiting[1:], i.waiting[0])
}

// done acknowledges the first and takes it out.
func (i *inlet) done(err error) {
	i.mu.Lock()
	d := i.waiting[0]
	i.waiting = slices.Delete(i.waiting, 0, 1)
	i.mu.Unlock()
	if err != nil {
		i.refused(d.Topic, err)
	}
	d.Ack()
}

func (i *inlet) overflowed() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.crowded
}
