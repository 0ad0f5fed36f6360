package desk_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/fleet/desk"
	"holdfast/edge/trust"
	"holdfast/mqtt"
)

// TestDesk_ApplyWaiting: a policy that waits at the broker for a node that is away keeps
// its place before an older one, unless that is wanted.
func TestDesk_ApplyWaiting(t *testing.T) {
	eachBroker(t, func(t *testing.T, address string) {
		d := newDesk(t, address)
		away := startNode(t, address, "gw-1", nil)
		away.birth("")
		away.report(1, fmt.Sprintf(`"state":"current","version":1,"digest":%q`, desk.DigestOf(document(t, 1).Payload)))
		away.stop()
		older, waits := document(t, 2), document(t, 3)
		apply := func(a desk.Application) error {
			t.Helper()
			_, err := d.Apply(t.Context(), a)
			return err
		}
		// the newer one is for the group, the older ones for all, and for the node
		if err := apply(desk.Application{Document: waits, To: desk.Wanted{Group: "first"}}); err != nil {
			t.Fatal(err)
		}
		kept := func() string {
			t.Helper()
			return string(listen(t, address, "hf/v1/plant/gw-1/down/policy"))
		}
		other := fleetDocument(t, strings.Replace(policyText(3), "720", "700", 1))
		for name, c := range map[string]struct {
			a     desk.Application
			words string
		}{
			"Node":    {desk.Application{Document: older, To: desk.Wanted{Node: "gw-1"}}, "gw-1: version 3 waits for it at the broker"},
			"All":     {desk.Application{Document: older}, "gw-1: version 3 waits"},
			"Another": {desk.Application{Document: other}, "gw-1: another document of version 3 waits"},
		} {
			t.Run(name, func(t *testing.T) {
				err := apply(c.a)
				if !errors.Is(err, edge.ErrExists) || !strings.Contains(err.Error(), c.words) || !strings.Contains(edge.HintOf(err), "--replace") {
					t.Errorf("Apply = %v, want that %s, and how to help it", err, c.words)
				}
				if got := kept(); got != string(waits.Signed()) {
					t.Errorf("the broker keeps %.200s, want what waited", got)
				}
			})
		}
		if err := apply(desk.Application{Document: waits}); err != nil {
			t.Errorf("Apply of what waits = %v, want nil", err)
		}
		if err := apply(desk.Application{Document: older, To: desk.Wanted{Node: "gw-1"}, Replace: true}); err != nil {
			t.Errorf("Apply that replaces = %v, want nil", err)
		}
		if got := kept(); got != string(older.Signed()) {
			t.Errorf("the broker keeps %.200s, want what replaced it", got)
		}
		if err := apply(desk.Application{Document: document(t, 4)}); err != nil {
			t.Errorf("Apply of a newer one = %v, want nil", err)
		}
	})
}

// TestDesk_ApplyWaitingNothing: what waits and is of no use to the node stands in nobody's
// way.
func TestDesk_ApplyWaitingNothing(t *testing.T) {
	key := newKey(t)
	public, err := trust.KeyOf(key)
	if err != nil {
		t.Fatal(err)
	}
	root := fleetRoot(t, public)
	signed, err := trust.Sign(trust.TypePolicy, []byte(policyText(2)), key)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := fleet.OpenDocument(signed)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		waits  string
		report string
	}{
		"Garbage":           {"garbage", ""},
		"NobodyBelievesIt":  {string(document(t, 9).Signed()), ""},
		"WasTakenBack":      {string(trusted(t, 9, key)), `"state":"current","version":1,"digest":"x","failedVersion":9,"failedWhy":"x"`},
		"RootDocument":      {`{"payloadType":"` + trust.TypeRoot + `"}`, ""},
		"EmptyWhichIsNone":  {"", ""},
		"OlderThanTheOther": {string(trusted(t, 1, key)), ""},
	} {
		t.Run(name, func(t *testing.T) {
			address := embedded(t)
			n := startNode(t, address, "gw-1", nil)
			n.birth("")
			if c.report != "" {
				n.report(1, c.report)
			}
			if c.waits != "" {
				if err := n.session.Publish(t.Context(), mqtt.Message{Topic: n.topic(mqtt.DownPolicy), Payload: []byte(c.waits), Retained: true}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := newDesk(t, address).Apply(t.Context(), desk.Application{Document: ours, Root: root}); err != nil {
				t.Errorf("Apply = %v, want nil", err)
			}
		})
	}
}

func trusted(tb testing.TB, version uint64, key []byte) []byte {
	tb.Helper()
	signed, err := trust.Sign(trust.TypePolicy, []byte(policyText(version)), key)
	if err != nil {
		tb.Fatal(err)
	}
	return signed
}

// listen is what a broker keeps on a topic.
func listen(tb testing.TB, address, topic string) []byte {
	tb.Helper()
	heard := make(chan []byte, 1)
	session, err := mqtt.New(mqtt.Options{
		Broker: "tcp://" + address, ClientID: "listener", Clean: true, Subscriptions: []string{topic},
		Tuning: mqtt.Tuning{MaxFrame: mqtt.PolicyFrame},
		Handle: func(_ context.Context, m mqtt.Delivery) {
			m.Ack()
			select {
			case heard <- m.Payload:
			default:
			}
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, leave := context.WithTimeout(tb.Context(), patience)
	ended := make(chan error, 1)
	go func() { ended <- session.Run(ctx) }()
	defer func() { leave(); <-ended }()
	select {
	case payload := <-heard:
		return payload
	case <-ctx.Done():
		tb.Fatalf("the broker keeps nothing on %s", topic)
		return nil
	}
}
