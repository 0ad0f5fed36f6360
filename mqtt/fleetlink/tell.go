package fleetlink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
)

// How often state is told.
const (
	deltaEvery = time.Second // changes in between become one
	// wholeEvery is how old the retained state may be while changes are told: who
	// comes new to the fleet has to wait that long for the truth.
	wholeEvery = time.Minute
	// wholeAfter is how soon the whole follows the last of some changes, as long as there
	// are no more than two in wholeEvery.
	wholeAfter = 3 * time.Second
	// scarceEvery takes the place of both when the month's bytes are used up.
	scarceEvery = 15 * time.Minute
)

// teller knows what the fleet was told of the state. One conversation after the other
// uses it, so it needs no lock.
type teller struct {
	session string // under which the versions count
	version uint64
	said    []byte    // the newest that was acknowledged; nil: nobody knows
	deltas  bool      // changes were told since the whole one
	large   bool      // the whole one did not fit a frame, so a change has nothing to change
	whole   time.Time // when that was
	before  time.Time // when the one before was
	at      time.Time // when anything was told
}

// telling is one thing to be told.
type telling struct {
	whole   bool
	state   []byte
	message mqtt.Message
}

// state is the reported state, in the form that is compared.
func (l *Link) state() ([]byte, error) { return edge.CanonicalJSON(l.options.State()) }

// tellFirst tells the whole state, unless the broker remembers us and it as it is.
// The answer is told to keepTelling.
func (t *talk) tellFirst(ctx context.Context) (told chan error, err error) {
	told = make(chan error, 1)
	state, err := t.link.state()
	if err != nil {
		return nil, err
	}
	teller := &t.link.teller
	if t.resumed && !teller.deltas && teller.said != nil && bytes.Equal(teller.said, state) {
		told <- nil
		return told, nil
	}
	*teller = teller.anew(t.session)
	w, err := teller.wholly(t.link, state)
	if err != nil {
		return nil, err
	}
	err = t.link.session.Send(ctx, w.message, func(err error) { told <- err })
	if errors.Is(err, edge.ErrInvalid) {
		told <- err
		err = nil
	}
	if err == nil {
		teller.note(&w)
		teller.at = time.Time{} // what the fleet has us change now is told at once
	}
	return told, err
}

// anew forgets everything but the time.
func (k *teller) anew(session string) teller { return teller{session: session, at: k.at} }

// keepTelling tells what changes.
func (t *talk) keepTelling(ctx context.Context, told <-chan error) {
	select {
	case <-ctx.Done():
		t.link.teller.said = nil
		return
	case err := <-told:
		if !t.told(err) {
			return
		}
	}
	for t.tellNext(ctx) {
	}
}

// tellNext waits for the next thing to tell, and tells it.
func (t *talk) tellNext(ctx context.Context) bool {
	l := t.link
	changed, forced := l.options.StateChanged(), false
	for {
		state, err := l.state()
		if err != nil {
			return false
		}
		w, wait := l.teller.next(l, state, forced)
		if w != nil && wait <= 0 {
			return t.tell(ctx, w)
		}
		timer := time.NewTimer(max(wait, 0))
		if w == nil && wait == 0 {
			timer.Stop() // nothing is due until something changes
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		case <-changed:
			changed = l.options.StateChanged()
		case <-l.retell:
			forced = true
		}
		timer.Stop()
	}
}

// tell sends it and waits for the acknowledgement.
func (t *talk) tell(ctx context.Context, w *telling) bool {
	k := &t.link.teller
	k.note(w)
	return t.told(t.link.session.Publish(ctx, w.message))
}

// told takes note of how telling went; false when the connection has ended.
func (t *talk) told(err error) bool {
	k := &t.link.teller
	k.large = errors.Is(err, edge.ErrInvalid)
	t.link.troubles.set(k.large, edge.Warning{
		Code: warnLarge, Subject: t.link.options.Node, Detail: fmt.Sprintf("the fleet does not see this node's state: %v", err),
		Remedy: "raise the link's largest frame, or run fewer workloads on this node",
	})
	if err != nil && !k.large {
		k.said = nil // nobody knows
		return false
	}
	return true
}

// next says what there is to tell, and in how long: a change soon, a whole one when
// the retained one is old, or when the change would be larger.
func (k *teller) next(l *Link, state []byte, forced bool) (*telling, time.Duration) {
	gap, whole := deltaEvery, wholeEvery
	if _, scarce := l.scarce(); scarce {
		gap, whole = scarceEvery, scarceEvery
	}
	now := time.Now()
	same := bytes.Equal(k.said, state)
	switch due := k.wholeDue(whole).Sub(now); {
	case forced, k.said == nil, k.deltas && due <= 0:
		if w, err := k.wholly(l, state); err == nil {
			return &w, k.at.Add(min(gap, deltaEvery)).Sub(now)
		}
		return nil, 0
	case same && k.deltas:
		return nil, due
	case same:
		return nil, 0
	}
	w, err := k.change(l, state)
	if err != nil {
		return nil, 0
	}
	return &w, k.at.Add(gap).Sub(now)
}

// wholeDue is when the retained state is brought up to the changes that were told:
// soon after the last of them, if that was not done a moment ago.
func (k *teller) wholeDue(every time.Duration) time.Time {
	late, soon := k.whole.Add(every), k.at.Add(wholeAfter)
	if free := k.before.Add(every); free.After(soon) {
		soon = free
	}
	if soon.Before(late) {
		return soon
	}
	return late
}

// wholly is the whole state, to be kept by the broker.
func (k *teller) wholly(l *Link, state []byte) (telling, error) {
	m, err := l.document(mqtt.UpState, true, edge.StateReport{Node: l.options.Node, Session: k.session, Version: k.version + 1, State: state})
	return telling{whole: true, state: state, message: m}, err
}

// change is what changed, or the whole when that is shorter.
func (k *teller) change(l *Link, state []byte) (telling, error) {
	patch, err := mqtt.Diff(k.said, state)
	if err != nil || k.large || len(patch) >= len(state) {
		return k.wholly(l, state)
	}
	m, err := l.document(mqtt.UpDelta, false, edge.StateDelta{
		Node: l.options.Node, Session: k.session, From: k.version, To: k.version + 1, Patch: patch,
	})
	return telling{state: state, message: m}, err
}

// note takes it for told. Who learns that it was not forgets said.
func (k *teller) note(w *telling) {
	k.version++
	k.said, k.at = w.state, time.Now()
	k.deltas = !w.whole
	if w.whole {
		k.before, k.whole = k.whole, k.at
	}
}
