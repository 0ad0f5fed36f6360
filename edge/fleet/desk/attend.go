package desk

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"holdfast/edge"
	"holdfast/edge/fleet"
	"holdfast/edge/trust"
	"holdfast/mqtt"
)

// Attendance is what Attend needs.
type Attendance struct {
	Folder    *Folder
	Freshness ed25519.PrivateKey
	Root      *trust.Root // nil: what the folder holds is believed
	// Once ends the attendance when nothing has come for Linger, 5 s; without it, ctx does.
	Once   bool
	Linger time.Duration
	// Tell is called for what a person may want to see; never twice at a time.
	Tell func(Deed)
}

// Deed is something an attendance did.
type Deed struct {
	Node   string `json:"node"`
	What   string `json:"what"` // fresh, policy, root, command, confirmed, hole, refused
	Detail string `json:"detail,omitempty"`
}

const (
	// maxBatch is how many messages are written together, at most.
	maxBatch = 512
	// confirmEvery is how often a stream that goes on is confirmed: each confirmation is
	// some 500 bytes on the node's link.
	confirmEvery = time.Second
	// linger is how long a node may take to say hello after it was greeted, or the next of
	// what it has kept: a link of the narrow kind needs a while for an entry.
	linger = 5 * time.Second
)

// Attend stands by for the fleet until ctx ends: it keeps every envelope of every node
// of the site and only then confirms it, answers hellos with freshness tokens, and
// brings nodes the policies, roots and commands that their hellos show missing.
func (d *Desk) Attend(ctx context.Context, a Attendance) error {
	release, err := a.Folder.attended()
	if err != nil {
		return err
	}
	defer release()
	name, err := a.Folder.clientID(d.options.Site)
	if err != nil {
		return err
	}
	at := newAttendant(d, a)
	o := d.session(name, d.filters("", mqtt.UpPresence, mqtt.UpHello, mqtt.UpEvent, mqtt.UpReply))
	o.Clean = false // while we are away the broker keeps what comes
	o.Handle = at.handle
	o.OnUp = func(context.Context) { ring(at.up) }
	if at.session, err = mqtt.New(o); err != nil {
		return err
	}
	linked, leave := context.WithCancel(context.WithoutCancel(ctx)) // what is on the disk is still confirmed at the end
	defer leave()
	ended := make(chan error, 1)
	go func() { ended <- at.session.Run(linked) }()
	err = at.run(ctx)
	leave()
	return errors.Join(err, <-ended)
}

// clientID is the name under which the broker keeps what comes while nobody attends.
func (f *Folder) clientID(site string) (string, error) {
	path := filepath.Join(f.path, "attendant."+site)
	name, err := readBounded(path, 64)
	if errors.Is(err, fs.ErrNotExist) {
		name = []byte(randomName())
		err = fleet.Write(path, name)
	}
	if err == nil && !edge.IsName(string(name)) {
		err = fmt.Errorf("cannot use client id in %q: it is no name: %w", path, edge.ErrInvalid)
	}
	return string(name), err
}

// item is one message on its way from the session to the attendant.
type item struct {
	said Said
	ack  func()
}

// attendant is one attendance: a goroutine that owns all below but the channels.
type attendant struct {
	Attendance
	desk     *Desk
	session  *mqtt.Session
	items    chan item // as long as a batch, so that one is gathered while another is flushed
	up       chan struct{}
	registry *Registry
	history  *history
	shelf    *shelf
	due      map[streamID]struct{} // to be confirmed
	unmet    map[streamID]struct{} // of nodes that were there before us
	acks     []func()
	grumble  grumble
	refusals grumble
	ending   bool // what is sent now must be on its way before we go
}

func newAttendant(d *Desk, a Attendance) *attendant {
	log := d.options.Log
	if a.Linger <= 0 {
		a.Linger = linger
	}
	return &attendant{
		Attendance: a, desk: d, items: make(chan item, maxBatch), up: make(chan struct{}, 1), registry: NewRegistry(),
		history: newHistory(filepath.Join(a.Folder.path, historyFolder), log),
		shelf:   newShelf(a.Folder, a.Root, log), due: map[streamID]struct{}{}, unmet: map[streamID]struct{}{},
	}
}

// handle passes a message on. What waits here is not acknowledged, so it comes again
// if the connection ends first.
func (at *attendant) handle(ctx context.Context, m mqtt.Delivery) {
	topic, err := mqtt.ParseTopic(m.Topic)
	if err != nil || topic.Node == "" || topic.Site != at.desk.options.Site {
		m.Ack()
		return
	}
	select {
	case at.items <- item{Said{topic, m.Payload, m.Retained, time.Now()}, m.Ack}:
	case <-ctx.Done():
	}
}

// run takes what comes in batches: what one flush of the disk takes, the next gathers.
func (at *attendant) run(ctx context.Context) error {
	confirm := time.NewTicker(confirmEvery)
	defer confirm.Stop()
	quiet, stopQuiet := at.quiet()
	defer stopQuiet()
	for {
		select {
		case <-ctx.Done():
			return at.farewell(ctx)
		case i := <-at.items:
			if err := at.batch(ctx, i); err != nil {
				return err
			}
		case <-at.up:
		case <-confirm.C:
			at.confirmAll(ctx)
			greeted := at.greetAll(ctx)
			if err := at.unreached(); at.Once && err != nil {
				return err
			}
			if !greeted {
				continue
			}
		case <-quiet.C:
			return at.leave(ctx)
		}
		if at.Once {
			quiet.Reset(at.Linger)
		}
	}
}

// quiet is when an attendance that is only for once ends: long enough after it has
// begun to connect, then Linger after it has, or has greeted, or what came last.
func (at *attendant) quiet() (timer *time.Timer, stop func()) {
	timer = time.NewTimer(at.desk.options.Patience)
	if !at.Once {
		timer.Stop()
	}
	return timer, func() { timer.Stop() }
}

// farewell flushes and confirms what came, at an orderly end.
func (at *attendant) farewell(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), confirmEvery)
	defer cancel()
	at.ending = true
	err := at.flush()
	if err == nil {
		at.confirmAll(ctx)
	}
	return err
}

// leave ends an attendance that was for once.
func (at *attendant) leave(ctx context.Context) error {
	if err := at.farewell(ctx); err != nil {
		return err
	}
	if at.session.State().Connections == 0 {
		return errors.Join(at.unreached(), fmt.Errorf("cannot reach broker %q in time: %w", at.desk.options.Broker, edge.ErrUnavailable))
	}
	return nil
}

// unreached is why there was never a connection, as far as that is known.
func (at *attendant) unreached() error {
	if state := at.session.State(); state.Connections == 0 && state.Failure != nil {
		return unreachable(at.desk.options.Broker, state.Failure)
	}
	return nil
}

// batch takes a message and those behind it, then flushes.
func (at *attendant) batch(ctx context.Context, first item) error {
	for i, n := first, 1; ; n++ {
		if err := at.take(ctx, i); err != nil {
			return err
		}
		if n == maxBatch {
			return at.flush()
		}
		select {
		case i = <-at.items:
		default:
			return at.flush()
		}
	}
}

// flush brings to the disk what was taken, and acknowledges it to the broker.
func (at *attendant) flush() error {
	if err := at.history.flush(); err != nil {
		return err
	}
	for _, ack := range at.acks {
		ack()
	}
	at.acks = nil
	return nil
}

// take deals with one message. Only what keeps history from being written is an error.
func (at *attendant) take(ctx context.Context, i item) error {
	at.acks = append(at.acks, i.ack)
	switch i.said.Topic.Kind {
	case mqtt.UpEvent, mqtt.UpReply:
		return at.takeEnvelope(i.said)
	}
	if err := at.registry.Take(i.said); err != nil {
		at.complain(i.said, err)
		return nil
	}
	switch i.said.Topic.Kind {
	case mqtt.UpPresence:
		return at.hearPresence(i.said)
	case mqtt.UpHello:
		return at.hearHello(ctx, i.said)
	}
	return nil
}

func (at *attendant) takeEnvelope(s Said) error {
	u, err := mqtt.DecodeEnvelope(s.Payload)
	if err == nil && u.Node != s.Topic.Node {
		err = fmt.Errorf("it names node %q: %w", u.Node, edge.ErrInvalid)
	}
	var n span
	if err == nil {
		n, err = spanOf(u)
	}
	if err != nil {
		at.complain(s, err)
		return nil
	}
	id := streamID{u.Node, u.Epoch}
	taken, err := at.history.take(id, n, s.Payload)
	if taken {
		at.refused(u, s.At)
	}
	k := at.history.streams[id]
	if err != nil || k == nil {
		return err
	}
	if n.to <= k.through || k.remind(s.At) {
		at.due[id] = struct{}{} // also for one that came again: the node has not heard
	}
	if missing, is := k.hole(); is && missing.to != k.missing { // not each time a piece of it comes
		k.missing = missing.to
		at.tell(id.node, "hole", fmt.Sprintf("%s: %d to %d are missing, nothing beyond is confirmed", id.epoch, missing.from, missing.to))
	}
	return nil
}

// refused tells that a node has refused what it was told: by us, if our key is not one
// it believes. What it kept while it was cut off is about something else.
func (at *attendant) refused(u mqtt.Envelope, now time.Time) {
	var e edge.Event
	if u.Type != typeEvent || u.Historical || json.Unmarshal(u.Body, &e) != nil {
		return
	}
	if e.Kind != edge.EventMessageRefused && e.Kind != edge.EventCommandRefused {
		return
	}
	if at.refusals.allows(now) > 0 {
		at.tell(u.Node, "refused", eventWords(e))
	}
}

// complain tells of a message that is of no use, a few times a minute at most.
func (at *attendant) complain(s Said, err error) {
	if left := at.grumble.allows(s.At); left > 0 {
		at.desk.options.Log.Warn("message not taken", "node", s.Topic.Node, "kind", string(s.Topic.Kind), "err", err)
		if left == 1 {
			at.desk.options.Log.Warn("more of them are not logged for a minute")
		}
	}
}

// grumble bounds lines in the log that others can cause.
type grumble struct {
	since time.Time
	said  int
}

// maxGrumbles is how many lines a minute may have.
const maxGrumbles = 10

// allows counts a line and tells how many may still be said, this one included.
func (g *grumble) allows(now time.Time) int {
	if now.Sub(g.since) >= time.Minute {
		g.since, g.said = now, 0
	}
	g.said++
	return maxGrumbles + 1 - g.said
}

// confirmAll says what lies on the disk. What cannot be said now is said when the node
// shows that it has not heard: nothing is lost by it.
func (at *attendant) confirmAll(ctx context.Context) {
	for id := range at.due {
		if at.session.State().Phase != mqtt.Up {
			return
		}
		delete(at.due, id)
		seq, err := at.history.through(id)
		if err != nil || seq == 0 {
			continue
		}
		if err := at.confirm(ctx, id, seq); err != nil {
			at.desk.options.Log.Warn("confirmation not sent", "node", id.node, "err", err)
		}
	}
}

func (at *attendant) confirm(ctx context.Context, id streamID, seq uint64) error {
	payload, err := trust.EncodeConfirmation(edge.Confirmation{Node: id.node, Epoch: id.epoch, Seq: seq})
	if err != nil {
		return err
	}
	envelope, err := trust.Sign(trust.TypeConfirmation, payload, at.Freshness)
	if err != nil {
		return err
	}
	at.tell(id.node, "confirmed", fmt.Sprintf("%s through %d", id.epoch, seq))
	return at.send(ctx, mqtt.Message{Topic: at.desk.topic(id.node, mqtt.DownAck), Payload: envelope})
}

// send gives a message to the link. That there is none is no error: the node says
// hello again.
func (at *attendant) send(ctx context.Context, m mqtt.Message) error {
	var err error
	if at.ending {
		err = at.session.Publish(ctx, m)
	} else {
		err = at.session.Send(ctx, m, func(error) {})
	}
	if errors.Is(err, mqtt.ErrDown) {
		return nil
	}
	return err
}

func (at *attendant) tell(node, what, detail string) {
	if at.Tell != nil {
		at.Tell(Deed{node, what, detail})
	}
}

// isEpoch tells whether text may name a file of history.
func isEpoch(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == 8
}
