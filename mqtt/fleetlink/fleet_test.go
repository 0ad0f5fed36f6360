package fleetlink_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/outbox"
)

// The fleet's word is a document behind this mark: who has the key is tested in
// edge/trust, here it matters what is done with what was signed.
const seal = "signed "

func sign(document any) []byte {
	text, err := edge.CanonicalJSON(document)
	if err != nil {
		panic(err) // of a test's own making
	}
	return append([]byte(seal), text...)
}

func verify(envelope []byte, document any) error {
	text, signed := bytes.CutPrefix(envelope, []byte(seal))
	if !signed {
		return fmt.Errorf("not signed: %w", edge.ErrInvalid)
	}
	if err := json.Unmarshal(text, document); err != nil {
		return fmt.Errorf("%w: %w", err, edge.ErrInvalid)
	}
	return nil
}

// policy is a policy as far as the link is concerned.
type policy struct{ Version uint64 }

// freshness is the fleet's answer to a hello.
type freshness struct {
	Nonce         string
	PolicyVersion uint64
}

// fleet is the other side: it keeps what it got for certain and then says so.
type fleet struct {
	broker *broker
	quiet  bool // it keeps, and confirms nothing

	mu       sync.Mutex // guards the rest
	away     bool
	desired  uint64 // version of the policy
	issued   []edge.Command
	streams  map[string]*kept // by epoch
	state    []byte           // of the node, as told
	said     edge.StateReport // the whole one it is made of
	behind   bool             // a change did not fit
	presence edge.Presence
	replies  map[string]edge.Reply
	problems []string
	live     int // entries that were not historical
	old      int // and that were
}

// kept is one stream of the node.
type kept struct {
	entries   map[uint64]mqtt.Envelope
	gaps      []outbox.Gap // beside the entries: one may end with a number that was seen
	confirmed uint64
	told      time.Time
}

func newFleet(b *broker) *fleet {
	f := &fleet{broker: b, streams: map[string]*kept{}, replies: map[string]edge.Reply{}}
	b.watchers = append(b.watchers, f.hear)
	return f
}

func topic(kind mqtt.Kind) string { return mqtt.Topic{Site: "s", Node: "n1", Kind: kind}.String() }

func (f *fleet) problemLocked(format string, args ...any) {
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

// hear takes a message from the node.
func (f *fleet) hear(at string, payload []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return
	}
	switch at {
	case topic(mqtt.UpHello):
		var hello edge.Hello
		if err := json.Unmarshal(payload, &hello); err != nil {
			f.problemLocked("hello: %v", err)
			return
		}
		f.attendLocked(hello)
	case topic(mqtt.UpPresence):
		_ = json.Unmarshal(payload, &f.presence)
	case topic(mqtt.UpState):
		f.wholeLocked(payload)
	case topic(mqtt.UpDelta):
		f.changeLocked(payload)
	case topic(mqtt.UpEvent), topic(mqtt.UpReply):
		f.keepLocked(payload, at)
	}
}

// attendLocked answers a hello: freshness, what the node lacks, and what is kept.
func (f *fleet) attendLocked(hello edge.Hello) {
	f.sayLocked(mqtt.DownFresh, false, freshness{hello.Nonce, f.desired})
	if hello.PolicyVersion < f.desired {
		f.sayLocked(mqtt.DownPolicy, true, policy{f.desired})
	}
	for _, c := range f.issued {
		if !slices.ContainsFunc(hello.Seen, func(s edge.SeenCommands) bool { return slices.Contains(s.Counters, c.Counter) }) {
			f.sayLocked(mqtt.DownCommand, false, c)
		}
	}
	for _, s := range hello.Streams {
		k := f.streamLocked(s.Epoch)
		f.confirmLocked(s.Epoch, k)
	}
}

func (f *fleet) sayLocked(kind mqtt.Kind, retain bool, document any) {
	payload := sign(document)
	// In a bubble a timer of nothing runs where it is made, beside the bubble's others, which
	// the race detector of go1.26 does not survive.
	time.AfterFunc(time.Nanosecond, func() { f.broker.publish(topic(kind), payload, retain) })
}

func (f *fleet) streamLocked(epoch string) *kept {
	k := f.streams[epoch]
	if k == nil {
		k = &kept{entries: map[uint64]mqtt.Envelope{}}
		f.streams[epoch] = k
	}
	return k
}

// keepLocked keeps an entry, and confirms soon.
func (f *fleet) keepLocked(payload []byte, at string) {
	u, err := mqtt.DecodeEnvelope(payload)
	if err != nil {
		f.problemLocked("envelope: %v", err)
		return
	}
	if u.Historical {
		f.old++
	} else {
		f.live++
	}
	k := f.streamLocked(u.Epoch)
	if before, known := k.entries[u.Seq]; known && !same(before, u) {
		f.problemLocked("%s/%d is told in two ways: %s %s, then %s %s", u.Epoch, u.Seq, before.Type, before.Body, u.Type, u.Body)
	}
	if before, known := k.entries[u.Seq]; !known || before.Type == "gap" {
		k.entries[u.Seq] = u
	}
	var gap outbox.Gap
	if u.Type == "gap" && json.Unmarshal(u.Body, &gap) == nil && !slices.Contains(k.gaps, gap) {
		k.gaps = append(k.gaps, gap)
	}
	if at == topic(mqtt.UpReply) {
		var reply edge.Reply
		_ = json.Unmarshal(u.Body, &reply)
		if !f.replies[reply.Command].Stage.Final() || f.replies[reply.Command].Stage == "" { // what was sent again may come late
			f.replies[reply.Command] = reply
		}
	}
	if f.quiet || time.Since(k.told) < time.Second {
		return
	}
	k.told = time.Now()
	time.AfterFunc(time.Second, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.confirmLocked(u.Epoch, k)
	})
}

// same tells whether a number still means the same. A gap may take a record's place,
// and may grow.
func same(a, b mqtt.Envelope) bool {
	if a.Type == "gap" || b.Type == "gap" {
		return true
	}
	return a.Type == b.Type && bytes.Equal(a.Body, b.Body) && a.Boot == b.Boot && a.MonoMs == b.MonoMs
}

// upTo is up to where nothing is missing.
func (k *kept) upTo() uint64 {
	for at := k.confirmed; ; {
		before := at
		for k.entries[at+1].Seq > 0 {
			at++
		}
		for _, gap := range k.gaps {
			if gap.From <= at+1 {
				at = max(at, gap.To)
			}
		}
		if at == before {
			return at
		}
	}
}

func (f *fleet) confirmLocked(epoch string, k *kept) {
	k.confirmed = k.upTo()
	if f.quiet || f.away {
		return
	}
	f.sayLocked(mqtt.DownAck, false, edge.Confirmation{APIVersion: edge.APIVersion, Kind: edge.ConfirmationKind, Node: "n1", Epoch: epoch, Seq: k.confirmed})
}

func (f *fleet) wholeLocked(payload []byte) {
	var report edge.StateReport
	if err := json.Unmarshal(payload, &report); err != nil {
		f.problemLocked("state: %v", err)
		return
	}
	f.said, f.state, f.behind = report, report.State, false
}

func (f *fleet) changeLocked(payload []byte) {
	var delta edge.StateDelta
	if err := json.Unmarshal(payload, &delta); err != nil {
		f.problemLocked("delta: %v", err)
		return
	}
	if delta.Session != f.said.Session || delta.From != f.said.Version {
		if delta.Session == f.said.Session && delta.To > f.said.Version {
			f.behind = true // a whole one follows within the minute
		}
		return
	}
	state, err := mqtt.Merge(f.state, delta.Patch)
	if err != nil {
		f.problemLocked("delta: %v", err)
		return
	}
	f.state, f.said.Version = state, delta.To
}

// want makes a new policy the desired one.
func (f *fleet) want(version uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.desired = version
	f.sayLocked(mqtt.DownPolicy, true, policy{version})
}

func (f *fleet) issue(c edge.Command) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.issued = append(f.issued, c)
	f.sayLocked(mqtt.DownCommand, false, c)
}

func (f *fleet) setAway(away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = away
}

// sees is the version of the policy that the node reports.
func (f *fleet) sees() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var reported edge.Reported
	_ = json.Unmarshal(f.state, &reported)
	return reported.Policy.Version
}

// has is up to where the fleet has a stream.
func (f *fleet) has(epoch string) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if k := f.streams[epoch]; k != nil {
		return k.upTo()
	}
	return 0
}
