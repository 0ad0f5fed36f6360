package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/cli"
	"holdfast/edge/trust"
	"holdfast/mqtt"
)

// publish says something on a topic with mosquitto's own client.
func (f *fleet) publish(topic string, payload []byte, flags ...string) {
	f.t.Helper()
	_, port, _ := strings.Cut(f.broker.Address(), ":")
	pub := exec.Command("mosquitto_pub", append([]string{"-p", port, "-q", "1", "-t", topic, "-s"}, flags...)...)
	pub.Stdin = bytes.NewReader(payload)
	if out, err := pub.CombinedOutput(); err != nil {
		f.t.Fatalf("mosquitto_pub: %v: %s", err, out)
	}
}

// clear has the broker forget what it keeps on a topic.
func (f *fleet) clear(topic string) {
	f.t.Helper()
	_, port, _ := strings.Cut(f.broker.Address(), ":")
	if out, err := exec.Command("mosquitto_pub", "-p", port, "-q", "1", "-t", topic, "-r", "-n").CombinedOutput(); err != nil {
		f.t.Fatalf("mosquitto_pub: %v: %s", err, out)
	}
}

// retained is what the broker keeps on a topic.
func (f *fleet) retained(topic string) []byte {
	f.t.Helper()
	_, port, _ := strings.Cut(f.broker.Address(), ":")
	out, err := exec.Command("mosquitto_sub", "-p", port, "-q", "1", "-t", topic, "-C", "1", "-W", "10", "--retained-only").Output()
	if err != nil {
		f.t.Fatalf("nothing is retained on %s: %v", topic, err)
	}
	return out
}

func topicOf(node string, kind mqtt.Kind) string {
	return mqtt.Topic{Site: siteName, Node: node, Kind: kind}.String()
}

// private is one of the desk's keys.
func (d *desk) private(name string) ed25519.PrivateKey {
	d.t.Helper()
	key, err := trust.DecodePrivateKey(d.read(d.key(name)))
	if err != nil {
		d.t.Fatal(err)
	}
	return key
}

// signed is a document as no verb would write it.
func (d *desk) signed(payloadType string, payload []byte, keys ...string) []byte {
	d.t.Helper()
	var private []ed25519.PrivateKey
	for _, name := range keys {
		private = append(private, d.private(name))
	}
	envelope, err := trust.Sign(payloadType, payload, private...)
	if err != nil {
		d.t.Fatal(err)
	}
	return envelope
}

// scrawl is a command as somebody writes it who has a key, and no verb at hand.
type scrawl map[string]any

// scrawl makes a command that vitals are asked with, to be altered.
func (d *desk) scrawl(id, node string, alter func(scrawl)) scrawl {
	d.t.Helper()
	issuer, err := trust.KeyOf(d.private("command-1"))
	if err != nil {
		d.t.Fatal(err)
	}
	now := time.Now()
	c := scrawl{
		"apiVersion": edge.APIVersion, "kind": edge.CommandKind, "id": id, "issuer": issuer.ID, "counter": now.UnixMicro(),
		"audience": map[string]any{"node": node}, "expires": now.Add(time.Hour).UTC().Truncate(time.Second), "maxBoots": 1, "verb": "undrain",
	}
	if alter != nil {
		alter(c)
	}
	return c
}

func (d *desk) sealed(c scrawl, keys ...string) []byte {
	d.t.Helper()
	payload, err := edge.CanonicalJSON(c)
	if err != nil {
		d.t.Fatal(err)
	}
	if len(keys) == 0 {
		keys = []string{"command-1"}
	}
	return d.signed(trust.TypeCommand, payload, keys...)
}

// replies are all that the fleet was told of a command, whatever they are worth.
func (f *fleet) replies(node, id string) (all []edge.Reply) {
	f.t.Helper()
	for _, kept := range f.history(node) {
		for _, e := range kept {
			var reply edge.Reply
			if e.Type == "reply" && json.Unmarshal(e.Body, &reply) == nil && reply.Command == id {
				all = append(all, reply)
			}
		}
	}
	return all
}

// awaitReply waits for a reply of a stage, with words in its reason or detail.
func (f *fleet) awaitReply(node, id string, stage edge.Stage, words string) {
	f.t.Helper()
	look(f.t, fmt.Sprintf("%s to be %s (%s)", id, stage, words), func(context.Context) error {
		all := f.replies(node, id)
		for _, r := range all {
			if r.Stage == stage && strings.Contains(r.Reason+" "+r.Detail, words) {
				return nil
			}
		}
		return fmt.Errorf("its replies are %+v", all)
	})
}

const haunted = "gw-h"

// TestLink_Hostile lets somebody at the broker say whatever comes to mind.
func TestLink_Hostile(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.attend()
	f.awaitAttendant()
	n, _ := f.join(haunted, digitsService(1))
	n.awaitReady("digits", 1)
	n.awaitTold()
	second := f.desk.sign(draft{version: 2, services: []string{digitsService(1)}})
	f.verb("apply", second, "--root", f.desk.root()).want(t, cli.ExitOK)
	pid, calm := n.AgentPID(), n.memory("VmHWM")
	command := topicOf(haunted, mqtt.DownCommand)

	t.Run("Words", func(t *testing.T) { f.in(t).sayNonsense(n.in(t)) })
	t.Run("Commands", func(t *testing.T) { f.in(t).commandNonsense(n.in(t)) })
	t.Run("Replay", func(t *testing.T) { f.in(t).replay(n.in(t)) })
	t.Run("ReplayAfterTheReplyIsForgotten", func(t *testing.T) { f.in(t).replayLate(n.in(t)) })
	t.Run("Policies", func(t *testing.T) { f.in(t).policyNonsense(n.in(t)) })
	t.Run("OwnPresence", func(t *testing.T) { f.in(t).playDead(n.in(t)) })
	t.Run("Giants", func(t *testing.T) {
		f, n := f.in(t), n.in(t)
		for _, kind := range []mqtt.Kind{mqtt.DownCommand, mqtt.DownPolicy, mqtt.DownFresh, mqtt.DownAck} {
			f.publish(topicOf(haunted, kind), bytes.Repeat([]byte("x"), 1<<20))
		}
		f.publish(topicOf(haunted, mqtt.DownPolicy), bytes.Repeat([]byte("y"), 1<<20), "-r")
		f.command(haunted, "undrain", "--id", "after-giants").want(t, cli.ExitOK, "succeeded")
		n.awaitPhase(true)
		f.clear(topicOf(haunted, mqtt.DownPolicy))
	})
	t.Run("Flood", func(t *testing.T) {
		f := f.in(t)
		f.flood(command, 300)
		f.command(haunted, "undrain", "--id", "after-flood").want(t, cli.ExitOK, "succeeded")
	})
	t.Run("GoesOn", func(t *testing.T) {
		n := n.in(t)
		n.awaitReady("digits", 1)
		n.ask(patient)
		n.wantPolicy(2, "current")
		n.awaitTold()
		n.awaitNoWarnings()
		if now := n.AgentPID(); now != pid {
			t.Errorf("the agent is process %d, was %d", now, pid)
		}
		peak := n.memory("VmHWM")
		t.Logf("most memory ever: %s, before %s", mebibytes(peak), mebibytes(calm))
		if peak > calm+48<<20 {
			t.Errorf("the agent has held %s, and %s before", mebibytes(peak), mebibytes(calm))
		}
	})
}

// garbage is what no parser likes.
var garbage = [...][]byte{
	[]byte("\x00\xff\xfe"), []byte("hello"), []byte("{"), []byte("[]"), []byte("null"), bytes.Repeat([]byte("["), 4000),
	[]byte(`{"payloadType":"x","payload":"!","signatures":[]}`),
}

// sayNonsense is what should be a word of the fleet's and is none.
func (f *fleet) sayNonsense(n *node) {
	f.t.Helper()
	link, err := n.link(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	stream := link.Streams[0]
	confirm := func(node string, seq uint64) []byte {
		payload, err := trust.EncodeConfirmation(edge.Confirmation{Node: node, Epoch: stream.Epoch, Seq: seq})
		if err != nil {
			f.t.Fatal(err)
		}
		return payload
	}
	token, err := trust.Token{Nonce: strings.Repeat("ab", 16), Node: haunted, Time: time.Now(), PolicyVersion: 9, RootVersion: 1}.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, c := range [...]struct {
		kind    mqtt.Kind
		payload []byte
		words   string
	}{
		{mqtt.DownAck, confirm(haunted, 1), "bad_envelope"}, // nobody signed it
		{mqtt.DownAck, f.desk.signed(trust.TypeConfirmation, confirm(haunted, 1), "command-1"), "wrong_role"},
		{mqtt.DownAck, f.desk.signed(trust.TypeConfirmation, confirm("gw-x", 1), "freshness-1"), "wrong_node"},
		{mqtt.DownAck, f.desk.signed(trust.TypeConfirmation, confirm(haunted, 1<<40), "freshness-1"), "not given out"},
		{mqtt.DownFresh, f.desk.signed(trust.TypeFreshness, token, "freshness-1"), "wrong_nonce"},
		{mqtt.DownFresh, f.desk.signed(trust.TypeFreshness, token, "policy-1"), "wrong_role"},
		{mqtt.DownCommand, bytes.Repeat([]byte("x"), 50<<10), "bytes"},
		{mqtt.DownPolicy, []byte("hello"), "bad_syntax"},
	} {
		since := n.latest()
		f.publish(topicOf(haunted, c.kind), c.payload)
		if e := n.awaitEvent(since, edge.EventMessageRefused, c.words); e.Subject != topicOf(haunted, c.kind) {
			f.t.Errorf("refused on %s: %s; want on %s", e.Subject, e.Cause, c.kind)
		}
	}
	for _, kind := range [...]mqtt.Kind{mqtt.DownPolicy, mqtt.DownCommand, mqtt.DownFresh, mqtt.DownAck, mqtt.UpPresence} {
		for _, payload := range garbage {
			f.publish(topicOf(haunted, kind), payload)
		}
	}
	now, err := n.link(f.t.Context())
	if err != nil || now.Phase != "up" || now.Session != link.Session {
		f.t.Errorf("the link is %+v (%v), want it as it was", now, err)
	}
}

// commandNonsense is signed, and of no use.
func (f *fleet) commandNonsense(n *node) {
	f.t.Helper()
	topic := topicOf(haunted, mqtt.DownCommand)
	for id, c := range map[string]struct {
		alter func(scrawl)
		keys  []string
		stage edge.Stage
		words string
	}{
		"unknown-verb":   {alter: func(s scrawl) { s["verb"] = "dance" }, words: "unknown_verb"},
		"expired":        {alter: func(s scrawl) { s["expires"] = time.Now().Add(-time.Minute).UTC() }, stage: edge.StageExpired},
		"other-issuer":   {keys: []string{"command-2"}, words: "wrong_issuer"},
		"one-signature":  {alter: func(s scrawl) { s["verb"] = "exec" }, words: "too_few_signatures"},
		"args-no-object": {alter: func(s scrawl) { s["args"] = []int{1} }, words: "bad_document"},
		"wrong-args": {alter: func(s scrawl) { s["verb"], s["args"] = "restart", map[string]any{"targett": 1} },
			stage: edge.StageFailed},
		"no-such-target": {alter: func(s scrawl) { s["verb"], s["args"] = "restart", map[string]any{"target": "line/none"} },
			stage: edge.StageFailed, words: "line/none"},
		"newer-policy":   {alter: func(s scrawl) { s["minPolicy"] = 99 }, words: "99"},
		"too-many-boots": {alter: func(s scrawl) { s["maxBoots"] = 1 << 30 }, words: "bad_document"},
		"no-reboot":      {alter: func(s scrawl) { s["verb"] = "reboot" }, keys: []string{"command-1", "command-2"}, stage: edge.StageFailed},
	} {
		f.publish(topic, f.desk.sealed(f.desk.scrawl(id, haunted, c.alter), c.keys...))
		f.awaitReply(haunted, id, cmp.Or(c.stage, edge.StageRefused), c.words)
	}
	for id, c := range map[string]struct {
		topic string
		alter func(scrawl)
		keys  []string
		words string
	}{
		"for-another":       {topic: topic, alter: func(s scrawl) { s["audience"] = map[string]any{"node": "gw-x"} }, words: "wrong_audience"},
		"for-another-group": {topic: mqtt.Topic{Site: siteName, Group: "first", Kind: mqtt.GroupCommand}.String(), alter: func(s scrawl) { s["audience"] = map[string]any{"group": "second"} }, words: "wrong_audience"},
		"signed-by-policy":  {topic: topic, keys: []string{"policy-1"}, words: "wrong_role"},
		"no-name":           {topic: topic, alter: func(s scrawl) { s["id"] = "../../x" }, words: "bad_document"},
	} {
		since := n.latest()
		f.publish(c.topic, f.desk.sealed(f.desk.scrawl(id, haunted, c.alter), c.keys...))
		n.awaitEvent(since, edge.EventCommandRefused, c.words)
		if got := f.replies(haunted, id); len(got) > 0 {
			f.t.Errorf("%s, which is not for this node to answer, has replies %+v", id, got)
		}
	}
	foreign := mqtt.Topic{Site: siteName, Group: "second", Kind: mqtt.GroupCommand}.String()
	f.publish(foreign, f.desk.sealed(f.desk.scrawl("foreign", haunted, nil)))
	f.command(haunted, "undrain", "--id", "after-nonsense").want(f.t, cli.ExitOK, "succeeded")
	if got := n.taken("foreign"); got > 0 {
		f.t.Error("what was said to a foreign group was done here")
	}
}

// replay sends bytes again, and others under their name.
func (f *fleet) replay(n *node) {
	f.t.Helper()
	topic := topicOf(haunted, mqtt.DownCommand)
	f.command(haunted, "restart", "line/digits", "--id", "again").want(f.t, cli.ExitOK, "succeeded")
	n.awaitReady("digits", 1)
	captured := f.desk.read(filepath.Join(f.keep, siteName, "commands", "again.json"))
	had := len(f.replies(haunted, "again"))
	f.publish(topic, captured)
	look(f.t, "the reply of before", func(context.Context) error {
		if all := f.replies(haunted, "again"); len(all) <= had || all[len(all)-1].Stage != edge.StageSucceeded {
			return fmt.Errorf("its replies are %+v", all)
		}
		return nil
	})
	f.publish(topic, f.desk.sealed(f.desk.scrawl("again", haunted, nil)))
	f.awaitReply(haunted, "again", edge.StageRefused, "id_reused")
	if got := n.taken("again"); got != 1 {
		f.t.Errorf("it was begun %d times, want once", got)
	}
}

// keptReplies is how many commands a node has the replies of.
const keptReplies = 256

// replayLate sends a command again after so many others that its reply is gone.
func (f *fleet) replayLate(n *node) {
	f.t.Helper()
	topic := topicOf(haunted, mqtt.DownCommand)
	captured := f.desk.read(filepath.Join(f.keep, siteName, "commands", "again.json"))
	line, end := f.lines(topic)
	const handful = 8 // fewer than wait for their turn at a time
	for i := range keptReplies {
		line(f.desk.sealed(f.desk.scrawl(fmt.Sprintf("many-%d", i), haunted, nil)))
		if i%handful == handful-1 {
			f.awaitReply(haunted, fmt.Sprintf("many-%d", i), edge.StageSucceeded, "")
		}
	}
	end()
	f.publish(topic, captured)
	f.awaitReply(haunted, "again", edge.StageRefused, "replayed")
	if got := n.taken("again"); got != 1 {
		f.t.Errorf("it was begun %d times, want once", got)
	}
}

// lines publishes one message a line, as long as it is not ended.
func (f *fleet) lines(topic string) (line func([]byte), end func()) {
	f.t.Helper()
	_, port, _ := strings.Cut(f.broker.Address(), ":")
	pub := exec.Command("mosquitto_pub", "-p", port, "-q", "1", "-t", topic, "-l")
	in, err := pub.StdinPipe()
	if err == nil {
		err = pub.Start()
	}
	if err != nil {
		f.t.Fatal(err)
	}
	line = func(text []byte) {
		if _, err := in.Write(append(bytes.TrimSpace(text), '\n')); err != nil {
			f.t.Fatal(err)
		}
	}
	end = func() {
		_ = in.Close()
		if err := pub.Wait(); err != nil {
			f.t.Errorf("mosquitto_pub: %v", err)
		}
	}
	return line, end
}

// flood says garbage so many times.
func (f *fleet) flood(topic string, times int) {
	f.t.Helper()
	line, end := f.lines(topic)
	for i := range times {
		line(fmt.Appendf(nil, `{"nonsense":%d}`, i))
	}
	end()
}

// policyNonsense is policies that are old, not for this node, or none; retained too.
func (f *fleet) policyNonsense(n *node) {
	f.t.Helper()
	topic := topicOf(haunted, mqtt.DownPolicy)
	old := f.desk.read(f.desk.path("v1.signed.json"))
	foreign := f.desk.read(f.desk.sign(draft{version: 7, audience: "node: gw-x"}))
	role := f.desk.read(f.desk.signAs(f.desk.build(draft{version: 8}), "command-1"))
	for _, c := range [...]struct {
		payload []byte
		words   string
	}{{old, "rollback"}, {foreign, "wrong_audience"}, {role, "wrong_role"}, {[]byte("junk"), "bad_syntax"}} {
		since := n.latest()
		f.publish(topic, c.payload, "-r")
		n.awaitEvent(since, edge.EventPolicyRefused, c.words)
		n.wantPolicy(2, "current")
	}
	if got := string(f.retained(topic)); !strings.Contains(got, "junk") {
		f.t.Errorf("the broker keeps %.100q, want the junk", got)
	}
	f.publish(topic, f.desk.read(f.desk.path("v2.signed.json")), "-r")
}

// playDead says in the node's name that it is gone.
func (f *fleet) playDead(n *node) {
	f.t.Helper()
	topic := topicOf(haunted, mqtt.UpPresence)
	link, err := n.link(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	for _, payload := range []string{
		fmt.Sprintf(`{"node":%q,"online":false,"session":%q}`, haunted, link.Session), "junk",
	} {
		f.publish(topic, []byte(payload), "-r")
		look(f.t, "the node to say that it is here", func(context.Context) error {
			var p edge.Presence
			text := f.retained(topic)
			if err := json.Unmarshal(text, &p); err != nil || !p.Online || p.Session != link.Session {
				return fmt.Errorf("the broker keeps %.200q", text)
			}
			return nil
		})
	}
}
