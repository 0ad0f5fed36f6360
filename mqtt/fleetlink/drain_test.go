package fleetlink_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/fleetlink"
	"holdfast/mqtt/outbox"
)

// TestLink_Confirmation: what leaves a stream, and when.
func TestLink_Confirmation(t *testing.T) {
	t.Run("BrokerIsEnoughUntilTheFleetConfirms", func(t *testing.T) {
		on(t, func(_ *process, o *fleetlink.Options) { o.Confirm = nil }, func(t *testing.T, s *stage) {
			s.fleet.setAway(true)
			s.node.note(1)
			s.node.commit(1)
			await(t, "empty", time.Second, s.isEmpty)
			if s.node.Status().Confirms {
				t.Error("the fleet is said to confirm")
			}
		})
	})
	t.Run("FleetThatConfirmsIsWaitedFor", func(t *testing.T) {
		on(t, nil, func(t *testing.T, s *stage) {
			s.fleet.setAway(true)
			s.node.note(1)
			pass(9 * time.Minute)
			if got := s.stream("telemetry"); got.Confirmed != 0 || got.Arrived != 1 {
				t.Errorf("stream is %+v, want arrived and not confirmed", got)
			}
			if !s.flash.confirms {
				t.Error("that the fleet confirms was not kept")
			}
		})
	})
	t.Run("AnotherNodesNumberMeansNothing", func(t *testing.T) {
		on(t, nil, func(t *testing.T, s *stage) {
			s.fleet.setAway(true)
			s.node.commit(1)
			pass(time.Second)
			for _, c := range []edge.Confirmation{{Node: "n2", Epoch: s.flash.epoch, Seq: 1}, {Node: "n1", Epoch: "00000000deadbeef", Seq: 1}, {Node: "n1", Epoch: s.flash.epoch, Seq: 2}} {
				s.broker.publish(topic(mqtt.DownAck), sign(c), false)
			}
			pass(time.Second)
			if got := s.stream("control"); got.Confirmed != 0 {
				t.Errorf("stream is %+v, want nothing confirmed", got)
			}
			s.broker.publish(topic(mqtt.DownAck), sign(edge.Confirmation{Node: "n1", Epoch: s.flash.epoch, Seq: 1}), false)
			await(t, "confirmed", time.Second, func() bool { return s.stream("control").Confirmed == 1 })
		})
	})
}

// TestLink_PowerCutAfterConfirmation: what the fleet keeps is not sent again, though the
// flash has not heard of it, unless the fleet is away and cannot say so.
func TestLink_PowerCutAfterConfirmation(t *testing.T) {
	const backlog = 40
	play := func(t *testing.T, away bool) (again int) {
		on(t, nil, func(t *testing.T, s *stage) {
			for n := range backlog {
				s.node.commit(n)
			}
			await(t, "confirmed", time.Minute, s.isEmpty)
			pass(time.Second) // the broker has heard that the confirmation came
			s.node.crash(s.broker)
			s.flash.acked = 0 // was not written yet
			s.fleet.setAway(away)
			before := len(s.broker.heard(topic(mqtt.UpEvent)))
			s.node = s.flash.boot(t, s.broker, nil)
			await(t, "up", time.Minute, s.node.isUp)
			s.node.commit(backlog)
			pass(10 * time.Second)
			again = len(s.broker.heard(topic(mqtt.UpEvent))) - before - 1
			if got := s.stream("control"); got.Arrived != got.Next-1 {
				t.Errorf("stream is %+v, want what is new to have arrived", got)
			}
		})
		return again
	}
	if again := play(t, false); again != 0 {
		t.Errorf("%d messages came again, want none that was confirmed", again)
	}
	if again := play(t, true); again < backlog {
		t.Errorf("%d messages came again while the fleet was away, want all %d: does this test see anything?", again, backlog)
	}
}

// balky is a memory whose disk is full for a while.
type balky struct {
	mu    sync.Mutex // guards the rest
	kept  bool
	full  bool
	asked int
}

func (b *balky) Confirms() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept
}

func (b *balky) SetConfirms(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	if b.full {
		return errors.New("disk is full")
	}
	b.kept = true
	return nil
}

// set changes the disk, and returns how often it was asked.
func (b *balky) set(full, kept bool) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.full, b.kept = full, kept
	return b.asked
}

// TestLink_Memory: that the fleet confirms is kept, whatever the disk does in between.
func TestLink_Memory(t *testing.T) {
	remember := func(m *balky) func(*process, *fleetlink.Options) {
		return func(_ *process, o *fleetlink.Options) { o.Memory = m }
	}
	t.Run("TriedAgain", func(t *testing.T) {
		m := &balky{full: true}
		on(t, remember(m), func(t *testing.T, s *stage) {
			for n := range 3 {
				s.node.commit(n)
				pass(time.Minute)
			}
			if asked := m.set(false, false); asked < 3 || !s.node.Status().Confirms {
				t.Errorf("asked %d times, status %+v; want with each confirmation", asked, s.node.Status())
			}
			s.node.commit(3)
			pass(time.Minute)
			if asked := m.set(false, true); asked == 0 || !s.isEmpty() {
				t.Errorf("asked %d times, streams %+v", asked, s.node.Status().Streams)
			}
			asked := m.set(false, true)
			s.node.commit(4)
			pass(time.Minute)
			if got := m.set(false, true); got != asked {
				t.Errorf("asked %d times more, though it is kept", got-asked)
			}
			m.set(false, false) // the store begins anew
			s.node.commit(5)
			pass(time.Minute)
			if !m.Confirms() {
				t.Error("the new store was not told")
			}
		})
	})
	t.Run("Mended", func(t *testing.T) {
		m := &balky{}
		deaf := func(_ *process, o *fleetlink.Options) { o.Memory, o.Confirm = m, nil }
		on(t, deaf, func(t *testing.T, s *stage) {
			s.node.commit(1)
			await(t, "gone", time.Minute, s.isEmpty)
			m.set(false, true)
			s.node.commit(2)
			pass(time.Minute)
			if got := s.stream("control"); got.Arrived != 2 || got.Confirmed != 1 {
				t.Errorf("stream is %+v, want the second to wait for the fleet", got)
			}
		})
	})
}

// TestLink_Hurry: a reply that is not kept waits neither for history nor for the month's
// bytes; other records do. In the end the fleet has everything without a hole.
func TestLink_Hurry(t *testing.T) {
	largest := `{"command":"late","stage":"succeeded","result":{"x":"` + long(edge.MaxResult-8) + `"}}`
	say := func(t *testing.T, s *stage, kind, body string) (seq uint64) {
		t.Helper()
		seq, err := s.node.spool.Append(outbox.Record{Class: outbox.D0, Kind: kind, Body: []byte(body)})
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	replied := func(s *stage) bool {
		s.fleet.mu.Lock()
		defer s.fleet.mu.Unlock()
		return s.fleet.replies["late"].Stage == edge.StageSucceeded
	}
	wait := func(t *testing.T, s *stage, others int) {
		t.Helper()
		task := say(t, s, "task", `{"n":-1}`)
		say(t, s, "reply", largest)
		if took := await(t, "reply", time.Minute, func() bool { return replied(s) }); took > 4*hop {
			t.Errorf("the reply took %v, want a round trip", took)
		}
		if got := s.stream("telemetry"); got.Arrived >= task || got.Arrived >= uint64(others) {
			t.Errorf("stream is %+v, want history to be on its way", got)
		}
		s.fleet.mu.Lock()
		if _, there := s.fleet.streamLocked(s.stream("telemetry").Epoch).entries[task]; there {
			t.Error("a record of another kind overtook history")
		}
		s.fleet.mu.Unlock()
	}
	t.Run("History", func(t *testing.T) {
		on(t, nil, func(t *testing.T, s *stage) {
			s.dark()
			for n := range 3000 {
				s.node.note(n)
			}
			s.light(t)
			pass(time.Second)
			wait(t, s, 3000)
			await(t, "confirmed", time.Hour, s.isEmpty)
			if got := len(s.broker.heard(topic(mqtt.UpReply))); got != 2 {
				t.Errorf("the reply was sent %d times, want ahead and in its place", got)
			}
		})
	})
	t.Run("Budget", func(t *testing.T) {
		alter := func(_ *process, o *fleetlink.Options) { o.Budget = func() uint64 { return 2 << 20 } }
		on(t, alter, func(t *testing.T, s *stage) {
			s.dark()
			for n := range 4000 {
				s.node.note(n)
			}
			s.light(t)
			pass(time.Hour)
			if s.node.Status().WaitsTill == nil {
				t.Fatalf("status is %+v, want it to wait", s.node.Status())
			}
			wait(t, s, 4000)
			pass(24 * time.Hour)
			if got := len(s.broker.heard(topic(mqtt.UpReply))); got > 2 {
				t.Errorf("the reply was sent %d times in a day", got)
			}
		})
	})
	t.Run("Present", func(t *testing.T) {
		on(t, nil, func(t *testing.T, s *stage) {
			say(t, s, "reply", largest)
			await(t, "reply", 4*hop, func() bool { return replied(s) })
			await(t, "confirmed", time.Minute, s.isEmpty)
			if got := len(s.broker.heard(topic(mqtt.UpReply))); got != 1 {
				t.Errorf("the reply was sent %d times, want once", got)
			}
		})
	})
}

// TestLink_Doubt: a fleet that is away for days is asked seldom and briefly, and gets
// everything soon after it is back.
func TestLink_Doubt(t *testing.T) {
	on(t, nil, func(t *testing.T, s *stage) {
		s.fleet.setAway(true)
		for n := range 500 {
			s.node.note(n)
		}
		pass(5 * time.Minute)
		if got := s.stream("telemetry"); got.Arrived != 500 || got.Sent != 500 {
			t.Fatalf("stream is %+v, want all sent once", got)
		}
		pass(3 * 24 * time.Hour)
		again := s.stream("telemetry").Sent - 500
		if again < 24 || again > 20*24 {
			t.Errorf("%d entries were sent again in three days, want a few batches of 24", again)
		}
		s.fleet.setAway(false)
		s.node.Refresh()
		took := await(t, "confirmed", time.Hour, s.isEmpty)
		t.Logf("%d entries sent again in three days, all confirmed %v after the fleet was back", again, took)
		if took > time.Minute {
			t.Errorf("confirmed after %v, want within a minute", took)
		}
	})
}

// TestLink_Amnesia: what a broker acknowledged and forgot is sent again.
func TestLink_Amnesia(t *testing.T) {
	on(t, nil, func(t *testing.T, s *stage) {
		s.broker.set(faults{delay: hop, dropAfter: 1})
		for n := range 300 {
			s.node.note(n)
		}
		pass(time.Minute)
		if got := s.stream("telemetry"); got.Arrived != 300 || got.Confirmed != 0 {
			t.Fatalf("stream is %+v, want everything arrived and nothing confirmed", got)
		}
		s.broker.set(faults{delay: hop})
		s.broker.restart(true)
		await(t, "confirmed", time.Minute, s.isEmpty)
	})
}

// TestLink_Historical: what waited through a time without link says so, the rest does
// not.
func TestLink_Historical(t *testing.T) {
	on(t, nil, func(t *testing.T, s *stage) {
		s.node.note(1)
		await(t, "first", time.Minute, s.isEmpty)
		s.dark()
		s.node.note(2)
		s.light(t)
		await(t, "second", time.Minute, s.isEmpty)
		s.node.note(3)
		await(t, "third", time.Minute, s.isEmpty)
		for i, said := range s.broker.heard(topic(mqtt.UpEvent)) {
			u, err := mqtt.DecodeEnvelope(said.payload)
			if err != nil || u.Historical != (i == 1) || u.Seq != uint64(i+1) {
				t.Errorf("entry %d is %+v: %v", i+1, u, err)
			}
		}
	})
}

// TestLink_Pace: history takes half of the link's time, and what happens now does not
// wait for it.
func TestLink_Pace(t *testing.T) {
	on(t, nil, func(t *testing.T, s *stage) {
		s.dark()
		const entries = 3000
		for n := range entries {
			s.node.note(n)
		}
		s.light(t)
		began := time.Now()
		pass(time.Second)
		s.node.commit(1)
		reply := await(t, "reply", time.Minute, func() bool { s := s.stream("control"); return s.Arrived+1 == s.Next })
		await(t, "history", time.Hour, func() bool { return s.stream("telemetry").Arrived == entries })
		took := time.Since(began)
		// A burst of 24 (of a window of 32) takes a round trip, then rests for one.
		want := entries / 24 * 2 * 2 * hop
		if took < want*9/10 || took > want*12/10 {
			t.Errorf("history of %d entries took %v, want about %v", entries, took, want)
		}
		if reply > 4*hop {
			t.Errorf("a reply took %v amid history, want a round trip", reply)
		}
		status := s.node.Status()
		if status.Drained < entries || status.LinkRate == 0 {
			t.Errorf("status is %+v, want %d drained and a rate", status, entries)
		}
		await(t, "confirmed", time.Hour, s.isEmpty)
		began = time.Now()
		for n := range 500 {
			s.node.note(n)
		}
		await(t, "present", time.Minute, func() bool { return s.stream("telemetry").Arrived == entries+500 })
		if took, most := time.Since(began), 500/32*2*hop*12/10; took > most {
			t.Errorf("500 entries of now took %v, want at most %v", took, most)
		}
	})
}

// TestLink_Unsayable: a record that no envelope can hold leaves a gap, and the rest
// follows.
func TestLink_Unsayable(t *testing.T) {
	small := func(_ *process, o *fleetlink.Options) { o.Session.Tuning.MaxFrame = 4 << 10 }
	on(t, small, func(t *testing.T, s *stage) {
		for _, body := range []string{`{"n":1}`, `not an object`, `{"n":"` + string(make([]byte, 100)) + `"}`, `{"n":"` + long(8<<10) + `"}`, `{"n":5}`} {
			if _, err := s.node.spool.Append(outbox.Record{Class: outbox.D1, Kind: "task", Body: []byte(body)}); err != nil {
				t.Fatal(err)
			}
		}
		await(t, "confirmed", time.Minute, s.isEmpty)
		var types []string
		for _, said := range s.broker.heard(topic(mqtt.UpEvent)) {
			u, err := mqtt.DecodeEnvelope(said.payload)
			if err != nil {
				t.Fatal(err)
			}
			types = append(types, u.Type)
		}
		if len(types) != 5 || types[0] != "task" || types[1] != "gap" || types[2] != "gap" || types[3] != "gap" || types[4] != "task" {
			t.Errorf("types are %q, want three gaps between two tasks", types)
		}
	})
}

func long(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'x'
	}
	return string(b)
}

// broken is a stream that cannot be read for a while.
type broken struct {
	fleetlink.Stream
	until time.Time
}

func (b broken) Read(after outbox.Position, most int) (outbox.Batch, error) {
	if time.Now().Before(b.until) {
		return outbox.Batch{}, errors.New("disk does not answer")
	}
	return b.Stream.Read(after, most)
}

func TestLink_Unreadable(t *testing.T) {
	alter := func(_ *process, o *fleetlink.Options) {
		o.Telemetry = broken{o.Telemetry, time.Now().Add(time.Hour)}
	}
	on(t, alter, func(t *testing.T, s *stage) {
		s.node.note(1)
		s.node.commit(1)
		await(t, "control", time.Minute, func() bool { return s.stream("control").Confirmed == 1 })
		if !hasWarning(s.node.Warnings(), "link-stream-unreadable") {
			t.Errorf("warnings are %+v", s.node.Warnings())
		}
		await(t, "telemetry", 2*time.Hour, s.isEmpty)
		if len(s.node.Warnings()) > 0 {
			t.Errorf("warnings are %+v, want none", s.node.Warnings())
		}
	})
}
