package desk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
)

// visit is one connection for as long as one call takes.
type visit struct {
	session *mqtt.Session
	ups     chan struct{} // rung whenever the connection comes up
	heard   chan struct{} // rung whenever something was heard
	desk    *Desk
	said    uint64 // the connection on which the message was said, counted
	handed  bool   // the broker may have something of ours
}

// visit connects, lets do work, and goes. hear takes every message of the site, one
// after the other, and must return soon.
func (d *Desk) visit(ctx context.Context, filters []string, hear func(Said), do func(context.Context, *visit) error) error {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	v := &visit{ups: make(chan struct{}, 1), heard: make(chan struct{}, 1), desk: d}
	o := d.session(randomName(), filters)
	o.Log = nil // what is wrong is the answer
	o.OnUp = func(context.Context) { ring(v.ups) }
	o.Handle = func(_ context.Context, m mqtt.Delivery) {
		defer m.Ack()
		if topic, err := mqtt.ParseTopic(m.Topic); err == nil && topic.Site == d.options.Site {
			hear(Said{topic, m.Payload, m.Retained, time.Now()})
			ring(v.heard)
		}
	}
	session, err := mqtt.New(o)
	if err != nil {
		return err
	}
	v.session = session
	ended := make(chan error, 1)
	go func() { ended <- session.Run(ctx) }()
	err = v.arrive(ctx)
	if err == nil {
		err = do(ctx, v)
	}
	leave()
	return errors.Join(err, <-ended)
}

// ring tells who waits, once however often.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// arrive waits for the first connection. The first failure is the answer: a person at
// a desk can try again.
func (v *visit) arrive(ctx context.Context) error {
	for {
		changed := v.session.Changed()
		switch state := v.session.State(); {
		case state.Phase == mqtt.Up:
			return nil
		case state.Failure != nil:
			return unreachable(v.desk.options.Broker, state.Failure)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("cannot reach broker %q: %w", v.desk.options.Broker, ctx.Err())
		}
	}
}

func unreachable(broker string, f *mqtt.Failure) error {
	err := fmt.Errorf("cannot reach broker %q: %w", broker, f)
	switch f.Cause {
	case mqtt.Unreachable, mqtt.Lost:
		return edge.WithHint(err, "is the address right, and does the broker take this user or certificate? A broker may hang up without a word")
	case mqtt.Refused:
		return edge.WithHint(err, "look at --user, --password-file and --cert, and at the broker's access rules")
	}
	return err
}

// settle waits until what the broker remembers has come: a short quiet, within bounds.
func (v *visit) settle(ctx context.Context) error {
	bound := time.NewTimer(v.desk.options.Patience)
	defer bound.Stop()
	quiet := time.NewTimer(v.desk.options.Quiet)
	defer quiet.Stop()
	for {
		select {
		case <-v.heard:
			quiet.Reset(v.desk.options.Quiet)
		case <-quiet.C:
			return nil
		case <-bound.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// publish sends messages, and notes whether any may have reached the broker. That the
// connection is down is no error: the next one rings, and lost tells that they are to be
// said again.
func (v *visit) publish(ctx context.Context, messages ...mqtt.Message) error {
	v.said = v.session.State().Connections
	for _, m := range messages {
		err := v.session.Publish(ctx, m)
		unsure := errors.Is(err, mqtt.ErrUnacknowledged) || err != nil && ctx.Err() != nil
		v.handed = v.handed || err == nil || unsure
		if err != nil && !errors.Is(err, mqtt.ErrDown) && !errors.Is(err, mqtt.ErrUnacknowledged) {
			return err
		}
	}
	return nil
}

// undelivered is the error of a call that ends without the broker having been told.
func (v *visit) undelivered() error {
	if v.handed {
		return nil
	}
	return fmt.Errorf("cannot publish: the connection to broker %q was lost: %w", v.desk.options.Broker, edge.ErrUnavailable)
}

// lost tells whether there is another connection than the one on which was published.
func (v *visit) lost() bool { return v.session.State().Connections != v.said }
