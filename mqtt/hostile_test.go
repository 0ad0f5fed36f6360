package mqtt_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	goruntime "runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
)

// hostility is what a broker does after it was asked for something.
type hostility struct {
	name  string
	when  byte // the packet after which it strikes
	send  func(got packet) []byte
	cause mqtt.Cause
}

func raw(bytes ...byte) func(packet) []byte { return func(packet) []byte { return bytes } }

// answered is a control packet with the id of what it pretends to answer.
func answered(kind byte, more ...byte) func(packet) []byte {
	return func(got packet) []byte {
		id := got.id()
		return append([]byte{kind, byte(2 + len(more)), byte(id >> 8), byte(id)}, more...)
	}
}

// hostilities are one for each thing the library was seen to do with it: panic, take
// 256 MB, take a refusal for a welcome, take an answer for another.
func hostilities() []hostility {
	longTopic := strings.Repeat("t", mqtt.MaxTopic+1)
	return []hostility{
		{"ConnackUnknownCode", connect, raw(connack, 2, 0, 6), mqtt.Protocol},
		{"ConnackNetworkErrorCode", connect, raw(connack, 2, 0, 0xfe), mqtt.Protocol},
		{"ConnackTooLong", connect, raw(connack, 3, 0, 0, 0), mqtt.Protocol},
		{"ConnackFlags", connect, raw(connack|1, 2, 0, 0), mqtt.Protocol},
		{"ConnackEmpty", connect, raw(connack, 0), mqtt.Protocol},
		{"FirstIsNoConnack", connect, raw(pingresp, 0), mqtt.Protocol},
		{"FirstIsMessage", connect, raw(message(0, "a", "x", 1)...), mqtt.Protocol},
		{"GiantBeforeConnack", connect, raw(connack, 0xff, 0xff, 0xff, 0x7f), mqtt.Protocol},
		{"SecondConnack", subscribe, raw(connack, 2, 0, 0), mqtt.Protocol},

		{"SubackWithMoreCodes", subscribe, answered(suback, 1, 1, 1), mqtt.Protocol},
		{"SubackWithFewerCodes", subscribe, answered(suback), mqtt.Protocol},
		{"SubackForAnother", subscribe, raw(suback, 3, 0x77, 0x77, 1), mqtt.Protocol},
		{"SubackUnknownCode", subscribe, answered(suback, 7), mqtt.Protocol},
		{"SubackQoS2", subscribe, answered(suback, 2), mqtt.Protocol},
		{"SubackRefused", subscribe, answered(suback, 0x80), mqtt.Refused},
		{"SubackDowngraded", subscribe, answered(suback, 0), mqtt.Refused},
		{"SubackUnasked", publish, raw(suback, 3, 0, 1, 1), mqtt.Protocol},

		{"SubackAsPuback", publish, answered(suback, 1), mqtt.Protocol},
		{"UnsubackAsPuback", publish, answered(0xb0), mqtt.Protocol},
		{"PubcompAsPuback", publish, answered(0x70), mqtt.Protocol},
		{"Pubrec", publish, answered(0x50), mqtt.Protocol},
		{"PubackTooLong", publish, answered(puback, 0), mqtt.Protocol},

		{"GiantMessage", publish, raw(publish, 0xff, 0xff, 0xff, 0x7f), mqtt.Protocol},
		{"GiantPingresp", publish, raw(pingresp, 0xff, 0xff, 0xff, 0x7f), mqtt.Protocol},
		{"EndlessLength", publish, raw(publish, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), mqtt.Protocol},
		{"MessageTooShort", publish, raw(publish, 1, 0), mqtt.Protocol},
		{"TopicBeyondMessage", publish, raw(publish, 4, 0, 9, 'a', 'b'), mqtt.Protocol},
		{"TopicEmpty", publish, raw(message(0, "", "x", 1)...), mqtt.Protocol},
		{"TopicTooLong", publish, raw(message(0, longTopic, "x", 1)...), mqtt.Protocol},
		{"TopicWild", publish, raw(message(0, "a/+", "x", 1)...), mqtt.Protocol},
		{"TopicNul", publish, raw(message(0, "a\x00", "x", 1)...), mqtt.Protocol},
		{"TopicNotUTF8", publish, raw(message(0, "a\xff", "x", 1)...), mqtt.Protocol},
		{"MessageIDZero", publish, raw(message(0, "a", "x", 0)...), mqtt.Protocol},
		{"MessageQoS2", publish, raw(publish|4, 5, 0, 1, 'a', 0, 1), mqtt.Protocol},
		{"MessageQoS3", publish, raw(publish|6, 5, 0, 1, 'a', 0, 1), mqtt.Protocol},
		{"KindZero", publish, raw(0, 0), mqtt.Protocol},
		{"KindFifteen", publish, raw(0xf0, 0), mqtt.Protocol},
		{"ConnectFromBroker", publish, raw(connect, 0), mqtt.Protocol},
		{"Disconnect", publish, raw(goodbye, 0), mqtt.Lost},
		{"Truncated", publish, raw(publish|2, 20, 0, 1, 'a', 0, 1, 'x'), mqtt.Lost}, // and then it hangs up
	}
}

// TestSession_HostileBroker: each of them ends the connection with its cause, the
// message on its way is not acknowledged, and the next connection works.
func TestSession_HostileBroker(t *testing.T) {
	for _, h := range hostilities() {
		t.Run(h.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { endure(t, h) })
		})
	}
}

func endure(t *testing.T, h hostility) {
	b := &play{script: func(p *peer) {
		if p.n > 1 {
			honest(p)
			return
		}
		p.serve(func(got packet) bool {
			if got.kind != h.when {
				return false
			}
			p.send(h.send(got)...)
			_ = p.Close()
			return true
		})
	}}
	s := start(t, mqtt.Options{Dial: b.dial, Subscriptions: []string{"a/#"}, Handle: accept})
	if h.when == publish {
		s.await(t, isUp)
		if err := s.Publish(t.Context(), mqtt.Message{Topic: "x"}); !errors.Is(err, mqtt.ErrUnacknowledged) {
			t.Errorf("Publish returned %v, want ErrUnacknowledged", err)
		}
	}
	got := s.await(t, isWaiting)
	if got.Failure.Cause != h.cause || !errors.Is(got.Failure, edge.ErrUnavailable) {
		t.Errorf("link is down for %v (%v), want %v", got.Failure.Cause, got.Failure, h.cause)
	}
	s.await(t, isUp)
	if err := s.Publish(t.Context(), mqtt.Message{Topic: "x"}); err != nil {
		t.Errorf("after it Publish returned %v, want nil", err)
	}
}

func accept(_ context.Context, d mqtt.Delivery) { d.Ack() }

// TestSession_GiantFrame: a length alone costs nothing.
func TestSession_GiantFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const connections = 200
		b := &play{script: func(p *peer) {
			p.until(connect)
			p.send(connack, 2, 0, 0)
			p.send(publish, 0xff, 0xff, 0xff, 0x7f)
			p.until(goodbye)
		}}
		var before, after goruntime.MemStats
		goruntime.ReadMemStats(&before)
		s := start(t, mqtt.Options{Dial: b.dial})
		s.await(t, func(state mqtt.State) bool { return state.Attempts > connections })
		s.stop()
		goruntime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / connections; each > 256<<10 {
			t.Errorf("each giant frame cost %d bytes, want under 256 KiB for the whole connection", each)
		}
	})
}

// TestSession_StrayPuback: acknowledgements of what was never sent acknowledge
// nothing, and are counted.
func TestSession_StrayPuback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := make(chan struct{})
		b := &play{script: func(p *peer) {
			p.serve(func(got packet) bool {
				switch got.kind {
				case connect: // an id the first message will have, before it is sent
					p.answer(got)
					for id := range uint16(8) {
						p.acknowledge(id)
					}
					return true
				case publish: // all ids but the right one, then nothing for a while
					for id := range uint16(1000) {
						if id != got.id() {
							p.acknowledge(id)
						}
					}
					<-held
					p.answer(got)
					p.answer(got) // twice
					return true
				}
				return false
			})
		}}
		s := start(t, mqtt.Options{Dial: b.dial})
		s.await(t, isUp)
		synctest.Wait() // what comes while a message is being written is believed: nobody can tell
		published := make(chan error, 1)
		go func() { published <- s.Publish(t.Context(), mqtt.Message{Topic: "x"}) }()
		synctest.Wait()
		select {
		case err := <-published:
			t.Fatalf("Publish returned %v before the broker acknowledged", err)
		default:
		}
		close(held)
		if err := <-published; err != nil {
			t.Errorf("Publish returned %v, want nil", err)
		}
		synctest.Wait()
		if got := s.State().Strayed; got != 8+999+1 {
			t.Errorf("%d stray acknowledgements, want 1008", got)
		}
	})
}

// TestSession_CutAtEveryByte cuts the connection after every byte of an exchange, in
// both directions. A message counts as acknowledged exactly if its PUBACK came whole.
func TestSession_CutAtEveryByte(t *testing.T) {
	request := 0 // bytes the session sends up to and with its message
	synctest.Test(t, func(t *testing.T) {
		n, acknowledged := exchange(t, 0, -1)
		if request = n; !acknowledged {
			t.Error("without a cut: not acknowledged")
		}
	})
	for cut := 1; cut <= request; cut++ {
		synctest.Test(t, func(t *testing.T) {
			if _, acknowledged := exchange(t, cut, -1); acknowledged != (cut == request) {
				t.Errorf("cut after %d of %d bytes sent: acknowledged is %v", cut, request, acknowledged)
			}
		})
	}
	const response = 4 + 5 + 4 // CONNACK, SUBACK, PUBACK
	for cut := range response + 1 {
		synctest.Test(t, func(t *testing.T) {
			if _, acknowledged := exchange(t, 0, cut); acknowledged != (cut == response) {
				t.Errorf("cut after %d of %d bytes received: acknowledged is %v", cut, response, acknowledged)
			}
		})
	}
}

// exchange connects, subscribes and publishes once over a connection that ends after
// so many bytes each way (0 and -1: does not), then over a whole one.
func exchange(t *testing.T, sent, received int) (bytes int, acknowledged bool) {
	var read atomic.Int64
	b := &play{}
	b.script = func(p *peer) {
		if p.n == 1 {
			p.Conn = &shears{Conn: p.Conn, reads: sent, writes: received, read: &read}
			p.in.Reset(p.Conn)
		}
		honest(p)
	}
	s := start(t, mqtt.Options{Dial: b.dial, Subscriptions: []string{"a"}, Handle: accept})
	s.await(t, func(state mqtt.State) bool { return isUp(state) || isWaiting(state) })
	acknowledged = s.Publish(t.Context(), mqtt.Message{Topic: "topic", Payload: []byte("payload")}) == nil
	bytes = int(read.Load())
	if sent == 0 && received < 0 {
		return bytes, acknowledged
	}
	s.await(t, func(state mqtt.State) bool { return isUp(state) && state.Attempts > 1 })
	if err := s.Publish(t.Context(), mqtt.Message{Topic: "topic"}); err != nil {
		t.Errorf("after the cut Publish returned %v, want nil", err)
	}
	return bytes, acknowledged
}

// TestSession_SilentInEveryState: a broker that stops at any point and keeps the
// connection open is noticed.
func TestSession_SilentInEveryState(t *testing.T) {
	for _, test := range []struct {
		name   string
		after  byte // the packet it no longer answers
		within time.Duration
		cause  mqtt.Cause
	}{
		{"NoConnack", connect, 20 * time.Second, mqtt.Silent},
		{"NoSuback", subscribe, 20 * time.Second, mqtt.Silent},
		{"NoPingresp", pingreq, 45 * time.Second, mqtt.Silent},
		{"NoPuback", publish, 80 * time.Second, mqtt.Unacknowledged},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &play{script: func(p *peer) {
					p.serve(func(got packet) bool { return got.kind == test.after })
				}}
				began := time.Now()
				s := start(t, mqtt.Options{Dial: b.dial, Subscriptions: []string{"a"}, Handle: accept})
				if test.after == publish {
					s.await(t, isUp)
					if err := s.Publish(t.Context(), mqtt.Message{Topic: "x"}); !errors.Is(err, mqtt.ErrUnacknowledged) {
						t.Errorf("Publish returned %v, want ErrUnacknowledged", err)
					}
				}
				got := s.await(t, isWaiting)
				if took := time.Since(began); took > test.within || got.Failure.Cause != test.cause {
					t.Errorf("noticed after %v as %v (%v), want %v within %v", took, got.Failure.Cause, got.Failure, test.cause, test.within)
				}
			})
		})
	}
}

// TestSession_HalfOpen: a link that takes nothing any more fails the write, and
// nobody who publishes waits for longer.
func TestSession_HalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &play{script: func(p *peer) {
			for kind := byte(0); kind != connect; {
				got, _ := p.read()
				p.answer(got)
				kind = got.kind
			}
			<-t.Context().Done() // nothing is read any more, nothing said, nothing closed
		}}
		s := start(t, mqtt.Options{Dial: b.dial})
		s.await(t, isUp)
		began := time.Now()
		results := make(chan error)
		for i := range 100 {
			go func() { results <- s.Publish(t.Context(), mqtt.Message{Topic: fmt.Sprint("x/", i)}) }()
		}
		for range 100 {
			if err := <-results; !errors.Is(err, edge.ErrUnavailable) {
				t.Errorf("Publish returned %v, want that the link is not available", err)
			}
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("publishers waited %v, want the write timeout of 10 s", took)
		}
		if got := s.await(t, isWaiting); got.Failure.Cause != mqtt.Silent {
			t.Errorf("link is down for %v, want silent", got.Failure.Cause)
		}
	})
}

// TestSession_Flood: retained messages come faster than they are handled. Memory is
// bounded, pings are answered meanwhile, and in the end every message was handled.
func TestSession_Flood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages, inbox = 500, 16
		var mu sync.Mutex // an old connection may end after a new one began
		acknowledged := map[uint16]bool{}
		b := &play{script: func(p *peer) {
			p.serve(func(got packet) bool {
				mu.Lock()
				defer mu.Unlock()
				switch got.kind {
				case subscribe: // all that is not acknowledged, at once
					p.answer(got)
					for id := uint16(1); id <= messages; id++ {
						if !acknowledged[id] {
							p.deliver(1, "a", fmt.Sprint(id), id)
						}
					}
					return true
				case puback:
					acknowledged[binary.BigEndian.Uint16(got.body)] = true
				}
				return false
			})
		}}
		handled := map[string]bool{}
		release := make(chan struct{}, 1)
		s := start(t, mqtt.Options{
			Dial: b.dial, Subscriptions: []string{"a"}, Inbox: inbox,
			Handle: func(ctx context.Context, d mqtt.Delivery) {
				select {
				case <-time.After(time.Second): // far slower than they come
				case <-ctx.Done():
					return
				}
				handled[string(d.Payload)] = true
				d.Ack()
				if len(handled) == messages {
					release <- struct{}{}
				}
			},
		})
		<-release
		got := s.State()
		s.stop()
		b.open.Wait()
		if len(acknowledged) != messages || got.Overflowed == 0 || got.Received < messages {
			t.Errorf("%d acknowledged, state %+v; want all %d, some of them after an overflow", len(acknowledged), got, messages)
		}
	})
}
