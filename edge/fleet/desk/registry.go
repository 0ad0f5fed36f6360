package desk

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"holdfast/edge"
	"holdfast/mqtt"
)

// Registry is who is there, put together from what nodes say.
type Registry struct {
	mu      sync.Mutex // guards all below
	nodes   map[string]*known
	strange int
}

// maxNodes keeps a broker on which anybody may write from filling the desk's memory;
// larger fleets have several sites.
const maxNodes = 20_000

// said bounds what a node says about itself.
func said() edge.JSONBounds { return edge.JSONBounds{Size: mqtt.DefaultFrame, Depth: 32} }

// known is what there is about one node.
type known struct {
	birth    edge.Presence // the latest with Online
	presence edge.Presence // the latest
	session  string        // of the latest birth or hello, unless we were away since
	spoke    bool          // since the latest presence, while we listened
	report   edge.StateReport
	reported *edge.Reported
	stale    bool
}

// NewRegistry knows nobody.
func NewRegistry() *Registry { return &Registry{nodes: map[string]*known{}} }

// Take adds what a node said about itself. What is no such thing, or says something
// else than its topic, is counted and comes back as an error; nothing is taken of it.
func (r *Registry) Take(s Said) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.takeLocked(s)
	if err != nil {
		r.strange++
	}
	return err
}

func (r *Registry) takeLocked(s Said) error {
	if s.Topic.Node == "" {
		return nil
	}
	if len(s.Payload) == 0 && (s.Topic.Kind == mqtt.UpPresence || s.Topic.Kind == mqtt.UpState) {
		delete(r.nodes, s.Topic.Node) // somebody has cleared the broker's memory of it
		return nil
	}
	k := r.nodes[s.Topic.Node]
	if k == nil {
		if len(r.nodes) >= maxNodes {
			return fmt.Errorf("cannot take in node %q: %d are known already: %w", s.Topic.Node, maxNodes, edge.ErrInvalid)
		}
		k = &known{}
	}
	if err := k.take(s); err != nil {
		return fmt.Errorf("cannot read %s of node %q: %w", s.Topic.Kind, s.Topic.Node, err)
	}
	if k.said() {
		r.nodes[s.Topic.Node] = k
	}
	return nil
}

// Strange counts what could not be read.
func (r *Registry) Strange() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.strange
}

// Nodes lists who is known, by name.
func (r *Registry) Nodes() []Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := []Node{}
	for _, name := range slices.Sorted(maps.Keys(r.nodes)) {
		all = append(all, r.nodes[name].node(name))
	}
	return all
}

// Node is one of them.
func (r *Registry) Node(name string) (Node, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, is := r.nodes[name]
	if !is {
		return Node{Name: name, Connection: Offline}, false
	}
	return k.node(name), true
}

func (k *known) take(s Said) error {
	switch s.Topic.Kind {
	case mqtt.UpPresence:
		return k.takePresence(s)
	case mqtt.UpHello:
		return k.takeHello(s)
	case mqtt.UpState:
		return k.takeState(s)
	case mqtt.UpDelta:
		return k.takeDelta(s)
	}
	return nil
}

func (k *known) takePresence(s Said) error {
	var p edge.Presence
	if err := decode(s, &p, func() string { return p.Node }); err != nil {
		return err
	}
	k.presence, k.spoke = p, false
	switch {
	case p.Online:
		k.birth, k.session = p, p.Session
	case k.birth.Node == "":
		k.birth = p // a will may say who has left
	}
	if !p.Online && s.Retained {
		k.session = "" // it may have come and gone while we were away
	}
	return nil
}

func (k *known) takeHello(s Said) error {
	var h edge.Hello
	if err := decode(s, &h, func() string { return h.Node }); err != nil {
		return err
	}
	k.session, k.spoke, k.birth.Outbox = h.Session, true, h.Streams
	return nil
}

func (k *known) takeState(s Said) error {
	var report edge.StateReport
	if err := decode(s, &report, func() string { return report.Node }); err != nil {
		return err
	}
	reported, err := reportedOf(report.State)
	if err != nil {
		return err
	}
	k.spoke = k.spoke || !s.Retained
	k.report, k.reported, k.stale = report, reported, false
	return nil
}

// takeDelta brings the state up to date. Where one does not follow, some were missed:
// what it says is true all the same, and for the rest the next whole state will tell.
func (k *known) takeDelta(s Said) error {
	var d edge.StateDelta
	if err := decode(s, &d, func() string { return d.Node }); err != nil {
		return err
	}
	k.spoke = true
	same := k.reported != nil && d.Session == k.report.Session
	if same && d.To <= k.report.Version {
		return nil
	}
	k.stale = k.stale || !same || d.From != k.report.Version
	if !same {
		return nil
	}
	merged, err := mqtt.Merge(k.report.State, d.Patch)
	if err != nil {
		return err
	}
	reported, err := reportedOf(merged)
	if err != nil {
		return err
	}
	k.report.State, k.report.Version, k.reported = merged, d.To, reported
	return nil
}

func (k *known) said() bool { return k.spoke || k.reported != nil || k.presence.Node != "" }

// connection weighs the last presence against what else was said. The session of a
// state says nothing here: a node whose state has not changed does not tell it anew.
func (k *known) connection() Connection {
	switch {
	case k.presence.Online:
		return Online
	case k.spoke, k.session != "" && k.session != k.presence.Session:
		return Late
	}
	return Offline
}

func (k *known) node(name string) Node {
	n := Node{Name: name, Connection: k.connection(), Presence: k.birth, Reported: k.reported, StateVersion: k.report.Version, Stale: k.stale}
	n.Presence.Node, n.Presence.Online = name, n.Connection == Online
	n.Presence.Session = cmp.Or(k.birth.Session, k.presence.Session)
	return n
}

// decode reads what a node says, which must name the node of the topic.
func decode(s Said, into any, named func() string) error {
	if _, err := edge.DecodeJSON(s.Payload, said(), into); err != nil {
		return err
	}
	if named() != s.Topic.Node {
		return fmt.Errorf("it names node %.80q: %w", named(), edge.ErrInvalid)
	}
	return nil
}

func reportedOf(state json.RawMessage) (*edge.Reported, error) {
	reported := &edge.Reported{}
	if _, err := edge.DecodeJSON(state, said(), reported); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return reported, nil
}
