package mqtt_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/fleetlink"
)

// TestFleet_Mosquitto: with a real broker a node says what is promised, and is heard to
// be there again after somebody has said that it is not.
func TestFleet_Mosquitto(t *testing.T) {
	m := startMosquitto(t)
	s := &steady{total: 500, given: true, more: make(chan struct{}), done: make(chan struct{})}
	l, err := fleetlink.New(drainOptions(m.address(), s))
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan mqtt.Delivery, 2000) // more than a node with 500 entries says
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	desk := start(t, mqtt.Options{
		Broker: "tcp://" + m.address(), ClientID: "desk", Inbox: 1000,
		Subscriptions: []string{"hf/v1/bench/n1/up/+"},
		Handle:        func(_ context.Context, d mqtt.Delivery) { heard <- d; d.Ack() },
	})
	desk.await(t, isUp)
	ended := make(chan error, 1)
	running, stop := context.WithCancel(ctx)
	go func() { ended <- l.Run(running) }()
	var next uint64 = 1
	var first edge.Presence
	for next <= s.total {
		d := nextHeard(ctx, t, heard)
		switch topic, _ := mqtt.ParseTopic(d.Topic); topic.Kind {
		case mqtt.UpPresence:
			first = presenceOf(t, d)
		case mqtt.UpEvent:
			u, err := mqtt.DecodeEnvelope(d.Payload)
			if err != nil || u.Seq != next || !u.Historical {
				t.Fatalf("entry is %+v (%v), want %d of history", u, err, next)
			}
			next++
		}
	}
	if !first.Online || first.Session != l.Status().Session {
		t.Errorf("presence is %+v, want online in the session that is up", first)
	}
	late := mqtt.Message{Topic: "hf/v1/bench/n1/up/presence", Payload: []byte(`{"node":"n1","online":false,"session":"former"}`), Retained: true}
	if err := desk.Publish(ctx, late); err != nil {
		t.Fatal(err)
	}
	awaitPresence(ctx, t, heard, func(p edge.Presence) bool { return !p.Online && p.Session == "former" })
	awaitPresence(ctx, t, heard, func(p edge.Presence) bool { return p.Online && p.Session == first.Session })
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run returned %v, want nil", err)
	}
	awaitPresence(ctx, t, heard, func(p edge.Presence) bool { return !p.Online && p.Session == first.Session })
}

func nextHeard(ctx context.Context, t *testing.T, heard <-chan mqtt.Delivery) mqtt.Delivery {
	t.Helper()
	select {
	case d := <-heard:
		return d
	case <-ctx.Done():
		t.Fatal("nothing more is heard")
		return mqtt.Delivery{}
	}
}

func presenceOf(t *testing.T, d mqtt.Delivery) (p edge.Presence) {
	t.Helper()
	if err := json.Unmarshal(d.Payload, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// awaitPresence passes over everything else.
func awaitPresence(ctx context.Context, t *testing.T, heard <-chan mqtt.Delivery, asked func(edge.Presence) bool) {
	t.Helper()
	for {
		d := nextHeard(ctx, t, heard)
		if topic, _ := mqtt.ParseTopic(d.Topic); topic.Kind == mqtt.UpPresence && asked(presenceOf(t, d)) {
			return
		}
	}
}
