package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/mqtt"
	"holdfast/mqtt/broker"
)

// brisk waits for a small part of what a session waits for between attempts.
func brisk() float64 { return 0.0005 }

// onEach runs a test on both brokers.
func onEach(t *testing.T, test func(t *testing.T, b server)) {
	t.Run("Mosquitto", func(t *testing.T) { test(t, startMosquitto(t)) })
	t.Run("Embedded", func(t *testing.T) { test(t, startEmbedded(t, broker.Options{})) })
}

// notebook collects deliveries.
type notebook struct {
	mu    sync.Mutex
	notes []mqtt.Delivery
	news  chan struct{}
	ack   bool
}

func newNotebook() *notebook { return &notebook{news: make(chan struct{}), ack: true} }

func (n *notebook) handle(_ context.Context, d mqtt.Delivery) {
	n.mu.Lock()
	n.notes = append(n.notes, d)
	ack := n.ack
	close(n.news)
	n.news = make(chan struct{})
	n.mu.Unlock()
	if ack {
		d.Ack()
	}
}

// await returns the notes as soon as they are as asked.
func (n *notebook) await(tb testing.TB, what string, asked func([]mqtt.Delivery) bool) []mqtt.Delivery {
	tb.Helper()
	late := time.After(20 * time.Second)
	for {
		n.mu.Lock()
		notes, news := slices.Clone(n.notes), n.news
		n.mu.Unlock()
		if asked(notes) {
			return notes
		}
		select {
		case <-news:
		case <-late:
			tb.Fatalf("%s did not come within 20 s; %d messages did", what, len(notes))
		}
	}
}

func has(payload string) func([]mqtt.Delivery) bool {
	return func(notes []mqtt.Delivery) bool {
		return slices.ContainsFunc(notes, func(d mqtt.Delivery) bool { return string(d.Payload) == payload })
	}
}

// listen is a subscriber on the far side. It is what others are held against, so it
// takes whatever comes at once.
func listen(t *testing.T, at, id string, filters ...string) (*notebook, running) {
	n := newNotebook()
	s := start(t, mqtt.Options{Broker: "tcp://" + at, ClientID: id, Random: brisk, Inbox: 1 << 14, Subscriptions: filters, Handle: n.handle})
	s.await(t, isUp)
	return n, s
}

func text(topic, payload string) mqtt.Message {
	return mqtt.Message{Topic: topic, Payload: []byte(payload)}
}

func TestSession_RealBrokers(t *testing.T) {
	t.Run("MessagesArrive", func(t *testing.T) { onEach(t, messagesArrive) })
	t.Run("MosquittoHears", func(t *testing.T) { onEach(t, mosquittoHears) })
	t.Run("UnacknowledgedComesAgain", func(t *testing.T) { onEach(t, comesAgain) })
	t.Run("WillOnCutOnly", func(t *testing.T) { onEach(t, willOnCutOnly) })
	t.Run("RestartWithAmnesia", func(t *testing.T) { onEach(t, restartWithAmnesia) })
	t.Run("TakenOver", func(t *testing.T) { onEach(t, takenOver) })
}

func messagesArrive(t *testing.T, b server) {
	n, _ := listen(t, b.address(), "far", "a/+", "kept")
	s := start(t, mqtt.Options{Broker: "tcp://" + b.address(), ClientID: "near"})
	s.await(t, isUp)
	large := strings.Repeat("x", mqtt.DefaultFrame-300)
	for _, m := range []mqtt.Message{text("a/1", "one"), text("a/2", ""), text("a/3", large), {Topic: "kept", Payload: []byte("kept"), Retained: true}} {
		if err := s.Publish(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	n.await(t, "four messages", func(notes []mqtt.Delivery) bool { return len(notes) == 4 })
	n.await(t, "the large one", has(large))
	late, _ := listen(t, b.address(), "late", "kept")
	if got := late.await(t, "the retained message", has("kept")); !got[0].Retained {
		t.Error("what the broker remembered is not marked retained")
	}
}

// mosquittoHears: others' clients read what we send.
func mosquittoHears(t *testing.T, b server) {
	s := start(t, mqtt.Options{Broker: "tcp://" + b.address()})
	s.await(t, isUp)
	topic := mqtt.Topic{Site: "plant", Node: "press-1", Kind: mqtt.UpState}.String()
	if err := s.Publish(t.Context(), mqtt.Message{Topic: topic, Payload: []byte(`{"v":1}`), Retained: true}); err != nil {
		t.Fatal(err)
	}
	if got, want := hear(t, b.address(), mqtt.FleetFilter("plant", mqtt.UpState), 1), topic+` {"v":1}`; got[0] != want {
		t.Errorf("mosquitto_sub heard %q, want %q", got[0], want)
	}
}

// comesAgain: a message nobody acknowledged comes on the next connection, and so
// does one sent while nobody was there.
func comesAgain(t *testing.T, b server) {
	n, first := listen(t, b.address(), "far", "a")
	n.ack = false
	s := start(t, mqtt.Options{Broker: "tcp://" + b.address(), ClientID: "near"})
	s.await(t, isUp)
	if err := s.Publish(t.Context(), text("a", "held")); err != nil {
		t.Fatal(err)
	}
	n.await(t, "the message", has("held"))
	first.stop()
	if err := s.Publish(t.Context(), text("a", "away")); err != nil {
		t.Fatal(err)
	}
	again, second := listen(t, b.address(), "far", "a")
	notes := again.await(t, "what was held", has("held"))
	again.await(t, "what was missed", has("away"))
	i := slices.IndexFunc(notes, func(d mqtt.Delivery) bool { return string(d.Payload) == "held" })
	if !notes[i].Duplicate || !second.State().Resumed {
		t.Errorf("duplicate is %v, resumed %v; want both true", notes[i].Duplicate, second.State().Resumed)
	}
}

func willOnCutOnly(t *testing.T, b server) {
	n, _ := listen(t, b.address(), "far", "presence")
	p := startProxy(t, b.address(), 1)
	o := mqtt.Options{Broker: "tcp://" + p.address(), ClientID: "near", Random: brisk, Will: func() *mqtt.Message { m := text("presence", "vanished"); return &m }}
	orderly := start(t, o)
	orderly.await(t, isUp)
	if err := orderly.Publish(t.Context(), text("presence", "left")); err != nil {
		t.Fatal(err)
	}
	orderly.stop()
	s := start(t, o)
	s.await(t, isUp)
	if err := s.Publish(t.Context(), text("presence", "back")); err != nil {
		t.Fatal(err)
	}
	if notes := n.await(t, "the return", has("back")); len(notes) != 2 {
		t.Errorf("after an orderly end %d messages came, want left and back without a will", len(notes))
	}
	p.cut()
	n.await(t, "the will", has("vanished"))
}

func restartWithAmnesia(t *testing.T, b server) {
	n, far := listen(t, b.address(), "far", "a")
	s := start(t, mqtt.Options{Broker: "tcp://" + b.address(), ClientID: "near", Random: brisk})
	for round := range 3 {
		s.await(t, isUp)
		far.await(t, isUp)
		payload := fmt.Sprint(round)
		if err := s.Publish(t.Context(), text("a", payload)); err != nil {
			t.Fatal(err)
		}
		n.await(t, "message "+payload, has(payload))
		was := [2]uint64{s.State().Connections, far.State().Connections}
		b.restart(t)
		s.await(t, func(state mqtt.State) bool { return isUp(state) && state.Connections > was[0] })
		far.await(t, func(state mqtt.State) bool { return isUp(state) && state.Connections > was[1] })
		if s.State().Resumed {
			t.Error("the session is resumed, want that the broker has forgotten it")
		}
	}
}

// takenOver: two with one client id throw each other out; each time is a failure of
// which the rest of the fleet hears nothing, and the wait grows.
func takenOver(t *testing.T, b server) {
	first := start(t, mqtt.Options{Broker: "tcp://" + b.address(), ClientID: "twin", Random: func() float64 { return 0.9 }})
	first.await(t, isUp)
	second := start(t, mqtt.Options{Broker: "tcp://" + b.address(), ClientID: "twin", Random: func() float64 { return 0.9 }})
	second.await(t, isUp)
	if got := first.await(t, isWaiting); got.Failure.Cause != mqtt.Lost || got.Wait < time.Second {
		t.Errorf("the first is down for %v and waits %v, want lost and over a second", got.Failure.Cause, got.Wait)
	}
}

// TestSession_Faults publishes through a network that cuts, delays and, below TLS,
// loses bytes. Whatever was acknowledged must reach the far side.
func TestSession_Faults(t *testing.T) {
	plain := []faults{{lives: 2000}, {lives: 4000, pieces: 3}, {lives: 3000, delay: 2 * time.Millisecond}}
	t.Run("Mosquitto", func(t *testing.T) {
		b := startMosquitto(t)
		none(t, weather(t, b.address(), mqtt.Options{}, plain, b.address()))
	})
	t.Run("Embedded", func(t *testing.T) {
		b := startEmbedded(t, broker.Options{})
		none(t, weather(t, b.address(), mqtt.Options{}, plain, b.address()))
	})
	t.Run("EmbeddedLosesBytesBelowTLS", func(t *testing.T) {
		a := newAuthority(t)
		certificate, key := a.valid(t, "broker.test")
		b := startEmbedded(t, broker.Options{Anonymous: true, Listen: []broker.Listener{
			{Address: "127.0.0.1:0"}, {Address: "127.0.0.1:0", TLS: broker.TLS{Certificate: certificate, Key: key}},
		}})
		none(t, weather(t, b.all[1], mqtt.Options{TLS: mqtt.TLS{CA: a.CA, ServerName: "broker.test"}}, []faults{{drops: 150}, {drops: 60, pieces: 100}}, b.at))
	})
	t.Run("ControlBrokerThatLies", func(t *testing.T) { // it acknowledges all and delivers nine in ten
		var reads atomic.Int64
		b := startEmbedded(t, broker.Options{Access: func(c broker.Client, _ string, write bool) bool {
			return write || c.ID != "far" || reads.Add(1)%10 != 5
		}})
		if missing := weather(t, b.address(), mqtt.Options{}, plain[:1], b.address()); missing == 0 {
			t.Error("nothing was found missing: the other results mean nothing")
		}
	})
}

func none(t *testing.T, missing int) {
	t.Helper()
	if missing > 0 {
		t.Errorf("%d messages were acknowledged and did not arrive", missing)
	}
}

// weather sends messages through each kind of fault, then a last one in fair weather,
// and returns how many of the acknowledged ones did not arrive before that.
func weather(t *testing.T, at string, o mqtt.Options, kinds []faults, farAt string) (missing int) {
	n, far := listen(t, farAt, "far", "a")
	p := startProxy(t, at, 7)
	scheme := "tcp://"
	if o.TLS.CA != "" {
		scheme = "tls://"
	}
	o.Broker, o.ClientID, o.Random = scheme+p.address(), "near", brisk
	o.WriteTimeout, o.AckTimeout, o.ConnectTimeout = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	s := start(t, o)
	unseen, acknowledged := map[string]bool{}, 0
	for i, kind := range kinds {
		p.set(kind)
		p.cut()
		for payload := range publishUntilCuts(t, s, p, fmt.Sprint(i), 12) {
			unseen[payload] = true
			acknowledged++
		}
	}
	p.set(faults{})
	p.cut()
	for range 2 { // the broker that lies drops one in ten, which may be the last
		for s.Publish(t.Context(), text("a", "last")) != nil {
			s.await(t, isUp)
		}
	}
	notes := n.await(t, "the last message", has("last"))
	for _, d := range notes {
		delete(unseen, string(d.Payload))
	}
	if got := far.State(); got.Connections != 1 || got.Overflowed != 0 {
		t.Errorf("the far side lost its connection or its place: %+v", got)
	}
	state := s.State()
	t.Logf("%d acknowledged, %d deliveries, %d connections, %d unacknowledged", acknowledged, len(notes), state.Connections, state.Unacknowledged)
	if acknowledged < 50 || state.Connections < uint64(12*len(kinds)) || state.Unacknowledged == 0 {
		t.Errorf("only %d acknowledged over %d connections with %d unacknowledged: the weather was too fine to prove anything", acknowledged, state.Connections, state.Unacknowledged)
	}
	return len(unseen)
}

// publishUntilCuts publishes from several goroutines until the session has
// reconnected so many times, and returns what was acknowledged.
func publishUntilCuts(t *testing.T, s running, p *proxy, name string, reconnects uint64) map[string]bool {
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	target := s.State().Connections + reconnects
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() {
			for i := 0; s.State().Connections < target; i++ {
				payload := fmt.Sprintf("%s/%d/%d", name, w, i)
				err := s.Publish(t.Context(), text("a", payload))
				switch {
				case err == nil:
					mu.Lock()
					acknowledged[payload] = true
					mu.Unlock()
				case errors.Is(err, mqtt.ErrDown):
					changed := s.Changed()
					if !isUp(s.State()) {
						<-changed
					}
				case !errors.Is(err, mqtt.ErrUnacknowledged):
					t.Errorf("Publish returned %v, want ErrUnacknowledged", err)
					return
				}
			}
		})
	}
	workers.Wait()
	return acknowledged
}
