package desk

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
)

// batch takes a message and those behind it, then flushes.
func (at *attendant) batch(ctx context.Context, first item) error {
	for i, n := first, 1; ; n++ {
		if err := at.take(ctx, i); err != nil {
			return err
		}
		if n == maxBatch {
			return at.flush()
		}
		select {
		case i = <-at.queue.items:
		default:
			return at.flush()
		}
	}
}

// flush brings to the disk what was taken, and acknowledges it to the broker.
func (at *attendant) flush() error {
	if err := at.history.flush(); err != nil {
		return err
	}
	for _, ack := range at.acks {
		ack()
	}
	at.acks = nil
	at.queue.settle(at.taken)
	at.taken = 0
	return nil
}

// take deals with one message. Only what keeps history from being written is an error.
func (at *attendant) take(ctx context.Context, i item) error {
	at.acks = append(at.acks, i.ack)
	at.taken += i.size()
	switch i.said.Topic.Kind {
	case mqtt.UpEvent, mqtt.UpReply:
		return at.takeEnvelope(i.said)
	}
	if err := at.registry.Take(i.said); err != nil {
		at.complain(i.said, err)
		return nil
	}
	switch i.said.Topic.Kind {
	case mqtt.UpPresence:
		return at.hearPresence(i.said)
	case mqtt.UpHello:
		return at.hearHello(ctx, i.said)
	}
	return nil
}

func (at *attendant) takeEnvelope(s Said) error {
	u, err := mqtt.DecodeEnvelope(s.Payload)
	if err == nil && u.Node != s.Topic.Node {
		err = fmt.Errorf("it names node %q: %w", u.Node, edge.ErrInvalid)
	}
	var n span
	if err == nil {
		n, err = spanOf(u)
	}
	if err != nil {
		at.complain(s, err)
		return nil
	}
	id := streamID{u.Node, u.Epoch}
	taken, err := at.history.take(id, n, s.Payload)
	if taken {
		at.refused(u, s.At)
	}
	k := at.history.streams[id]
	if err != nil || k == nil {
		return err
	}
	if n.to <= k.through || k.remind(s.At) {
		at.due[id] = struct{}{} // also for one that came again: the node has not heard
	}
	if missing, is := k.hole(); is && missing.to != k.missing { // not each time a piece of it comes
		k.missing = missing.to
		at.tell(id.node, "hole", fmt.Sprintf("%s: %d to %d are missing, nothing beyond is confirmed", id.epoch, missing.from, missing.to))
	}
	return nil
}

// refused tells that a node has refused what it was told: by us, if our key is not one
// it believes. What it kept while it was cut off is about something else.
func (at *attendant) refused(u mqtt.Envelope, now time.Time) {
	var e edge.Event
	if u.Type != typeEvent || u.Historical || json.Unmarshal(u.Body, &e) != nil {
		return
	}
	if e.Kind != edge.EventMessageRefused && e.Kind != edge.EventCommandRefused {
		return
	}
	if at.refusals.allows(now) > 0 {
		at.tell(u.Node, "refused", eventWords(e))
	}
}
