package fleetlink

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/edge"
	"holdfast/mqtt"
)

// Link is the link of one node to its fleet.
type Link struct {
	options Options
	session *mqtt.Session
	tuning  atomic.Pointer[mqtt.Tuning] // of the latest connection
	talk    atomic.Pointer[talk]        // while the link is up
	drawn   atomic.Pointer[string]      // the session the latest will names

	flows     []*flow // in the order in which they are sent
	control   *flow
	telemetry *flow
	pace      pace
	teller    teller
	budget    *budget
	refusals  refusals
	answers   *bucket // freshness
	words     *bucket // confirmations
	troubles  troubles
	policies  *inlet
	commands  *inlet

	wake      chan struct{} // capacity 1: somebody may have something to send
	greet     chan struct{} // capacity 1: say hello again
	retell    chan struct{} // capacity 1: tell the whole state again
	confirms  atomic.Bool
	unkept    atomic.Bool               // Memory failed to keep that
	freshness atomic.Pointer[time.Time] // when the fleet last answered

	mu      sync.Mutex // guards changed and random
	changed chan struct{}
	random  func() float64
}

// New checks the options. It touches nothing of the world; Run does.
func New(o Options) (*Link, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.fill()
	l := &Link{
		options: o, budget: newBudget(o.Meter), answers: &bucket{}, words: &bucket{},
		wake: make(chan struct{}, 1), greet: make(chan struct{}, 1), retell: make(chan struct{}, 1),
		changed: make(chan struct{}), random: o.Session.Random,
	}
	if l.random == nil {
		l.random = mathrand.Float64
	}
	if o.Control != nil {
		l.control = &flow{stream: o.Control, durability: mqtt.Committed}
		l.flows = append(l.flows, l.control)
	}
	if o.Telemetry != nil {
		l.telemetry = &flow{stream: o.Telemetry}
		l.flows = append(l.flows, l.telemetry)
	}
	l.policies = l.newInlet(mostPolicies, l.applyPolicy)
	l.commands = l.newInlet(mostCommands, l.takeCommand)
	l.commands.ordered = true
	session, err := mqtt.New(l.sessionOptions())
	if err != nil {
		return nil, err
	}
	l.session = session
	return l, nil
}

// sessionOptions are the network's, with the link's hooks.
func (l *Link) sessionOptions() mqtt.Options {
	o := l.options.Session
	o.Subscriptions = append(mqtt.NodeFilters(l.options.Site, l.options.Node, l.options.Groups...), l.topic(mqtt.UpPresence))
	o.Handle, o.Will, o.OnUp, o.OnDown = l.hear, l.will, l.up, nil
	o.Random, o.Oversize = l.draw, true // a giant must not come again and again
	tuning, retune := o.Tuning, o.Retune
	o.Retune = func() mqtt.Tuning {
		t := tuning
		if retune != nil {
			t = retune()
		}
		if t.MaxFrame <= 0 {
			t.MaxFrame = mqtt.PolicyFrame
		}
		l.tuning.Store(&t)
		return t
	}
	if o.Inbox <= 0 {
		o.Inbox, o.InboxBytes = inbox, inboxBytes
	}
	return o
}

func (l *Link) newInlet(most int, deal func(context.Context, []byte) error) *inlet {
	renew := func() { l.session.Reconnect() } // there is a session before anything comes
	return &inlet{most: most, deal: deal, renew: renew, refused: l.refuse, came: make(chan struct{}, 1)}
}

// inbox takes what the inlets have room for, even when all of it comes at once: brokers
// send 20 (mosquitto) or more without acknowledgement.
const (
	inbox      = 2 * (mostCommands + mostPolicies)
	inboxBytes = 4 << 20
)

// Run keeps the link up and speaks on it until ctx ends, and returns nil after
// everything it started has ended.
func (l *Link) Run(ctx context.Context) error {
	l.start()
	defer l.stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return l.session.Run(ctx) })
	group.Go(func() error { return l.policies.run(ctx) })
	group.Go(func() error { return l.commands.run(ctx) })
	group.Go(func() error { return l.watch(ctx) })
	group.Go(func() error { return l.keepMeter(ctx) })
	return group.Wait()
}

// start remembers what there is to remember.
func (l *Link) start() {
	if err := l.budget.load(l.now()); err != nil {
		l.options.Log.Warn("bytes of the month are not known", "err", err)
	}
}

// stop writes down what is not to be lost.
func (l *Link) stop() {
	l.settleAll()
	if err := l.budget.save(l.now(), l.wire()); err != nil {
		l.options.Log.Warn("bytes of the month were not kept", "err", err)
	}
}

// Refresh says hello and tells the whole state once more, and asks after what the
// fleet has not confirmed. On the next connection that happens anyway.
func (l *Link) Refresh() {
	nudge(l.greet)
	nudge(l.retell)
	for _, f := range l.flows {
		f.doubtNow(time.Now())
	}
	nudge(l.wake)
}

// will is what the broker says when we vanish. Each connection has a session of its
// own, so that a late will is known for what it is.
func (l *Link) will() *mqtt.Message {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	session := hex.EncodeToString(b[:])
	l.drawn.Store(&session)
	death := l.death(session)
	m, err := l.document(mqtt.UpPresence, true, death)
	if err == nil && len(m.Payload) > maxWill {
		death.Labels, death.Models, death.Groups = nil, nil, nil
		m, err = l.document(mqtt.UpPresence, true, death)
	}
	if err != nil {
		return nil // what a birth says always encodes
	}
	return &m
}

// maxWill leaves room in a CONNECT of the smallest frame that anybody would choose.
const maxWill = 8 << 10

// death is the presence of a node that is gone. It still says who the node is: while it
// is away, that is all its fleet has to know it by.
func (l *Link) death(session string) edge.Presence {
	p := l.options.Birth()
	p.Node, p.Session, p.Online, p.Since, p.Outbox = l.options.Node, session, false, nil, nil
	return p
}

// document is a message that holds one document.
func (l *Link) document(kind mqtt.Kind, retained bool, document any) (mqtt.Message, error) {
	text, err := edge.CanonicalJSON(document)
	return mqtt.Message{Topic: l.topic(kind), Payload: text, Retained: retained}, err
}

func (l *Link) topic(kind mqtt.Kind) string {
	return mqtt.Topic{Site: l.options.Site, Node: l.options.Node, Kind: kind}.String()
}

// reports are all streams as they are.
func (l *Link) reports() []edge.StreamReport {
	var all []edge.StreamReport
	for _, f := range l.flows {
		all = append(all, f.report())
	}
	return all
}

func (l *Link) isOurs(group string) bool { return slices.Contains(l.options.Groups, group) }

// draw is uniform in [0, 1), for whoever asks.
func (l *Link) draw() float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.random()
}

// around is a time that no two nodes share: within a quarter of it.
func (l *Link) around(d time.Duration) time.Duration {
	return d - d/4 + time.Duration(l.draw()*float64(d/2))
}

// wire is how many bytes went over the wire since New.
func (l *Link) wire() uint64 {
	state := l.session.State()
	return state.BytesIn + state.BytesOut
}

// nudge wakes who waits at a channel of capacity 1.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pause waits until something is there, or ctx ends; then it returns false.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
