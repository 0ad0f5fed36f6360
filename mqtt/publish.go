package mqtt

import (
	"context"
	"time"
)

// Publish sends a message and returns nil only after the broker has acknowledged it.
// ErrDown and errors of the message mean that it was not sent; ErrUnacknowledged
// and the end of ctx, that nobody knows.
func (s *Session) Publish(ctx context.Context, m Message) error {
	settled := make(chan error, 1)
	if err := s.Send(ctx, m, func(err error) { settled <- err }); err != nil {
		return err
	}
	select {
	case err := <-settled:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Send gives a message to the link and returns while it is on its way. It waits
// while the window is full. When it returns nil, done is called exactly once: with
// nil after the broker has acknowledged the message, or with ErrUnacknowledged when
// the connection ended before. Messages leave in the order in which calls of Send
// returned. done must not block: it runs where acknowledgements are read.
func (s *Session) Send(ctx context.Context, m Message, done func(error)) error {
	c := s.current.Load()
	if c == nil {
		return ErrDown
	}
	if err := m.check(c.tuning.MaxFrame); err != nil {
		return err
	}
	select {
	case c.ledger.slots <- struct{}{}:
	case <-c.ending:
		return ErrDown
	case <-ctx.Done():
		return ctx.Err()
	}
	e := &entry{Message: m, done: s.counted(done), since: time.Now()}
	if !c.enqueue(e) {
		<-c.ledger.slots
		return ErrDown
	}
	return nil
}

// counted notes how a message ended before its sender hears of it.
func (s *Session) counted(done func(error)) func(error) {
	return func(err error) {
		if err == nil {
			s.counts.acknowledged.Add(1)
		} else {
			s.counts.unacknowledged.Add(1)
		}
		done(err)
	}
}

// enqueue puts a message into the ledger and in line for the network.
func (c *connection) enqueue(e *entry) bool {
	c.lining.Lock() // ledger and line in the same order
	defer c.lining.Unlock()
	if !c.ledger.add(e) {
		return false
	}
	c.session.counts.published.Add(1)
	c.line <- e // never waits: the line has as many places as the ledger has slots
	return true
}

// publish hands messages to the library, one after the other, so that the ledger
// knows which of them the library's next Put is about.
func (c *connection) publish() {
	for {
		select {
		case <-c.ending:
			return
		case e := <-c.line:
			c.ledger.draw(e)
			token := c.client.Publish(e.Topic, 1, e.Retained, e.Payload)
			if err := token.Error(); err != nil && !c.guard.isFailed() {
				c.guard.fail(failure(Lost, "cannot publish: %w", err))
			}
		}
	}
}
