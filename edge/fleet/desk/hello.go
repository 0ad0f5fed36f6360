package desk

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
	"holdfast/mqtt"
)

// hearPresence takes from a birth where the node's streams stand. A node that was there
// before us is told that we are: its hello was for nobody.
func (at *attendant) hearPresence(s Said) error {
	var p edge.Presence
	if json.Unmarshal(s.Payload, &p) != nil || !p.Online {
		return nil // cleared, or gone
	}
	if err := at.baselines(p.Node, p.Outbox); err != nil || !s.Retained {
		return err
	}
	for _, r := range p.Outbox[:min(len(p.Outbox), 1)] {
		if isEpoch(r.Epoch) {
			at.unmet[streamID{p.Node, r.Epoch}] = struct{}{}
		}
	}
	return nil
}

// greetAll confirms to nodes what they know to be confirmed, by which they know that
// somebody attends, and say hello again. It tells whether there were any.
func (at *attendant) greetAll(ctx context.Context) (greeted bool) {
	for id := range at.unmet {
		if at.session.State().Phase != mqtt.Up {
			return greeted
		}
		delete(at.unmet, id)
		greeted = true
		if err := at.confirm(ctx, id, 0); err != nil {
			at.desk.options.Log.Warn("greeting not sent", "node", id.node, "err", err)
		}
	}
	return greeted
}

// baselines notes what nodes were done with before their history was kept here: it
// does not come any more.
func (at *attendant) baselines(node string, streams []edge.StreamReport) error {
	for _, r := range streams[:min(len(streams), maxNamed)] {
		if !isEpoch(r.Epoch) || r.Confirmed > maxSeq {
			continue
		}
		if err := at.history.skip(streamID{node, r.Epoch}, r.Confirmed); err != nil {
			return err
		}
	}
	return nil
}

const (
	// maxNamed is how many streams a node may name; it has two.
	maxNamed = 4
	// maxSeq is what every reader of JSON holds exactly.
	maxSeq = 1<<53 - 1
)

// hearHello answers a node that has come back: it is told what of its streams is kept,
// that the fleet is there and what its news is, and gets what it lacks.
func (at *attendant) hearHello(ctx context.Context, s Said) error {
	var hello edge.Hello
	if json.Unmarshal(s.Payload, &hello) != nil {
		return nil // the registry would have refused it
	}
	if err := at.baselines(hello.Node, hello.Streams); err != nil {
		return err
	}
	if err := at.flush(); err != nil {
		return err
	}
	maps.DeleteFunc(at.unmet, func(id streamID, _ struct{}) bool { return id.node == hello.Node })
	var named []streamID
	for _, r := range hello.Streams[:min(len(hello.Streams), maxNamed)] {
		if id := (streamID{hello.Node, r.Epoch}); isEpoch(r.Epoch) && r.Next > r.Confirmed+1 {
			named = append(named, id)
		}
	}
	if err := at.answer(ctx, hello); err != nil {
		at.desk.options.Log.Warn("hello not answered", "node", hello.Node, "err", err)
	}
	at.confirmNow(ctx, named)
	return nil
}

// confirmNow tells what is kept, also when that is nothing: a node that was away sends
// nothing again before it has our word, or has waited for it.
func (at *attendant) confirmNow(ctx context.Context, named []streamID) {
	for _, id := range named {
		seq, err := at.history.through(id)
		if err != nil {
			continue
		}
		delete(at.due, id)
		if err := at.confirm(ctx, id, seq); err != nil {
			at.desk.options.Log.Warn("confirmation not sent", "node", id.node, "err", err)
		}
	}
}

// answer sends the token first: it counts also where the rest does not arrive.
func (at *attendant) answer(ctx context.Context, hello edge.Hello) error {
	at.shelf.look(time.Now())
	node, _ := at.registry.Node(hello.Node)
	who := node.Identity()
	policy := at.shelf.policyFor(who)
	roots, newest := at.shelf.rootsAfter(hello.RootVersion)
	if at.Root != nil {
		newest = max(newest, at.Root.Version)
	}
	if err := at.answerFresh(ctx, hello, policy.version, newest); err != nil {
		return err
	}
	for _, root := range roots {
		at.tell(hello.Node, "root", fmt.Sprintf("version %d up to %d", hello.RootVersion+1, newest))
		if err := at.send(ctx, mqtt.Message{Topic: at.desk.topic(hello.Node, mqtt.DownPolicy), Payload: root}); err != nil {
			return err
		}
	}
	if policy.version > hello.PolicyVersion {
		at.tell(hello.Node, "policy", fmt.Sprintf("version %d, it has %d", policy.version, hello.PolicyVersion))
		m := mqtt.Message{Topic: at.desk.topic(hello.Node, mqtt.DownPolicy), Payload: policy.envelope, Retained: true}
		if err := at.send(ctx, m); err != nil {
			return err
		}
	}
	return at.resend(ctx, who, hello)
}

func (at *attendant) answerFresh(ctx context.Context, hello edge.Hello, policy, root uint64) error {
	if hello.Nonce == "" {
		return nil
	}
	token := trust.Token{
		Nonce: hello.Nonce, Node: hello.Node, Time: time.Now(),
		PolicyVersion: policy, RootVersion: root,
	}
	payload, err := token.Encode()
	if err != nil {
		return err
	}
	envelope, err := trust.Sign(trust.TypeFreshness, payload, at.Freshness)
	if err != nil {
		return err
	}
	at.tell(hello.Node, "fresh", fmt.Sprintf("policy %d, root %d", policy, root))
	return at.send(ctx, mqtt.Message{Topic: at.desk.topic(hello.Node, mqtt.DownFresh), Payload: envelope})
}

// CheckFreshness tells whether nodes that trust a root believe tokens and confirmations
// of a key.
func CheckFreshness(root *trust.Root, private ed25519.PrivateKey) error {
	key, err := trust.KeyOf(private)
	if err != nil {
		return err
	}
	grant := root.Roles[trust.RoleFreshness]
	switch {
	case !slices.Contains(grant.KeyIDs, key.ID):
		return fmt.Errorf("cannot attend: key %.12s does not have the role freshness in root version %d: %w", key.ID, root.Version, edge.ErrInvalid)
	case grant.Threshold > 1:
		return fmt.Errorf("cannot attend: the role freshness needs %d signatures in root version %d, and one key is here: %w", grant.Threshold, root.Version, edge.ErrInvalid)
	}
	return nil
}
