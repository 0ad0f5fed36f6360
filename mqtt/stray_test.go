package mqtt_test

import (
	"testing"
	"testing/synctest"
	"time"

	"holdfast/mqtt"
)

// TestSession_PubackForSubscription: an acknowledgement with the id of the
// subscription does not pass for its answer.
func TestSession_PubackForSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &play{script: func(p *peer) {
			p.serve(func(got packet) bool {
				if got.kind == subscribe {
					p.acknowledge(got.id())
				}
				return got.kind == subscribe
			})
		}}
		s := start(t, mqtt.Options{Dial: b.dial, Subscriptions: []string{"a"}, Handle: accept})
		got := s.await(t, func(state mqtt.State) bool { return isUp(state) || isWaiting(state) })
		if got.Connections != 0 || got.Failure == nil || got.Failure.Cause != mqtt.Silent || got.Strayed != 1 {
			t.Errorf("state is %+v, want down for a silent broker, with a stray acknowledgement", got)
		}
	})
}

// TestSession_PubackAhead: what still waits behind another message cannot have been
// acknowledged.
func TestSession_PubackAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead, end := make(chan struct{}), make(chan struct{})
		b := &play{script: func(p *peer) {
			p.until(connect)
			p.send(connack, 2, 0, 0)
			<-ahead // nothing is read: the first message does not get away
			for id := uint16(1); id <= 8; id++ {
				p.acknowledge(id)
			}
			<-end
		}}
		s := start(t, mqtt.Options{Dial: b.dial, WriteTimeout: time.Hour, AckTimeout: time.Hour})
		s.await(t, isUp)
		acknowledged := map[int]bool{}
		for i := range 3 {
			if err := s.Send(t.Context(), mqtt.Message{Topic: "x"}, func(err error) { acknowledged[i] = err == nil }); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		close(ahead)
		synctest.Wait()
		if acknowledged[1] || acknowledged[2] {
			t.Errorf("acknowledged are %v, and only the first was on the network", acknowledged)
		}
		if got := s.State().Strayed; got != 7 {
			t.Errorf("%d stray acknowledgements, want 7", got)
		}
		close(end)
		s.stop()
	})
}
