package mqtt_test

import (
	"context"
	goruntime "runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"holdfast/mqtt"
)

// keeper keeps what it could acknowledge, and looks at what that keeps in memory.
type keeper struct {
	whole    bool // keeps the messages too: a control
	acks     []func()
	messages [][]byte
	seen     []weak.Pointer[byte]
}

func (k *keeper) handle(_ context.Context, d mqtt.Delivery) {
	k.acks = append(k.acks, d.Ack)
	k.seen = append(k.seen, weak.Make(&d.Payload[0]))
	if k.whole {
		k.messages = append(k.messages, d.Payload)
	}
}

// left counts the payloads that are still there.
func (k *keeper) left() (n int) {
	for range 3 {
		goruntime.GC()
	}
	for _, payload := range k.seen {
		if payload.Value() != nil {
			n++
		}
	}
	return n
}

// TestDelivery_Ack: what is kept to acknowledge a message later does not keep the
// message, and acknowledges it.
func TestDelivery_Ack(t *testing.T) {
	const messages = 20
	hold := func(t *testing.T, k *keeper) (left int) {
		synctest.Test(t, func(t *testing.T) {
			var acknowledged []uint16
			b := &play{script: func(p *peer) {
				p.serve(func(got packet) bool {
					switch got.kind {
					case subscribe:
						p.answer(got)
						for id := uint16(1); id <= messages; id++ {
							p.deliver(1, "a", strings.Repeat("x", 20<<10), id)
						}
						return true
					case puback:
						acknowledged = append(acknowledged, got.id())
					}
					return false
				})
			}}
			s := start(t, mqtt.Options{Dial: b.dial, Subscriptions: []string{"a"}, Handle: k.handle})
			s.await(t, isUp)
			time.Sleep(time.Second)
			synctest.Wait()
			left = k.left()
			for _, ack := range k.acks {
				ack()
				ack()
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if len(k.acks) != messages || len(acknowledged) != messages || acknowledged[messages-1] != messages {
				t.Errorf("%d came, and the broker saw %v acknowledged; want each of %d once", len(k.acks), acknowledged, messages)
			}
			s.stop()
			b.open.Wait()
			for _, ack := range k.acks {
				ack() // does nothing
			}
		})
		return left
	}
	if left := hold(t, &keeper{}); left > 2 { // what the library has just handed over
		t.Errorf("%d of %d payloads are kept by their acknowledgements", left, messages)
	}
	if left := hold(t, &keeper{whole: true}); left != messages {
		t.Errorf("the control sees %d payloads, want all %d", left, messages)
	}
}

// TestSession_Reconnect: what was not acknowledged comes again.
func TestSession_Reconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &play{script: func(p *peer) {
			p.serve(func(got packet) bool {
				if got.kind == subscribe {
					p.answer(got)
					p.deliver(1, "a", "x", 1)
				}
				return got.kind == subscribe
			})
		}}
		came := 0
		s := start(t, mqtt.Options{Dial: b.dial, Subscriptions: []string{"a"}, Handle: func(context.Context, mqtt.Delivery) { came++ }})
		s.Reconnect() // nothing is up
		s.await(t, isUp)
		synctest.Wait()
		s.Reconnect()
		s.Reconnect()
		if got := s.await(t, isWaiting); got.Failure.Cause != mqtt.Crowded {
			t.Errorf("link is down for %v, want crowded", got.Failure.Cause)
		}
		s.await(t, isUp)
		synctest.Wait()
		s.stop()
		b.open.Wait()
		if came != 2 {
			t.Errorf("the message came %d times, want twice", came)
		}
	})
}
