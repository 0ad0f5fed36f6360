package fleetlink

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"holdfast/mqtt"
)

// How many messages wait for their turn in memory, 3 MB of the largest commands and
// half a megabyte of policies. A desk sends 64 commands after a hello, and a policy
// comes behind the root documents it needs.
const (
	mostPolicies = 8
	mostCommands = 64
	// mostAcks is how often the same message may wait for its acknowledgement: brokers
	// send it again, and so may anybody else.
	mostAcks = 16
)

// What could not be dealt with now is tried again after againBase, then twice that,
// up to againMost.
const (
	againBase = 5 * time.Second
	againMost = 5 * time.Minute
)

// inlet deals with messages that may take time, one after the other, and acknowledges
// each when it has been dealt with. For what it has no room it shuts: from then on
// everything new is left with the broker, so that nothing overtakes, and once there is
// room again it asks for another connection, on which all of that comes again.
type inlet struct {
	most    int
	ordered bool // nothing goes before what is to be tried again
	deal    func(ctx context.Context, envelope []byte) error
	renew   func() // ends the connection
	came    chan struct{}

	refused func(topic string, why error)

	mu      sync.Mutex // guards the rest
	waiting []*caller
	crowded uint64          // messages there was no room for
	shut    <-chan struct{} // the end of the connection on which it is shut; nil: none
	asked   bool            // for another one
	renewal renewal
}

// caller is a message that waits.
type caller struct {
	topic    string
	envelope []byte
	acks     []ack
}

// ack acknowledges a message on the connection it came on, until that has ended.
type ack struct {
	ended <-chan struct{}
	say   func()
}

// join adds one who waits for the same; false when there are too many.
func (c *caller) join(a ack) bool {
	c.acks = slices.DeleteFunc(c.acks, func(old ack) bool { return isClosed(old.ended) })
	if len(c.acks) == mostAcks {
		return false
	}
	c.acks = append(c.acks, a)
	return true
}

// put lines a message up. One that waits already only wants another acknowledgement, if
// it wants one.
func (i *inlet) put(ctx context.Context, d mqtt.Delivery, most int) error {
	if err := checkSize(d, most); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	a := ack{ended: ctx.Done(), say: d.Ack}
	same := func(c *caller) bool { return c.topic == d.Topic && bytes.Equal(c.envelope, d.Payload) }
	switch at := slices.IndexFunc(i.waiting, same); {
	case at >= 0:
		if d.ID != 0 && !i.waiting[at].join(a) {
			i.leaveLocked(d, a.ended)
		}
	case len(i.waiting) == i.most, i.shut != nil && i.shut == a.ended:
		i.leaveLocked(d, a.ended)
	default:
		i.waiting = append(i.waiting, &caller{topic: d.Topic, envelope: d.Payload, acks: []ack{a}})
		nudge(i.came)
	}
	return nil
}

// leaveLocked leaves a message with the broker. One that it will not send again is lost.
func (i *inlet) leaveLocked(d mqtt.Delivery, ended <-chan struct{}) {
	i.crowded++
	if d.ID != 0 && i.shut != ended {
		i.shut, i.asked = ended, false
		nudge(i.came)
	}
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
		case <-i.reopening():
			i.reopen()
		}
	}
	return nil
}

// turn deals once with each message that waits, and tells whether some are left.
func (i *inlet) turn(ctx context.Context) (left bool) {
	for at := 0; ctx.Err() == nil; {
		c := i.at(at)
		if c == nil {
			return left
		}
		err := i.deal(ctx, c.envelope)
		if err == nil || !isForLater(err) {
			i.done(c, err)
			continue
		}
		if left = true; i.ordered {
			return left
		}
		at++
	}
	return left
}

// at is the message in a place, nil behind the last.
func (i *inlet) at(place int) *caller {
	i.mu.Lock()
	defer i.mu.Unlock()
	if place >= len(i.waiting) {
		return nil
	}
	return i.waiting[place]
}

// done takes a message out and acknowledges it.
func (i *inlet) done(c *caller, err error) {
	i.mu.Lock()
	i.waiting = slices.DeleteFunc(i.waiting, func(other *caller) bool { return other == c })
	i.mu.Unlock()
	if err != nil {
		i.refused(c.topic, err)
	}
	for _, a := range c.acks {
		a.say()
	}
}

// reopening returns when another connection may be asked for, if one is needed and half
// of the room is free again.
func (i *inlet) reopening() <-chan time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.shut == nil || i.asked || len(i.waiting) > i.most/2 {
		return nil
	}
	if wait := i.renewal.in(time.Now()); wait > 0 {
		return time.After(wait)
	}
	now := make(chan time.Time)
	close(now)
	return now
}

// reopen asks for another connection, unless there is one already.
func (i *inlet) reopen() {
	i.mu.Lock()
	i.asked = true
	gone := isClosed(i.shut)
	if !gone {
		i.renewal.note(time.Now())
	}
	i.mu.Unlock()
	if !gone {
		i.renew()
	}
}

func (i *inlet) overflowed() uint64 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.crowded
}

// Another connection for want of room is asked for at once, then after renewBase at the
// earliest, then twice that, up to renewMost: a flood must not end every connection.
const (
	renewBase = 2 * time.Second
	renewMost = 5 * time.Minute
)

// renewal is when that was done last.
type renewal struct {
	last time.Time
	wait time.Duration
}

func (r *renewal) in(now time.Time) time.Duration { return r.wait - now.Sub(r.last) }

func (r *renewal) note(now time.Time) {
	if now.Sub(r.last) > 2*renewMost {
		r.wait = 0
	}
	r.last, r.wait = now, min(max(2*r.wait, renewBase), renewMost)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
