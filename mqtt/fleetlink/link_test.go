package fleetlink_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/mqtt"
	"holdfast/mqtt/fleetlink"
	"holdfast/mqtt/journal"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == checkVerb {
		os.Exit(boltfile.CheckMain(map[string]boltfile.Layout{"link": journal.Layout()}, os.Args[2:]))
	}
	goleak.VerifyTestMain(m)
}

// pass lets virtual time pass, and everything come to rest. Outside of a bubble it
// panics.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// hop is how long a message takes one way, unless said otherwise.
const hop = 50 * time.Millisecond

// stage is one node, one broker and one fleet where all is well.
type stage struct {
	broker *broker
	fleet  *fleet
	flash  *flash
	node   *process
}

// on sets a stage, plays, and clears it.
func on(t *testing.T, alter func(*process, *fleetlink.Options), play func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBroker(1)
		b.set(faults{delay: hop})
		s := &stage{broker: b, fleet: newFleet(b), flash: newFlash()}
		s.node = s.flash.boot(t, b, alter)
		await(t, "up", time.Minute, s.node.isUp)
		pass(time.Second)
		synctest.Wait()
		play(t, s)
		s.node.end()
		b.ended.Wait()
		s.fleet.mu.Lock()
		defer s.fleet.mu.Unlock()
		for _, problem := range s.fleet.problems {
			t.Error(problem)
		}
	})
}

// dark cuts the node off.
func (s *stage) dark() {
	s.broker.set(faults{delay: hop, noRoute: true})
	s.broker.each(func(g *guest) { g.cut() })
	pass(time.Second)
}

// light lets it back, and waits until it is.
func (s *stage) light(t *testing.T) {
	s.broker.set(faults{delay: hop})
	await(t, "up", 2*time.Minute, s.node.isUp)
}

func (s *stage) stream(name string) fleetlink.StreamStatus {
	for _, stream := range s.node.Status().Streams {
		if stream.Name == name {
			return stream
		}
	}
	return fleetlink.StreamStatus{}
}

func (s *stage) isEmpty() bool {
	for _, stream := range s.node.Status().Streams {
		if stream.Confirmed+1 != stream.Next {
			return false
		}
	}
	return true
}

func (s *stage) presence() (p edge.Presence) {
	_ = json.Unmarshal(s.broker.kept(topic(mqtt.UpPresence)), &p)
	return p
}

// TestLink_Opening: a connection begins in the promised order, and replies go before
// history.
func TestLink_Opening(t *testing.T) {
	on(t, nil, func(t *testing.T, s *stage) {
		s.dark()
		for n := range 50 {
			s.node.note(n)
		}
		s.fleet.issue(edge.Command{ID: "order", Counter: 1})
		s.node.flash.mu.Lock()
		s.node.appendLocked("reply", edge.Reply{Command: "earlier", Stage: edge.StageSucceeded})
		s.node.flash.mu.Unlock()
		s.node.setState("one")
		before := len(s.broker.said)
		s.light(t)
		await(t, "empty", time.Minute, s.isEmpty)
		var order []string
		for _, said := range s.broker.said[before:] {
			kind := said.topic[strings.LastIndex(said.topic, "/")+1:]
			if n := len(order); n == 0 || order[n-1] != kind {
				order = append(order, kind)
			}
		}
		want := "presence hello state reply event"
		if got := strings.Join(order, " "); !strings.HasPrefix(got, want) {
			t.Errorf("said %q, want it to begin with %q", got, want)
		}
	})
}

// TestLink_Ends: an orderly end is told; a crash is told by the will.
func TestLink_Ends(t *testing.T) {
	t.Run("Orderly", func(t *testing.T) {
		on(t, nil, func(t *testing.T, s *stage) {
			s.node.stop()
			if p := s.presence(); p.Online || p.Node != "n1" {
				t.Errorf("presence is %+v, want offline", p)
			}
		})
	})
	t.Run("Crash", func(t *testing.T) {
		on(t, nil, func(t *testing.T, s *stage) {
			session := s.node.Status().Session
			s.node.crash(s.broker)
			pass(time.Second)
			if p := s.presence(); p.Online || p.Session != session {
				t.Errorf("presence is %+v, want offline for session %s", p, session)
			}
			s.node = s.flash.boot(t, s.broker, nil)
		})
	})
}

// TestLink_LateWill: a will that comes after the next birth does not stay, unless
// nobody tells the node; then it stays until everything is said anew.
func TestLink_LateWill(t *testing.T) {
	late := func(t *testing.T, deaf bool) edge.Presence {
		var after edge.Presence
		on(t, nil, func(t *testing.T, s *stage) {
			s.broker.set(faults{delay: hop, willDelay: 30 * time.Second, deaf: deaf})
			s.broker.each(func(g *guest) { g.cut() })
			pass(time.Second)
			await(t, "up", time.Minute, s.node.isUp)
			pass(5 * time.Minute)
			after = s.presence()
			if births := len(s.broker.heard(topic(mqtt.UpPresence))); births > 4 {
				t.Errorf("%d births for one late will", births)
			}
			if !deaf && after.Session != s.node.Status().Session {
				t.Errorf("presence names %s, want the session that is up", after.Session)
			}
		})
		return after
	}
	if p := late(t, false); !p.Online {
		t.Errorf("presence is %+v, want online", p)
	}
	if p := late(t, true); p.Online { // the control
		t.Errorf("presence is %+v, though nobody told the node of its will", p)
	}
}

// TestLink_Quarrel: who says again and again that we are gone is answered ever more
// seldom.
func TestLink_Quarrel(t *testing.T) {
	on(t, nil, func(t *testing.T, s *stage) {
		before := len(s.broker.heard(topic(mqtt.UpPresence)))
		for range 3600 {
			s.broker.publish(topic(mqtt.UpPresence), []byte(`{"online":false,"session":"other"}`), true)
			pass(time.Second)
		}
		if births := len(s.broker.heard(topic(mqtt.UpPresence))) - before; births < 5 || births > 25 {
			t.Errorf("%d births in an hour of quarrel, want 5 to 25", births)
		}
		pass(6 * time.Minute)
		if !s.presence().Online {
			t.Error("the quarrel was lost")
		}
	})
}

// TestLink_Hello: it is said again every few hours and when asked for, each with a
// question of its own.
func TestLink_Hello(t *testing.T) {
	on(t, nil, func(t *testing.T, s *stage) {
		pass(24 * time.Hour)
		hellos := s.broker.heard(topic(mqtt.UpHello))
		if n := len(hellos); n < 4 || n > 6 {
			t.Errorf("%d hellos in a day, want one in 4.5 to 7.5 h", n)
		}
		nonces := map[string]bool{}
		for _, said := range hellos {
			var hello edge.Hello
			if err := json.Unmarshal(said.payload, &hello); err != nil || hello.Session != s.node.Status().Session || len(hello.Streams) != 2 {
				t.Errorf("hello is %s: %v", said.payload, err)
			}
			nonces[hello.Nonce] = true
		}
		if len(nonces) != len(hellos) || s.node.heard != len(hellos) {
			t.Errorf("%d hellos asked %d questions and heard %d answers", len(hellos), len(nonces), s.node.heard)
		}
		states := len(s.broker.heard(topic(mqtt.UpState)))
		s.node.Refresh()
		pass(2 * time.Second)
		if got := len(s.broker.heard(topic(mqtt.UpHello))); got != len(hellos)+1 {
			t.Errorf("%d hellos after refresh, want one more than %d", got, len(hellos))
		}
		if got := len(s.broker.heard(topic(mqtt.UpState))); got != states+1 {
			t.Errorf("%d states after refresh, want one more than %d", got, states)
		}
		if at := s.node.Status().Freshness; at == nil || time.Since(*at) > time.Minute {
			t.Errorf("freshness was heard at %v, want just now", at)
		}
	})
}
