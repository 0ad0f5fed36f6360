package sitelink_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"holdfast/build/mosquitto"
	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/sitelink"
)

// session runs an mqtt.Session until the test ends.
func session(tb testing.TB, o mqtt.Options) *mqtt.Session {
	tb.Helper()
	o.Random = func() float64 { return 0.01 } // the test is in a hurry
	s, err := mqtt.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		<-ended
	})
	awaitUp(tb, s)
	return s
}

func awaitUp(tb testing.TB, s *mqtt.Session) {
	tb.Helper()
	timeout := time.After(30 * time.Second)
	for {
		changed := s.Changed()
		if s.State().Phase == mqtt.Up {
			return
		}
		select {
		case <-changed:
		case <-timeout:
			tb.Fatalf("session is %+v, want up", s.State())
		}
	}
}

// ear notes the verdicts by their ids.
type ear struct {
	mu      sync.Mutex // guards the rest
	plain   map[string]int
	flagged map[string]int
	news    chan struct{}
}

func (e *ear) hear(tb testing.TB) func(context.Context, mqtt.Delivery) {
	e.plain, e.flagged, e.news = map[string]int{}, map[string]int{}, make(chan struct{}, 1)
	return func(_ context.Context, d mqtt.Delivery) {
		v := readVerdict(tb, d.Payload)
		e.mu.Lock()
		if d.Duplicate || v["duplicate"] == true {
			e.flagged[v["id"].(string)]++
		} else {
			e.plain[v["id"].(string)]++
		}
		e.mu.Unlock()
		d.Ack()
		select {
		case e.news <- struct{}{}:
		default:
		}
	}
}

// missing are the ids without a verdict, once nothing more comes.
func (e *ear) missing(ids map[string]int) (lost []string) {
	for quiet := false; ; {
		e.mu.Lock()
		lost = nil
		for id := range ids {
			if e.plain[id]+e.flagged[id] == 0 {
				lost = append(lost, id)
			}
		}
		e.mu.Unlock()
		if len(lost) == 0 || quiet {
			return lost
		}
		select {
		case <-e.news:
		case <-time.After(3 * time.Second):
			quiet = true
		}
	}
}

// stream publishes messages one after the other until the broker has each, with
// restarts of the broker in between, and returns how often each id was published.
func stream(t *testing.T, m *mosquitto.Broker, s *mqtt.Session, restarts int) map[string]int {
	const messages = 2000
	sent := map[string]int{}
	var broker sync.WaitGroup
	flying := make(chan struct{}, 8)
	var mu sync.Mutex
	var work sync.WaitGroup
	for i := range messages {
		if restarts > 0 && i%(messages/(restarts+1)) == messages/(restarts+1)-1 {
			broker.Wait()
			broker.Go(func() { again(t, m) })
		}
		flying <- struct{}{}
		work.Go(func() {
			defer func() { <-flying }()
			id := fmt.Sprint("m", i)
			for {
				awaitUp(t, s)
				err := s.Publish(t.Context(), mqtt.Message{Topic: fmt.Sprintf("in/%d", i%5), Payload: request(id)})
				if !errors.Is(err, mqtt.ErrDown) {
					mu.Lock()
					sent[id]++
					mu.Unlock()
				}
				if err == nil {
					return
				}
			}
		})
	}
	work.Wait()
	broker.Wait()
	return sent
}

// TestLink_BrokerRestarts: while our process lives, every message that the broker took
// has a verdict, and one without the flag only as often as it was published.
func TestLink_BrokerRestarts(t *testing.T) {
	m := startMosquitto(t)
	f := &tasks{takes: 5 * time.Millisecond}
	o := sitelink.Options{Tasks: f, Rate: 100_000, VerdictLife: time.Minute}
	o.Link.Broker, o.Link.Random = "tcp://"+m.Address(), func() float64 { return 0.01 }
	l := start(t, o, edge.Trigger{MQTT: "in/+", Model: "vector", Class: edge.Normal, Deadline: edge.Duration(time.Minute), Reply: "out/+"})
	l.await(t, isUp)
	var e ear
	session(t, mqtt.Options{Broker: "tcp://" + m.Address(), ClientID: "ear", Subscriptions: []string{"out/#"}, Handle: e.hear(t), Inbox: 1 << 12})
	sent := stream(t, m, session(t, mqtt.Options{Broker: "tcp://" + m.Address(), ClientID: "mouth"}), 5)
	if lost := e.missing(sent); len(lost) > 0 {
		t.Errorf("%d of %d messages have no verdict: %.5q\nlink: %+v", len(lost), len(sent), lost, l.Status())
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	twice, flagged := 0, 0
	for id, n := range e.plain {
		if n > sent[id] {
			twice++
		}
	}
	for _, n := range e.flagged {
		flagged += n
	}
	if twice > 0 {
		t.Errorf("%d messages have more verdicts without the flag than they were published", twice)
	}
	got := l.Status()
	if got.Link.Connections < 6 || got.Duplicates+got.Redelivered+got.ToldAgain == 0 {
		t.Errorf("link is %+v: the weather was too fine to prove anything", got)
	}
	t.Logf("%d messages, %d tasks, %d verdicts flagged, %d known duplicates, %d told again", len(sent), len(f.all()), flagged, got.Duplicates, got.ToldAgain)
}

// TestNaive_BrokerRestarts is the control: who acknowledges at once and publishes once
// loses verdicts in the same weather.
func TestNaive_BrokerRestarts(t *testing.T) {
	m := startMosquitto(t)
	var work sync.WaitGroup
	t.Cleanup(work.Wait)
	var s *mqtt.Session
	ready := make(chan struct{})
	s = session(t, mqtt.Options{Broker: "tcp://" + m.Address(), ClientID: "naive", Inbox: 1 << 12, Subscriptions: []string{"in/+"}, Handle: func(_ context.Context, d mqtt.Delivery) {
		<-ready
		d.Ack()
		work.Go(func() {
			<-time.After(5 * time.Millisecond)
			id := readVerdict(t, d.Payload)["id"]
			_ = s.Publish(context.Background(), mqtt.Message{Topic: "out/x", Payload: fmt.Appendf(nil, `{"id":%q}`, id)})
		})
	}})
	close(ready)
	var e ear
	session(t, mqtt.Options{Broker: "tcp://" + m.Address(), ClientID: "ear", Subscriptions: []string{"out/#"}, Handle: e.hear(t), Inbox: 1 << 12})
	sent := stream(t, m, session(t, mqtt.Options{Broker: "tcp://" + m.Address(), ClientID: "mouth"}), 5)
	if lost := e.missing(sent); len(lost) == 0 {
		t.Error("the naive link lost nothing: this weather proves nothing")
	}
}
