package fleetlink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/outbox"
)

// Bounds of what comes down, beside the frame's. A policy may fill it.
const (
	maxCommand = 48 << 10
	maxWord    = 8 << 10 // freshness and confirmation
)

// hear takes one message from the broker. What nobody can use is acknowledged, so that
// it does not come again, and counted.
func (l *Link) hear(ctx context.Context, d mqtt.Delivery) {
	topic, err := mqtt.ParseTopic(d.Topic)
	if err == nil {
		err = l.isForUs(topic)
	}
	switch {
	case err != nil:
	case d.Oversize > 0 && topic.Kind != mqtt.UpPresence:
		err = fmt.Errorf("%d bytes, more than a frame may have: %w", d.Oversize, edge.ErrInvalid)
	case topic.Kind == mqtt.DownPolicy && len(d.Payload) == 0:
		d.Ack() // somebody has cleared what the broker kept for us
	case topic.Kind == mqtt.DownPolicy:
		err = l.policies.put(ctx, d, mqtt.PolicyFrame)
	case topic.Kind == mqtt.DownCommand, topic.Kind == mqtt.GroupCommand:
		err = l.commands.put(ctx, d, maxCommand)
	default:
		err = l.hearWord(ctx, topic.Kind, d)
		if err == nil {
			d.Ack()
		}
	}
	if err != nil {
		l.refuse(d.Topic, err)
		d.Ack()
	}
}

// isForUs tells what is wrong with a topic that we should not hear.
func (l *Link) isForUs(t mqtt.Topic) error {
	ours := t.Node == l.options.Node || t.Kind == mqtt.GroupCommand && l.isOurs(t.Group)
	if t.Site != l.options.Site || !ours {
		return fmt.Errorf("meant for somebody else: %w", edge.ErrInvalid)
	}
	return nil
}

// hearWord takes what is soon dealt with.
func (l *Link) hearWord(ctx context.Context, kind mqtt.Kind, d mqtt.Delivery) error {
	if kind == mqtt.UpPresence {
		if t := l.talk.Load(); t != nil && !d.Retained { // what was kept before we subscribed is older than our birth
			return t.hearPresence(d.Payload)
		}
		return nil
	}
	if err := checkSize(d, maxWord); err != nil {
		return err
	}
	switch kind {
	case mqtt.DownFresh:
		if !l.answers.take(time.Now()) {
			return errTooMany
		}
		return l.hearFreshness(ctx, d.Payload)
	case mqtt.DownAck:
		if !l.words.take(time.Now()) {
			return errTooMany
		}
		return l.hearConfirmation(ctx, d.Payload)
	}
	return fmt.Errorf("nothing is to be heard there: %w", edge.ErrInvalid)
}

func checkSize(d mqtt.Delivery, most int) error {
	if n := len(d.Payload); n == 0 || n > most {
		return fmt.Errorf("%d bytes, from 1 to %d are allowed: %w", n, most, edge.ErrInvalid)
	}
	return nil
}

func (l *Link) hearFreshness(ctx context.Context, envelope []byte) error {
	if l.options.Freshness == nil {
		return fmt.Errorf("nobody asked: %w", edge.ErrInvalid)
	}
	if err := l.options.Freshness.Hear(ctx, envelope); err != nil {
		return err
	}
	now := time.Now()
	l.freshness.Store(&now)
	if t := l.talk.Load(); t != nil {
		t.answered.Store(true)
	}
	l.tellChanged()
	return nil
}

// hearConfirmation lets go what the fleet says to keep.
func (l *Link) hearConfirmation(ctx context.Context, envelope []byte) error {
	if l.options.Confirm == nil {
		return fmt.Errorf("this node believes no confirmation: %w", edge.ErrInvalid)
	}
	c, err := l.options.Confirm(ctx, envelope)
	if err != nil {
		return err
	}
	if c.Node != l.options.Node {
		return fmt.Errorf("confirms what %.70q said: %w", c.Node, edge.ErrInvalid)
	}
	l.rememberConfirms(ctx)
	for _, f := range l.flows {
		report := f.stream.Report()
		if report.Epoch != c.Epoch {
			continue
		}
		if c.Seq >= report.Next {
			return fmt.Errorf("confirms number %d, which was not given out: %w", c.Seq, edge.ErrInvalid)
		}
		if c.Seq <= report.Confirmed {
			l.heed()
		}
		f.stream.Ack(outbox.Position{Epoch: c.Epoch, Seq: c.Seq})
		if f.epoch() == c.Epoch {
			f.confirmed(c.Seq, report.Confirmed, time.Now())
		}
		nudge(l.wake)
		return nil
	}
	return nil // of a stream that was rebuilt since: true, and of no use
}

// heed has hello said once more, where nobody will have answered the one of this
// connection: a confirmation of nothing new comes from somebody who attends, and who may
// have begun to since.
func (l *Link) heed() {
	if t := l.talk.Load(); t != nil && !t.answered.Load() && t.heeded.CompareAndSwap(false, true) {
		nudge(t.late)
	}
}

// rememberConfirms: from now on the broker's acknowledgement is not enough, nor after a
// restart. It is asked for each time whether that is kept: a disk may have failed, and a
// store may have begun anew.
func (l *Link) rememberConfirms(ctx context.Context) {
	l.confirms.Store(true)
	if l.options.Memory.Confirms() {
		return
	}
	err := l.options.Memory.SetConfirms(ctx)
	if err != nil && !l.unkept.Load() {
		l.options.Log.Warn("that the fleet confirms was not kept", "err", err)
	}
	l.unkept.Store(err != nil)
}

// fleetConfirms tells whether nothing may leave a stream before the fleet says that it
// has it. A memory that does not know is asked again: it may have been mended.
func (l *Link) fleetConfirms() bool {
	if !l.confirms.Load() && l.options.Memory.Confirms() {
		l.confirms.Store(true)
	}
	return l.confirms.Load()
}

func (l *Link) applyPolicy(ctx context.Context, envelope []byte) error {
	if l.options.Policies == nil {
		return fmt.Errorf("this node takes no policy here: %w", edge.ErrInvalid)
	}
	return l.options.Policies.Apply(ctx, envelope)
}

func (l *Link) takeCommand(ctx context.Context, envelope []byte) error {
	if l.options.Commands == nil {
		return fmt.Errorf("this node takes no commands: %w", edge.ErrInvalid)
	}
	return l.options.Commands.Take(ctx, envelope)
}

// isForLater tells whether the same is to be tried again.
func isForLater(err error) bool {
	return errors.Is(err, edge.ErrUnavailable) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
