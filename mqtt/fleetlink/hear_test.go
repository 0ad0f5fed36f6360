package fleetlink_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/fleetlink"
)

// unacknowledged counts what the broker still waits to be acknowledged, on some topics
// or on all: what the fleet says of itself meanwhile may be on its way.
func (b *broker) unacknowledged(on ...string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.sessions {
		for _, p := range s.waiting {
			if len(on) == 0 || slices.Contains(on, p.topic) {
				n++
			}
		}
	}
	return n
}

// TestLink_Garbage: whatever comes on whatever topic is counted and acknowledged, and
// the node goes on.
func TestLink_Garbage(t *testing.T) {
	on(t, nil, func(t *testing.T, s *stage) {
		random := rand.New(rand.NewPCG(1, 2))
		garbage := func() []byte {
			samples := []string{
				"", "{", "null", "[]", seal, seal + "{}", seal + "null", seal + `{"Version":-1}`, strings.Repeat("[", 9000), strings.Repeat("x", 60<<10),
				`{"online":true,"session":7}`, seal + `{"node":"other","epoch":"00000000c0ffee00","seq":1}`,
				seal + `{"node":"n1","epoch":"00000000c0ffee00","seq":9007199254740991}`, "\x00\xff\xfe",
			}
			return []byte(samples[random.IntN(len(samples))])
		}
		topics := []string{
			topic(mqtt.DownPolicy), topic(mqtt.DownCommand), topic(mqtt.DownFresh), topic(mqtt.DownAck), topic(mqtt.UpPresence),
			"hf/v1/s/n1/down/other", "hf/v1/s/group/presses/command",
		}
		sent := 0
		for range 400 {
			at := topics[random.IntN(len(topics))]
			s.broker.publish(at, garbage(), random.IntN(3) == 0)
			sent++
			pass(200 * time.Millisecond)
		}
		pass(10 * time.Second)
		status := s.node.Status()
		if status.Phase != string(mqtt.Up) || status.Up != 1 || status.Refused < uint64(sent)/2 {
			t.Errorf("status is %+v, want the first connection up and most of %d refused", status, sent)
		}
		if n := s.broker.unacknowledged(); n > 0 {
			t.Errorf("%d messages were not acknowledged", n)
		}
		if told := len(s.node.refused); told < 10 || told > 30 {
			t.Errorf("%d refusals were told in 80 s, want 10 a minute", told)
		}
		s.broker.set(faults{delay: hop})
		s.broker.each(func(g *guest) { g.cut() }) // retained junk comes again with each connection
		s.fleet.want(1)
		s.node.note(1)
		await(t, "policy after garbage", time.Minute, func() bool { return s.fleet.sees() == 1 })
		await(t, "stream after garbage", time.Minute, s.isEmpty)
	})
}

// TestLink_Cleared: that a policy is no longer kept for us, as it is when the node is
// forgotten, is no policy and nothing to complain of.
func TestLink_Cleared(t *testing.T) {
	on(t, nil, func(t *testing.T, s *stage) {
		s.fleet.want(1)
		await(t, "policy", time.Minute, func() bool { return s.fleet.sees() == 1 })
		before := s.node.Status().Refused
		s.broker.publish(topic(mqtt.DownPolicy), nil, true)
		pass(10 * time.Second)
		s.dark()
		s.light(t)
		pass(10 * time.Second)
		status := s.node.Status()
		if status.Refused != before || len(s.node.refused) > 0 || s.broker.unacknowledged() > 0 {
			t.Errorf("%d refused (%q), %d not acknowledged; want none", status.Refused-before, s.node.refused, s.broker.unacknowledged())
		}
		if got := s.fleet.sees(); got != 1 {
			t.Errorf("policy %d is in force after all, want 1", got)
		}
	})
}

// TestLink_SomebodyElses: messages on topics that are not ours, of subscriptions of
// former days, are refused.
func TestLink_SomebodyElses(t *testing.T) {
	on(t, nil, func(t *testing.T, s *stage) {
		before := s.node.Status().Refused
		foreign := []string{"hf/v1/s/n2/down/policy", "hf/v1/other/n1/down/policy", "hf/v1/s/group/mills/command", "weather", "hf/v2/s/n1/down/policy", "hf/v1/s/n1/up/state"}
		for _, at := range foreign {
			s.broker.mu.Lock()
			s.broker.deliverLocked(s.broker.sessions["n1"], parcel{topic: at, payload: sign(policy{9})})
			s.broker.mu.Unlock()
		}
		pass(time.Second)
		if got := s.node.Status().Refused - before; got != uint64(len(foreign)) {
			t.Errorf("%d were refused, want %d", got, len(foreign))
		}
		if s.flash.policy != 0 || s.broker.unacknowledged() != 0 {
			t.Errorf("policy %d governs, %d are not acknowledged", s.flash.policy, s.broker.unacknowledged())
		}
	})
}

// moody takes commands and policies when it likes.
type moody struct {
	takes time.Duration

	mu    sync.Mutex // guards the rest
	err   error
	asked []string
}

func (m *moody) do(_ context.Context, envelope []byte) error {
	if m.takes > 0 {
		<-time.After(m.takes)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, string(envelope))
	return m.err
}

func (m *moody) Take(ctx context.Context, envelope []byte) error  { return m.do(ctx, envelope) }
func (m *moody) Apply(ctx context.Context, envelope []byte) error { return m.do(ctx, envelope) }

func (m *moody) set(err error) (asked int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
	return len(m.asked)
}

// news is what it was asked since, each once, in that order.
func (m *moody) news(since int, prefix string) (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range m.asked[since:] {
		if strings.HasPrefix(one, prefix) && !slices.Contains(all, one) {
			all = append(all, one)
		}
	}
	return all
}

// TestLink_Mood: what cannot be dealt with now is tried again and stays with the broker,
// what finds no room there comes again by itself, and the order holds.
func TestLink_Mood(t *testing.T) {
	for _, kind := range []mqtt.Kind{mqtt.DownPolicy, mqtt.DownCommand} {
		t.Run(string(kind), func(t *testing.T) {
			m := &moody{err: fmt.Errorf("disk is full: %w", edge.ErrUnavailable)}
			alter := func(_ *process, o *fleetlink.Options) { o.Commands, o.Policies = m, m }
			on(t, alter, func(t *testing.T, s *stage) {
				s.broker.publish(topic(kind), []byte("one"), false)
				pass(time.Minute)
				if asked := m.set(m.err); asked < 3 || asked > 6 || s.broker.unacknowledged(topic(kind)) != 1 {
					t.Errorf("asked %d times in a minute with %d not acknowledged, want 3 to 6 and one", asked, s.broker.unacknowledged(topic(kind)))
				}
				var sent []string
				for n := range 100 { // more than there is room for stay with the broker
					sent = append(sent, fmt.Sprint("more", n))
					s.broker.publish(topic(kind), []byte(sent[n]), false)
					pass(time.Millisecond)
				}
				pass(time.Second)
				crowded := s.node.Status().Crowded
				if left := s.broker.unacknowledged(topic(kind)); left != 101 || crowded == 0 {
					t.Errorf("%d are not acknowledged, %d found no room; want 101 and some", left, crowded)
				}
				before := m.set(nil)
				await(t, "taken", 2*time.Hour, func() bool { return s.broker.unacknowledged(topic(kind)) == 0 })
				if got := m.news(before, "more"); !slices.Equal(got, sent) {
					t.Errorf("took %q, want them as they were sent", got)
				}
				m.set(edge.ErrInvalid)
				pass(time.Minute) // answers to hellos of connections before are refused
				refused := s.node.Status().Refused
				s.broker.publish(topic(kind), []byte("never"), false)
				pass(time.Minute)
				if got := s.node.Status().Refused; got != refused+1 || s.broker.unacknowledged(topic(kind)) != 0 {
					t.Errorf("%d refused, %d not acknowledged; want %d and none", got, s.broker.unacknowledged(topic(kind)), refused+1)
				}
			})
		})
	}
}

// TestLink_Burst: what waited at the broker is taken in the order in which it was sent,
// however long each takes, and on one connection if it is no more than a desk sends.
func TestLink_Burst(t *testing.T) {
	for _, c := range []struct{ commands, connections int }{{64, 1}, {500, 20}} {
		t.Run(fmt.Sprint(c.commands), func(t *testing.T) {
			m := &moody{takes: 20 * time.Millisecond}
			on(t, func(_ *process, o *fleetlink.Options) { o.Commands = m }, func(t *testing.T, s *stage) {
				var sent []string
				for n := range c.commands {
					sent = append(sent, fmt.Sprint("command", n))
					s.broker.publish(topic(mqtt.DownCommand), []byte(sent[n]), false)
				}
				took := await(t, "taken", time.Hour, func() bool { return s.broker.unacknowledged(topic(mqtt.DownCommand)) == 0 })
				status := s.node.Status()
				t.Logf("%d commands took %v and %d connections", c.commands, took, status.Up)
				if got := m.news(0, ""); !slices.Equal(got, sent) || status.Up > uint64(c.connections) {
					t.Errorf("took %q on %d connections, want them as they were sent on %d at most", got, status.Up, c.connections)
				}
			})
		})
	}
}

// TestLink_SameAgain: the same message again and again waits once, for a few
// acknowledgements, and is done with in the end.
func TestLink_SameAgain(t *testing.T) {
	m := &moody{err: edge.ErrUnavailable}
	on(t, func(_ *process, o *fleetlink.Options) { o.Policies = m }, func(t *testing.T, s *stage) {
		const times = 100
		at, same := topic(mqtt.DownPolicy), []byte("the same")
		for range times {
			s.broker.publish(at, same, false)
			pass(10 * time.Millisecond)
		}
		pass(time.Second)
		if crowded := s.node.Status().Crowded; crowded == 0 || s.broker.unacknowledged(at) != times {
			t.Errorf("%d of %d were left with the broker, which waits for %d", crowded, times, s.broker.unacknowledged(at))
		}
		pass(time.Hour)
		connections := s.node.Status().Up
		if connections > 20 {
			t.Errorf("%d connections in an hour of one message that cannot be applied", connections)
		}
		m.set(nil)
		await(t, "applied", time.Hour, func() bool { return s.broker.unacknowledged(at) == 0 })
	})
}

// TestLink_Words: a flood of signed words is looked at at a bounded rate, acknowledged, and
// does not keep a later one from being heard.
func TestLink_Words(t *testing.T) {
	for _, kind := range []mqtt.Kind{mqtt.DownAck, mqtt.DownFresh} {
		t.Run(string(kind), func(t *testing.T) {
			var looked atomic.Int64
			alter := func(_ *process, o *fleetlink.Options) {
				confirm := o.Confirm
				o.Confirm = func(ctx context.Context, envelope []byte) (edge.Confirmation, error) {
					looked.Add(1)
					return confirm(ctx, envelope)
				}
				o.Freshness = counting{o.Freshness, &looked}
			}
			on(t, alter, func(t *testing.T, s *stage) {
				before := looked.Load()
				const seconds, each = 20, 200
				for range seconds * each {
					s.broker.publish(topic(kind), []byte("junk"), false)
					pass(time.Second / each)
				}
				pass(time.Second)
				if got := looked.Load() - before; got < 20*seconds || got > 110+21*seconds {
					t.Errorf("looked at %d of %d, want 20 a second and 100 more", got, seconds*each)
				}
				status := s.node.Status()
				if left := s.broker.unacknowledged(); left != 0 || status.Up != 1 || status.Refused < seconds*each {
					t.Errorf("%d are not acknowledged, status %+v", left, status)
				}
				pass(10 * time.Second)
				s.node.commit(1)
				heard := s.node.heard
				s.node.Refresh()
				await(t, "confirmed", time.Minute, s.isEmpty)
				await(t, "answered", time.Minute, func() bool { return s.node.heard > heard })
			})
		})
	}
}

// counting counts the answers that are verified.
type counting struct {
	fleetlink.Freshness
	looked *atomic.Int64
}

func (c counting) Hear(ctx context.Context, envelope []byte) error {
	c.looked.Add(1)
	return c.Freshness.Hear(ctx, envelope)
}

// TestLink_Group: commands for a group of ours are taken.
func TestLink_Group(t *testing.T) {
	on(t, nil, func(t *testing.T, s *stage) {
		s.broker.publish("hf/v1/s/group/presses/command", sign(edge.Command{ID: "all", Counter: 7}), false)
		await(t, "taken", time.Second, func() bool {
			s.flash.mu.Lock()
			defer s.flash.mu.Unlock()
			return s.flash.taken[7] == 1
		})
	})
}
