package mqtt_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/mqtt"
)

// TestSession_Oversize: what is larger than the frame comes without its payload, is
// acknowledged like any other, and leaves the connection standing.
func TestSession_Oversize(t *testing.T) {
	big := strings.Repeat("x", 300<<10)
	script := func(acknowledged chan<- uint16) func(p *peer) {
		return func(p *peer) {
			p.serve(func(got packet) bool {
				switch got.kind {
				case subscribe:
					p.answer(got)
					p.deliver(0, "a", "small", 1)
					p.deliver(8, "a", big, 2)
					p.send(append([]byte{publish, 0x84, 0xe0, 0x12, 0, 1, 'a'}, big+"x"...)...) // QoS 0
					p.deliver(0, "a", "after", 3)
				case puback:
					acknowledged <- got.id()
				}
				return got.kind == subscribe || got.kind == puback
			})
		}
	}
	run := func(t *testing.T, oversize bool) (got []mqtt.Delivery, acknowledged []uint16, state mqtt.State) {
		acks := make(chan uint16, 100)
		b := &play{script: script(acks)}
		s := start(t, mqtt.Options{Dial: b.dial, Oversize: oversize, Subscriptions: []string{"a"}, Handle: func(_ context.Context, d mqtt.Delivery) {
			d.Ack()
			got = append(got, d)
		}})
		s.await(t, isUp)
		synctest.Wait()
		state = s.State()
		s.stop()
		b.open.Wait()
		close(acks)
		for id := range acks {
			acknowledged = append(acknowledged, id)
		}
		return got, acknowledged, state
	}
	t.Run("Skimmed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			got, acknowledged, state := run(t, true)
			if state.Phase != mqtt.Up || state.Connections != 1 {
				t.Errorf("state is %+v, want the first connection up", state)
			}
			if !slices.Equal(acknowledged, []uint16{1, 2, 3}) || len(got) != 3 {
				t.Fatalf("%d messages came and %v were acknowledged, want 3", len(got), acknowledged)
			}
			large := got[1]
			if large.Oversize != len(big)+5 || len(large.Payload) != 0 || large.Topic != "a" || large.ID != 2 || !large.Duplicate {
				t.Errorf("large message came as topic %q, id %d, %d bytes, oversize %d, want none of %d", large.Topic, large.ID, len(large.Payload), large.Oversize, len(big)+5)
			}
			if got[2].Oversize != 0 || string(got[2].Payload) != "after" || got[2].Arrived.After(time.Now()) || got[2].Arrived.IsZero() {
				t.Errorf("message behind it came as %+v", got[2])
			}
		})
	})
	t.Run("EndsTheConnectionOtherwise", func(t *testing.T) { // the negative control
		synctest.Test(t, func(t *testing.T) {
			got, _, state := run(t, false)
			if len(got) > 1 || state.Failure == nil || state.Failure.Cause != mqtt.Protocol {
				t.Errorf("%d messages came, state is %+v, want the first only and a protocol failure", len(got), state)
			}
		})
	})
}

// TestSession_Unsubscribe: former subscriptions are given up before the present ones
// are asked for, on each connection.
func TestSession_Unsubscribe(t *testing.T) {
	const unsubscribe, unsuback = 0xa0, 0xb0
	run := func(t *testing.T, answer func(p *peer, got packet)) (kinds []byte, state mqtt.State) {
		b := &play{script: func(p *peer) {
			p.serve(func(got packet) bool {
				kinds = append(kinds, got.kind)
				if got.kind == unsubscribe {
					answer(p, got)
				}
				return got.kind == unsubscribe
			})
		}}
		s := start(t, mqtt.Options{Dial: b.dial, Subscriptions: []string{"a"}, Unsubscribe: []string{"b", "c/#"}, Handle: accept})
		state = s.await(t, func(state mqtt.State) bool { return isUp(state) || isWaiting(state) })
		synctest.Wait()
		s.stop()
		b.open.Wait()
		return kinds, state
	}
	t.Run("Honest", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			kinds, state := run(t, func(p *peer, got packet) { p.send(unsuback, 2, got.body[0], got.body[1]) })
			if want := []byte{connect, unsubscribe, subscribe, goodbye}; !slices.Equal(kinds, want) || !isUp(state) {
				t.Errorf("broker saw %x, want %x; state is %+v", kinds, want, state)
			}
		})
	})
	for name, lie := range map[string]func(p *peer, got packet){
		"OtherID": func(p *peer, got packet) { p.send(unsuback, 2, got.body[0]+1, got.body[1]) },
		"TooLong": func(p *peer, got packet) { p.send(unsuback, 3, got.body[0], got.body[1], 0) },
		"AsGrant": func(p *peer, got packet) { p.send(suback, 3, got.body[0], got.body[1], 1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kinds, state := run(t, lie)
				if slices.Contains(kinds, subscribe) || state.Failure == nil || state.Failure.Cause != mqtt.Protocol {
					t.Errorf("broker saw %x, state is %+v, want a protocol failure before SUBSCRIBE", kinds, state)
				}
			})
		})
	}
}
