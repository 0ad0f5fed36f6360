package fleetlink

import (
	"encoding/json"
	"errors"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/outbox"
)

// The words that decide where an entry goes.
const (
	kindReply = "reply"
	kindGap   = "gap"
)

// whyUnsayable is a gap's reason of our own: no envelope can hold the record.
const whyUnsayable outbox.Why = "unsayable"

// message is an entry as it is sent. A record that cannot be said is told as a gap:
// it must not hold up what follows, nor go without a word.
func (l *Link) message(f *flow, epoch string, e outbox.Entry, historical bool) (mqtt.Message, error) {
	m, err := l.say(f, epoch, e, historical)
	if err == nil && len(m.Payload) <= mqtt.MaxEnvelope {
		return m, nil
	}
	if e.Gap != nil {
		return m, errors.Join(err, edge.ErrInvalid)
	}
	return l.unsayable(f, epoch, e, historical, err)
}

// unsayable tells the gap that a record leaves.
func (l *Link) unsayable(f *flow, epoch string, e outbox.Entry, historical bool, why error) (mqtt.Message, error) {
	l.options.Log.Warn("record cannot be sent", "seq", e.Seq, "kind", e.Kind, "err", why)
	return l.say(f, epoch, outbox.Entry{Seq: e.Seq, Gap: &outbox.Gap{From: e.Seq, To: e.Seq, Count: 1, Why: whyUnsayable}}, historical)
}

func (l *Link) say(f *flow, epoch string, e outbox.Entry, historical bool) (mqtt.Message, error) {
	u := mqtt.Envelope{
		Version: mqtt.EnvelopeVersion, Node: l.options.Node, Epoch: epoch, Seq: e.Seq,
		Boot: e.Boot, MonoMs: e.Mono.Milliseconds(), TimeQuality: mqtt.TimeNone,
		Class: f.class(e), Historical: historical, Type: e.Kind, Body: e.Body,
	}
	if !e.Time.IsZero() {
		at := e.Time.UTC().Truncate(time.Millisecond)
		u.Time, u.TimeQuality = &at, quality(e.Quality)
	}
	kind := mqtt.UpEvent
	if e.Kind == kindReply {
		kind = mqtt.UpReply
	}
	if e.Gap != nil {
		body, err := json.Marshal(e.Gap)
		if err != nil {
			return mqtt.Message{}, err
		}
		u.Boot, u.Type, u.Body, kind = l.options.Boot, kindGap, body, mqtt.UpEvent
	}
	text, err := u.Encode()
	return mqtt.Message{Topic: l.topic(kind), Payload: text}, err
}

// class is how the entry was kept.
func (f *flow) class(e outbox.Entry) mqtt.Durability {
	switch {
	case f.durability != "":
		return f.durability
	case e.Gap == nil && e.Class == outbox.D0:
		return mqtt.MemoryOnly
	}
	return mqtt.MemoryFirst
}

// quality is what a time is worth; what nobody vouches for is a floor.
func quality(text string) mqtt.TimeQuality {
	switch q := mqtt.TimeQuality(text); q {
	case mqtt.TimeNTP, mqtt.TimeSigned:
		return q
	}
	return mqtt.TimeFloor
}
