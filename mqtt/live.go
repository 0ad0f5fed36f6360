package mqtt

import (
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// errEnded ends a connection nothing is wrong with.
var errEnded = errors.New("link was ended")

// handOver gives the library the connection that is open already.
func (c *connection) handOver(*url.URL, paho.ClientOptions) (net.Conn, error) { return c.guard, nil }

// live is the connection from CONNACK to its end. Ours comes home first, then the
// library: only so is nobody left waiting in it.
func (c *connection) live(ctx context.Context) (f *Failure, stood time.Duration) {
	c.session.living.Store(c) // messages may come before the subscriptions stand
	defer c.session.living.Store(nil)
	handling, endHandling := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	work.Go(c.publish)
	work.Go(func() { c.deliver(handling) })

	wasUp := c.subscribe(ctx)
	if wasUp {
		stood = c.stand(ctx)
	}
	c.ledger.close()
	close(c.ending)
	endHandling()
	work.Wait()
	c.end(ctx)
	if !errors.Is(c.guard.err, errEnded) {
		f = c.reason(Lost)
	}
	if wasUp && c.session.options.OnDown != nil {
		if ctx.Err() != nil {
			f = nil
		}
		c.session.options.OnDown(f)
	}
	return f, stood
}

// end says goodbye when it is us who end, and waits for the library.
func (c *connection) end(ctx context.Context) {
	if ctx.Err() != nil && !c.guard.isFailed() {
		_ = packets.NewControlPacket(packets.Disconnect).Write(c.guard) // the guard never fails a write
		c.wait(nil, goodbye)                                            // for the broker to close
	}
	c.guard.fail(errEnded)
	c.guard.release()
	<-c.gone
}

// wait returns true when done is closed, false when the connection has failed or the
// time is over.
func (c *connection) wait(done <-chan struct{}, most time.Duration) bool {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-c.guard.failed:
	case <-timer.C:
	}
	return false
}

// subscribe gives up former subscriptions and asks for every present one, in one packet
// each; false when the connection has failed or is to end.
func (c *connection) subscribe(ctx context.Context) bool {
	o := &c.session.options
	defer context.AfterFunc(ctx, func() { c.guard.fail(errEnded) })()
	if len(o.Unsubscribe) > 0 && !c.answered(c.client.Unsubscribe(o.Unsubscribe...)) {
		return false
	}
	if len(o.Subscriptions) == 0 {
		return !c.guard.isFailed()
	}
	filters := make(map[string]byte, len(o.Subscriptions))
	for _, filter := range o.Subscriptions {
		filters[filter] = 1
	}
	return c.answered(c.client.SubscribeMultiple(filters, nil))
}

// answered waits for the broker's answer to a packet about subscriptions.
func (c *connection) answered(token paho.Token) bool {
	patience := c.session.options.ConnectTimeout
	if !c.wait(token.Done(), patience) {
		c.guard.fail(failure(Silent, "broker did not answer our subscriptions for %v", patience))
		return false
	}
	if err := token.Error(); err != nil {
		c.guard.fail(failure(Lost, "cannot subscribe: %w", err))
		return false
	}
	return !c.guard.isFailed() // the guard has judged the answer
}

// stand keeps watch while the connection is up, and returns for how long it was.
func (c *connection) stand(ctx context.Context) time.Duration {
	since := time.Now()
	c.session.standing(c)
	hooked, endHook := c.hook(ctx)
	c.watch(ctx)
	stood := time.Since(since)
	endHook()
	if !c.guard.isFailed() {
		c.wait(hooked, farewell)
	}
	c.session.current.Store(nil)
	c.session.enter(Ending, nil)
	c.ledger.close() // lets OnUp out of Publish
	<-hooked
	return stood
}

// hook runs OnUp beside the connection.
func (c *connection) hook(ctx context.Context) (hooked chan struct{}, end context.CancelFunc) {
	ctx, end = context.WithCancel(ctx)
	hooked = make(chan struct{})
	go func() {
		defer close(hooked)
		if c.session.options.OnUp != nil {
			c.session.options.OnUp(ctx)
		}
	}()
	return hooked, end
}

// watch returns when the connection has failed or is to end. It fails one on which
// nothing is acknowledged.
func (c *connection) watch(ctx context.Context) {
	patience := c.session.options.AckTimeout
	look := time.NewTicker(max(patience/4, time.Millisecond))
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.guard.failed:
			return
		case <-look.C:
			if since, waits := c.ledger.oldest(); waits && time.Since(since) >= patience {
				c.guard.fail(failure(Unacknowledged, "broker acknowledged nothing for %v", patience))
			}
		}
	}
}

// arrived takes a message from the library's goroutine, which must never wait: the
// answers to pings come the same way. What does not fit is not acknowledged, so it
// comes again; since brokers send again only on a new connection, there will be one
// as soon as the inbox is empty. Until then nothing overtakes it.
func (c *connection) arrived(_ paho.Client, m paho.Message) {
	counts := &c.session.counts
	d := Delivery{
		Topic: m.Topic(), Payload: m.Payload(), Retained: m.Retained(), Duplicate: m.Duplicate(),
		ID: m.MessageID(), Arrived: time.Now(),
	}
	if m.Qos() > 0 {
		d.Oversize = c.guard.oversize(d.ID)
	}
	d.Ack = acknowledgement(c.guard, counts, d.ID, m.Qos())
	again := m.Qos() > 0 // it comes again
	if again && c.missed.Load() || !c.accept(d) {
		counts.overflowed.Add(1)
		if again {
			c.missed.Store(true)
		}
	}
}

// acknowledgement writes a PUBACK, once. The library's own holds the message, which
// whoever has dealt with it must be able to let go.
func acknowledgement(g *guard, counts *counters, id uint16, qos byte) func() {
	return sync.OnceFunc(func() {
		counts.confirmed.Add(1)
		if qos == 0 {
			return
		}
		ack := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket) //nolint:errcheck // what it makes is one
		ack.MessageID = id
		_ = ack.Write(g) // the guard never fails a write
	})
}

// accept puts a message into the inbox if there is room.
func (c *connection) accept(d Delivery) bool {
	size, most := int64(len(d.Payload)), int64(c.session.options.InboxBytes)
	if unread := c.unread.Add(size); most > 0 && unread > most && unread > size {
		c.unread.Add(-size)
		return false
	}
	select {
	case c.inbox <- d:
		return true
	default:
		c.unread.Add(-size)
		return false
	}
}

// deliver hands messages to Handle.
func (c *connection) deliver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-c.inbox:
			if ctx.Err() != nil {
				return // it comes again
			}
			c.unread.Add(-int64(len(d.Payload)))
			c.session.counts.received.Add(1)
			c.session.options.Handle(ctx, d)
			if len(c.inbox) == 0 && c.missed.Load() {
				c.guard.fail(failure(Crowded, "messages came faster than they were handled"))
			}
		}
	}
}
