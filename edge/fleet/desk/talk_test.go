package desk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/fleet/desk"
	"holdfast/edge/trust"
	"holdfast/mqtt"
)

func TestDesk_Nodes(t *testing.T) {
	eachBroker(t, func(t *testing.T, address string) {
		one := startNode(t, address, "gw-1", nil)
		one.birth(`,"outbox":[{"name":"control","epoch":"` + epoch + `","next":9,"confirmed":4,"waiting":4}]`)
		one.report(1, `"state":"current","name":"first","version":3`)
		two := startNode(t, address, "gw-2", nil)
		two.birth("")
		two.say(mqtt.UpPresence, `{"node":"gw-2","online":false,"session":"s1"}`)
		two.say(mqtt.UpState, "garbage")
		startNode(t, address, "gw-3", nil).say(mqtt.UpPresence, strings.Repeat("x", 60_000))

		census, err := newDesk(t, address).Nodes(t.Context())
		if err != nil || len(census.Nodes) != 2 || census.Strange != 2 {
			t.Fatalf("Nodes = %+v, %v; want two nodes and two messages nobody can read", census, err)
		}
		first, second := census.Nodes[0], census.Nodes[1]
		if first.Connection != desk.Online || first.Policy() != "first v3 current" || first.Backlog() != 4 {
			t.Errorf("gw-1 is %s, policy %q, backlog %d; want online, first v3 current, 4; %+v", first.Connection, first.Policy(), first.Backlog(), first)
		}
		if second.Connection != desk.Offline {
			t.Errorf("gw-2 is %s, want offline", second.Connection)
		}
	})
}

func TestDesk_Unreachable(t *testing.T) {
	_, err := newDesk(t, freeAddress(t)).Nodes(t.Context())
	if !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("Nodes = %v, want %v", err, edge.ErrUnavailable)
	}
}

// document is a policy of a version for the group first, signed.
func document(tb testing.TB, version uint64) *fleet.Document {
	tb.Helper()
	return fleetDocument(tb, policyText(version))
}

func policyText(version uint64) string {
	return fmt.Sprintf(`{"apiVersion":"holdfast/v1","kind":"Policy","metadata":{"name":"line","version":%d,"audience":{"group":"first"}},"lease":{"hours":720,"boots":200}}`, version)
}

func fleetDocument(tb testing.TB, payload string) *fleet.Document {
	tb.Helper()
	envelope, err := trust.Sign(trust.TypePolicy, []byte(payload), newKey(tb))
	if err != nil {
		tb.Fatal(err)
	}
	d, err := fleet.OpenDocument(envelope)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func digest(tb testing.TB, envelope []byte) string {
	tb.Helper()
	d, err := fleet.OpenDocument(envelope)
	if err != nil {
		tb.Fatal(err)
	}
	return desk.DigestOf(d.Payload)
}

func TestDesk_Apply(t *testing.T) {
	obey := func(n *node, kind mqtt.Kind, payload []byte) {
		if kind == mqtt.DownPolicy {
			n.report(2, fmt.Sprintf(`"state":"current","version":2,"digest":%q`, digest(n.tb, payload)))
		}
	}
	for name, c := range map[string]struct {
		does func(n *node, kind mqtt.Kind, payload []byte)
		want desk.ApplyStage
		why  string
	}{
		"Obeys": {obey, desk.ApplyDone, ""},
		"TellsByDelta": {func(n *node, kind mqtt.Kind, payload []byte) {
			if kind == mqtt.DownPolicy {
				n.say(mqtt.UpDelta, fmt.Sprintf(`{"node":"gw-1","session":"s1","from":1,"to":2,"patch":{"policy":{"version":2,"digest":%q}}}`, digest(n.tb, payload)))
			}
		}, desk.ApplyDone, ""},
		"Refuses": {func(n *node, kind mqtt.Kind, _ []byte) {
			if kind == mqtt.DownPolicy {
				n.say(mqtt.UpEvent, n.envelope(1, "event", `{"seq":1,"at":"2026-11-21T08:00:00Z","kind":"policy-refused","subject":"gw-1","cause":"rollback: too old"}`))
			}
		}, desk.ApplyRefused, "rollback: too old"},
		"TakesBack": {func(n *node, kind mqtt.Kind, _ []byte) {
			if kind == mqtt.DownPolicy {
				n.report(2, `"state":"previous","version":1,"failedVersion":2,"failedWhy":"start-failed of line/digits"`)
			}
		}, desk.ApplyBack, "start-failed of line/digits"},
		"HasNewer": {func(n *node, kind mqtt.Kind, _ []byte) {
			if kind == mqtt.DownPolicy {
				n.report(2, `"state":"current","version":3,"digest":"sha256:x"`)
			}
		}, desk.ApplyNewer, "it has version 3, and a node never goes back"},
	} {
		t.Run(name, func(t *testing.T) {
			eachBroker(t, func(t *testing.T, address string) {
				n := startNode(t, address, "gw-1", c.does)
				n.birth("")
				n.report(1, `"state":"current","version":1`)
				all, err := newDesk(t, address).Apply(t.Context(), desk.Application{Document: document(t, 2), Wait: patience})
				if err != nil || len(all) != 1 || all[0].Stage != c.want || all[0].Why != c.why {
					t.Errorf("Apply = %+v, %v; want %s %q", all, err, c.want, c.why)
				}
			})
		})
	}
}

// TestDesk_ApplyMeansWhom: group, name and labels narrow down, and nobody else hears.
func TestDesk_ApplyMeansWhom(t *testing.T) {
	address := embedded(t)
	mine, other := startNode(t, address, "gw-1", nil), startNode(t, address, "gw-2", nil)
	mine.birth("")
	other.say(mqtt.UpPresence, `{"node":"gw-2","online":true,"session":"s1","groups":["second"]}`)
	d := newDesk(t, address)

	var told []string
	a := desk.Application{Document: document(t, 2), Wait: 50 * time.Millisecond, Tell: func(a desk.Applied) { told = append(told, a.Node+" "+string(a.Stage)) }}
	all, err := d.Apply(t.Context(), a)
	if err != nil || len(all) != 1 || all[0].Stage != desk.ApplySent || !slices.Equal(told, []string{"gw-1 sent"}) {
		t.Errorf("Apply = %+v, %v, told %v; want gw-1 sent and no answer", all, err, told)
	}
	eventually(t, "gw-1 has the policy", func() bool { return len(mine.got(mqtt.DownPolicy)) > 0 })
	if got := other.got(mqtt.DownPolicy); len(got) != 0 {
		t.Errorf("gw-2 got %d policies that are not for it", len(got))
	}
	for name, to := range map[string]desk.Wanted{"Group": {Group: "second"}, "Label": {Labels: map[string]string{"line": "4"}}, "Node": {Node: "gw-2"}} {
		t.Run(name, func(t *testing.T) {
			all, err := d.Apply(t.Context(), desk.Application{Document: document(t, 2), To: to})
			if err == nil || len(all) != 0 {
				t.Errorf("Apply = %+v, %v; want an error: nobody is meant", all, err)
			}
		})
	}
	t.Run("NeverSeen", func(t *testing.T) {
		all, err := d.Apply(t.Context(), desk.Application{Document: document(t, 2), To: desk.Wanted{Node: "gw-9"}, Wait: 50 * time.Millisecond})
		if err != nil || len(all) != 1 || all[0].Stage != desk.ApplyOffline {
			t.Errorf("Apply = %+v, %v; want it kept for gw-9", all, err)
		}
		late := startNode(t, address, "gw-9", nil)
		eventually(t, "the broker kept it", func() bool { return len(late.got(mqtt.DownPolicy)) == 1 })
	})
}

// TestDesk_ApplyOlder: what a node would refuse does not take the place of what it has.
func TestDesk_ApplyOlder(t *testing.T) {
	address := embedded(t)
	n := startNode(t, address, "gw-1", nil)
	n.birth("")
	newest := document(t, 2)
	n.report(1, fmt.Sprintf(`"state":"current","version":2,"digest":%q`, desk.DigestOf(newest.Payload)))
	d, folder := newDesk(t, address), openFolder(t)
	if _, err := d.Apply(t.Context(), desk.Application{Document: newest, Folder: folder}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the newest is there", func() bool { return len(n.got(mqtt.DownPolicy)) == 1 })
	other := fleetDocument(t, strings.Replace(policyText(2), "720", "700", 1))
	for name, c := range map[string]struct {
		document *fleet.Document
		words    string
	}{
		"Older":   {document(t, 1), "gw-1: it has version 2, and a node never goes back"},
		"Another": {other, "gw-1: its version 2 is another document"},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := d.Apply(t.Context(), desk.Application{Document: c.document, Wait: patience})
			if !errors.Is(err, edge.ErrExists) || !strings.Contains(err.Error(), c.words) || all != nil {
				t.Errorf("Apply = %+v, %v; want that %s", all, err, c.words)
			}
			if err := folder.KeepDocument(c.document); !errors.Is(err, edge.ErrExists) {
				t.Errorf("KeepDocument = %v, want %v", err, edge.ErrExists)
			}
		})
	}
	if got := n.got(mqtt.DownPolicy); len(got) != 1 {
		t.Errorf("the node got %d policies, want the newest alone", len(got))
	}
	if err := folder.KeepDocument(newest); err != nil {
		t.Errorf("KeepDocument of the same = %v, want nil", err)
	}
	if err := folder.KeepDocument(document(t, 3)); err != nil {
		t.Errorf("KeepDocument of the next = %v, want nil", err)
	}
}

// TestDesk_SendKeeps: a command is kept from the moment it is published, and what never
// was leaves nothing.
func TestDesk_SendKeeps(t *testing.T) {
	address := embedded(t)
	startNode(t, address, "gw-1", nil).birth("")
	folder, key := openFolder(t), newKey(t)
	order := func(draft desk.Draft) desk.Order {
		t.Helper()
		envelope, _, err := folder.Sign(draft, time.Now(), key)
		if err != nil {
			t.Fatal(err)
		}
		return desk.Order{Envelope: envelope, Folder: folder}
	}
	kept := func(id string) bool {
		t.Helper()
		envelope, err := folder.Command(id)
		if err != nil {
			t.Fatal(err)
		}
		return envelope != nil
	}
	out := order(restart("out"))
	if answers, err := newDesk(t, address).Send(t.Context(), out); err != nil || answers == nil || !kept("out") {
		t.Errorf("Send = %v, %v, kept %v; want it sent and kept", answers, err, kept("out"))
	}
	nobody := restart("nobody")
	nobody.Audience = edge.Audience{Group: "nosuch"}
	if answers, err := newDesk(t, address).Send(t.Context(), order(nobody)); !errors.Is(err, edge.ErrNotFound) || answers != nil || kept("nobody") {
		t.Errorf("Send to nobody = %v, %v, kept %v; want nothing kept", answers, err, kept("nobody"))
	}
	away := newDesk(t, freeAddress(t))
	if answers, err := away.Send(t.Context(), order(restart("away"))); !errors.Is(err, edge.ErrUnavailable) || answers != nil || kept("away") {
		t.Errorf("Send without a broker = %v, %v, kept %v; want nothing kept", answers, err, kept("away"))
	}
	if _, err := away.Send(t.Context(), out); !errors.Is(err, edge.ErrUnavailable) || !kept("out") {
		t.Errorf("Send again without a broker = %v, kept %v; want that what is out stays kept", err, kept("out"))
	}
}

// TestDesk_SendRefused: a node that does not believe a command cannot answer it, and says
// so in an event.
func TestDesk_SendRefused(t *testing.T) {
	event := func(n *node, seq uint64) string {
		return n.envelope(seq, "event", `{"seq":1,"at":"2026-11-21T08:00:00Z","kind":"command-refused","subject":"wrong_role","cause":"key 12 is of another role"}`)
	}
	naming := func(n *node, message []byte) string {
		return strings.Replace(event(n, 2), `"cause":`, `"facts":{"message":"`+edge.MessageDigest(message)+`"},"cause":`, 1)
	}
	for name, c := range map[string]struct {
		says func(n *node, message []byte)
		want string
	}{
		"SaysWhich":   {func(n *node, message []byte) { n.say(mqtt.UpEvent, naming(n, message)) }, "wrong_role: key 12 is of another role"},
		"SaysAnother": {func(n *node, _ []byte) { n.say(mqtt.UpEvent, naming(n, []byte("garbage"))) }, ""},
		"Says":        {func(n *node, _ []byte) { n.say(mqtt.UpEvent, event(n, 2)) }, "wrong_role: key 12 is of another role"},
		"LongAgo": {func(n *node, _ []byte) {
			n.say(mqtt.UpEvent, strings.Replace(event(n, 2), `"historical":false`, `"historical":true`, 1))
		}, ""},
		"AndYetObeys": {func(n *node, _ []byte) {
			n.say(mqtt.UpEvent, event(n, 2))
			n.say(mqtt.UpReply, n.envelope(3, "reply", `{"command":"one","stage":"received"}`))
		}, ""},
		"AboutAnother": {func(n *node, _ []byte) { n.say(mqtt.UpEvent, strings.Replace(event(n, 2), "command-", "message-", 1)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := embedded(t)
			n := startNode(t, address, "gw-1", func(n *node, kind mqtt.Kind, message []byte) {
				if kind == mqtt.DownCommand {
					c.says(n, message)
				}
			})
			n.birth("")
			n.say(mqtt.UpEvent, event(n, 1)) // before the command
			wait := 2 * time.Second
			if c.want != "" {
				wait = patience // it need not be waited for
			}
			started := time.Now()
			answers, err := newDesk(t, address).Send(t.Context(), desk.Order{Envelope: sign(t, openFolder(t), restart("one"), newKey(t)), Wait: wait})
			if err != nil || len(answers) != 1 || answers[0].Refusal != c.want {
				t.Errorf("Send = %+v, %v; want the refusal %q", answers, err, c.want)
			}
			if took := time.Since(started); took >= patience {
				t.Errorf("it took %v, want less than the wait", took)
			}
		})
	}
}

// answerer answers commands with stages.
func answerer(stages ...string) func(n *node, kind mqtt.Kind, payload []byte) {
	var seq uint64
	var mu sync.Mutex
	return func(n *node, kind mqtt.Kind, payload []byte) {
		if kind != mqtt.DownCommand && kind != mqtt.GroupCommand {
			return
		}
		command, _, err := desk.OpenCommand(payload)
		if err != nil {
			n.tb.Errorf("node cannot read command: %v", err)
			return
		}
		for _, stage := range stages {
			mu.Lock()
			seq++
			number := seq
			mu.Unlock()
			text, _ := json.Marshal(edge.Reply{Command: command.ID, Issuer: command.Issuer, Counter: command.Counter, Stage: edge.Stage(stage), Reason: "why"})
			if stage == "progress" {
				n.say(mqtt.UpEvent, n.envelope(number, "progress", `{"command":"`+command.ID+`","stage":"started","progress":{"done":1,"total":4,"unit":"layers"}}`))
				continue
			}
			n.say(mqtt.UpReply, n.envelope(number, "reply", string(text)))
		}
	}
}

func TestDesk_Send(t *testing.T) {
	eachBroker(t, func(t *testing.T, address string) {
		n := startNode(t, address, "gw-1", answerer("received", "started", "progress", "succeeded", "failed"))
		n.birth("")
		var told []string
		folder := openFolder(t)
		o := desk.Order{Envelope: sign(t, folder, restart("one"), newKey(t)), Wait: patience, Tell: func(a desk.Answer) {
			told = append(told, strings.TrimSpace(string(a.Reply.Stage)+" "+a.ProgressWords()))
		}}
		answers, err := newDesk(t, address).Send(t.Context(), o)
		if err != nil || len(answers) != 1 || answers[0].Reply.Stage != edge.StageSucceeded {
			t.Fatalf("Send = %+v, %v; want gw-1 to succeed, and nothing to follow that", answers, err)
		}
		if len(told) == 0 || !strings.HasPrefix(told[len(told)-1], "succeeded") {
			t.Errorf("told %v, want the last to be succeeded", told)
		}
		if again, err := newDesk(t, address).Send(t.Context(), o); err != nil || again[0].Reply.Stage != edge.StageSucceeded {
			t.Errorf("sent again: %+v, %v; want the same reply", again, err)
		}
		if got := n.got(mqtt.DownCommand); len(got) != 2 || string(got[0]) != string(got[1]) {
			t.Errorf("node got %d commands, want the same bytes twice", len(got))
		}
	})
}

func TestDesk_SendGroup(t *testing.T) {
	address := embedded(t)
	for name, stage := range map[string]string{"gw-1": "succeeded", "gw-2": "refused"} {
		startNode(t, address, name, answerer(stage)).birth("")
	}
	startNode(t, address, "gw-3", nil).birth("") // says nothing
	startNode(t, address, "gw-4", nil).say(mqtt.UpPresence, `{"node":"gw-4","online":true,"session":"s","groups":["second"]}`)
	draft := restart("all")
	draft.Audience = edge.Audience{Group: "first"}
	answers, err := newDesk(t, address).Send(t.Context(), desk.Order{Envelope: sign(t, openFolder(t), draft, newKey(t)), Wait: time.Second})
	var got []string
	for _, a := range answers {
		got = append(got, a.Node+" "+string(a.Reply.Stage))
	}
	if want := []string{"gw-1 succeeded", "gw-2 refused", "gw-3 "}; err != nil || !slices.Equal(got, want) {
		t.Errorf("Send = %q, %v; want %q", got, err, want)
	}
}

// TestDesk_SendPassesOverLies: replies that are not about this command, or not of the
// node whose topic they are on.
func TestDesk_SendPassesOverLies(t *testing.T) {
	n := func(n *node, kind mqtt.Kind, payload []byte) {
		if kind != mqtt.DownCommand {
			return
		}
		for _, body := range []string{
			`{"command":"other","stage":"succeeded"}`, `{"command":"one","stage":"succeeded","issuer":"x","counter":1}`,
			`{"command":"one","stage":"wonderful"}`, `{"command":7}`, `{}`,
		} {
			n.say(mqtt.UpReply, n.envelope(1, "reply", body))
		}
		n.say(mqtt.UpReply, "garbage")
		n.say(mqtt.UpReply, strings.Replace(n.envelope(2, "reply", `{"command":"one","stage":"succeeded"}`), "gw-1", "gw-2", 1))
		n.say(mqtt.UpReply, n.envelope(3, "reply", `{"command":"one","stage":"refused","reason":"because"}`))
	}
	address := embedded(t)
	startNode(t, address, "gw-1", n).birth("")
	answers, err := newDesk(t, address).Send(t.Context(), desk.Order{Envelope: sign(t, openFolder(t), restart("one"), newKey(t)), Wait: patience})
	if err != nil || len(answers) != 1 || answers[0].Reply.Stage != edge.StageRefused {
		t.Errorf("Send = %+v, %v; want refused, the only true one", answers, err)
	}
}

// TestDesk_SendThroughRestart: the broker goes with the first command, and all it knew.
// The desk says the same again, and hears the answer.
func TestDesk_SendThroughRestart(t *testing.T) {
	address, stop := embeddedAt(t, "127.0.0.1:0")
	t.Cleanup(func() { stop() })
	first := make(chan struct{}, 1)
	answer := answerer("succeeded")
	n := startNode(t, address, "gw-1", func(n *node, kind mqtt.Kind, payload []byte) {
		if len(n.got(mqtt.DownCommand)) == 1 {
			first <- struct{}{}
			return
		}
		answer(n, kind, payload)
	})
	n.birth("")
	type outcome struct {
		answers []desk.Answer
		err     error
	}
	ended := make(chan outcome, 1)
	envelope := sign(t, openFolder(t), restart("one"), newKey(t))
	go func() {
		answers, err := newDesk(t, address).Send(t.Context(), desk.Order{Envelope: envelope, Wait: 2 * patience})
		ended <- outcome{answers, err}
	}()
	<-first
	stop()
	_, stop = embeddedAt(t, address)
	eventually(t, "the node is back", func() bool { s := n.session.State(); return s.Connections > 1 && s.Phase == mqtt.Up })
	n.hello("")
	got := <-ended
	if got.err != nil || len(got.answers) != 1 || got.answers[0].Reply.Stage != edge.StageSucceeded {
		t.Errorf("Send = %+v, %v; want it to succeed after the restart", got.answers, got.err)
	}
	for _, c := range n.got(mqtt.DownCommand) {
		if string(c) != string(envelope) {
			t.Error("other bytes were sent than the first time")
		}
	}
}

func TestDesk_Watch(t *testing.T) {
	eachBroker(t, func(t *testing.T, address string) {
		n := startNode(t, address, "gw-1", nil)
		n.birth("")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		heard := make(chan desk.Said, 16)
		ended := make(chan error, 1)
		go func() {
			ended <- newDesk(t, address).Watch(ctx, "", nil, func(s desk.Said) error { heard <- s; return nil })
		}()
		if s := <-heard; !s.Retained || !strings.HasPrefix(desk.Words(s), "here, holdfast 1.0") {
			t.Errorf("first is %q, want what the broker remembers", desk.Words(s))
		}
		n.say(mqtt.UpEvent, n.envelope(1, "event", `{"kind":"policy-in-force","subject":"line","facts":{"version":"2"}}`))
		s := <-heard
		if s.Topic.Kind == mqtt.UpPresence {
			s = <-heard // a broker still busy with the birth hands it to those who have just come once more
		}
		if desk.Words(s) != epoch+" 1 D2 event: policy-in-force line version=2" {
			t.Errorf("then %q, want the event in words", desk.Words(s))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Watch = %v, want nil after its end", err)
		}
	})
}
