package fleetlink

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
)

// Times of what is said without being asked.
const (
	// helloEvery is how often a standing link asks for freshness, and says everything
	// anew; a lease is longer.
	helloEvery = 6 * time.Hour
	// answerWithin is how long the answer to a hello may take.
	answerWithin = 5 * time.Second
	// settleFor is how long an echo may take to follow the will it comes after.
	settleFor = time.Second
	// rebirthBase and rebirthMost bound how often a birth is repeated when somebody
	// else, or a broker, says each time that we are gone.
	rebirthBase = 2 * time.Second
	rebirthMost = 5 * time.Minute
	farewell    = 2 * time.Second
)

// talk is what is said on one connection.
type talk struct {
	link    *Link
	session string
	since   *time.Time // in the birth
	resumed bool       // the broker remembers us
	alien   chan struct{}
	late    chan struct{} // capacity 1: somebody attends, who may not have heard our hello

	answered atomic.Bool // the fleet has answered a hello
	heeded   atomic.Bool // somebody came later

	mu    sync.Mutex // guards heard
	heard string     // the session the latest presence bore
}

// up is the link's life on one connection, until ctx ends.
func (l *Link) up(ctx context.Context) {
	t := &talk{link: l, session: *l.drawn.Load(), resumed: l.session.State().Resumed, alien: make(chan struct{}, 1), late: make(chan struct{}, 1)}
	t.heard = t.session
	for _, f := range l.flows {
		f.begin(t.resumed, l.fleetConfirms(), time.Now())
	}
	drained(l.greet)
	drained(l.retell)
	l.talk.Store(t)
	t.live(ctx)
	l.talk.Store(nil)
	l.settleAll()
	t.goodbye(ctx)
}

// live says what is due at once, one after the other without waiting for answers,
// and then whatever comes.
func (t *talk) live(ctx context.Context) {
	if t.birth(ctx) != nil || t.hello(ctx) != nil {
		return
	}
	told, err := t.tellFirst(ctx)
	if err != nil {
		return
	}
	var work sync.WaitGroup
	work.Go(func() { t.keepPresence(ctx) })
	work.Go(func() { t.keepGreeting(ctx) })
	work.Go(func() { t.keepTelling(ctx, told) })
	work.Go(func() { t.drain(ctx) })
	work.Wait()
}

// goodbye says at an orderly end that we are gone; at any other there is nobody to say
// it to.
func (t *talk) goodbye(ctx context.Context) {
	m, err := t.link.document(mqtt.UpPresence, true, t.link.death(t.session))
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	_ = t.link.session.Publish(ctx, m) // else the will says it
}

// birth says that we are here. One that is too large says no more than that.
func (t *talk) birth(ctx context.Context) error {
	presence := t.link.options.Birth()
	if t.since == nil {
		t.since = presence.Since
	}
	presence.Node, presence.Online, presence.Session = t.link.options.Node, true, t.session
	presence.Outbox, presence.Since = t.link.reports(), t.since
	err := t.say(ctx, mqtt.UpPresence, true, presence)
	if errors.Is(err, edge.ErrInvalid) {
		t.link.options.Log.Warn("birth is too large", "err", err)
		presence.Labels, presence.Models, presence.Groups = nil, nil, nil
		err = t.say(ctx, mqtt.UpPresence, true, presence)
	}
	return err
}

// hello says what we know, and asks. One that is too large does not list commands.
func (t *talk) hello(ctx context.Context) error {
	l := t.link
	hello := l.options.Hello()
	hello.Node, hello.Session, hello.Streams, hello.Nonce = l.options.Node, t.session, l.reports(), ""
	if l.options.Freshness != nil {
		nonce, err := l.options.Freshness.Nonce(ctx)
		if err != nil {
			l.options.Log.Warn("cannot ask for freshness", "err", err)
		}
		hello.Nonce = nonce
	}
	err := t.say(ctx, mqtt.UpHello, false, hello)
	if errors.Is(err, edge.ErrInvalid) {
		l.options.Log.Warn("hello is too large", "err", err)
		hello.Seen = nil
		err = t.say(ctx, mqtt.UpHello, false, hello)
	}
	return err
}

// say sends a document on a topic of ours.
func (t *talk) say(ctx context.Context, kind mqtt.Kind, retained bool, document any) error {
	m, err := t.link.document(kind, retained, document)
	if err != nil {
		return err
	}
	return t.link.session.Send(ctx, m, func(error) {})
}

// keepGreeting says hello again, and now and then birth and state too: a broker may
// have lost what it acknowledged.
func (t *talk) keepGreeting(ctx context.Context) {
	var doubt <-chan time.Time // that our hello was heard
	for {
		next := time.NewTimer(t.link.around(helloEvery))
		select {
		case <-ctx.Done():
			next.Stop()
			return
		case <-t.late:
			next.Stop()
			doubt = time.After(answerWithin)
			continue
		case <-doubt:
			if doubt = nil; t.answered.Load() {
				next.Stop()
				continue
			}
		case <-t.link.greet:
		case <-next.C:
			if t.birth(ctx) != nil {
				return
			}
			nudge(t.link.retell)
		}
		next.Stop()
		if t.hello(ctx) != nil {
			return
		}
	}
}

// keepPresence says again that we are here whenever the broker has been told
// otherwise: a will may come late, after the birth of the session that follows.
// What it says to us comes in the order in which it keeps it, our own births
// included, so the latest counts.
func (t *talk) keepPresence(ctx context.Context) {
	wait := rebirthBase
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.alien:
		}
		if !last.IsZero() && time.Since(last) > 2*rebirthMost {
			wait = rebirthBase
		}
		if !pause(ctx, max(settleFor, wait-time.Since(last))) {
			return
		}
		if !t.isAlien() {
			continue
		}
		if last = time.Now(); t.birth(ctx) != nil {
			return
		}
		wait = min(2*wait, rebirthMost)
	}
}

// hearPresence takes what the broker is told about us. Nothing at all is a presence
// that somebody cleared; junk, or that we are gone, is one that somebody made up.
func (t *talk) hearPresence(payload []byte) (err error) {
	var presence edge.Presence
	if len(payload) > 0 {
		err = json.Unmarshal(payload, &presence)
	}
	heard := presence.Session
	if err != nil || !presence.Online {
		heard = ""
	}
	t.mu.Lock()
	t.heard = heard
	t.mu.Unlock()
	if heard != t.session {
		nudge(t.alien)
	}
	return err
}

func (t *talk) isAlien() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.heard != t.session
}

// drained empties a channel of capacity 1.
func drained(c chan struct{}) {
	select {
	case <-c:
	default:
	}
}
