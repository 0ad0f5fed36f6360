package fleetlink

import (
	"context"
	"errors"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/outbox"
)

const (
	// mostAtOnce bounds what is read from a stream into memory: 2.3 MB of the largest
	// records.
	mostAtOnce = 64
	// readAgain is how long a stream that cannot be read is left alone.
	readAgain = 5 * time.Second
)

// drain sends the streams: what was committed first, then telemetry.
func (t *talk) drain(ctx context.Context) {
	l := t.link
	l.pace.anew()
	for ctx.Err() == nil {
		changed := make([]<-chan struct{}, 2) // a nil channel never wakes
		for i, f := range l.flows {
			changed[i] = f.stream.Changed()
		}
		l.settleAll()
		sent, again, err := t.round(ctx)
		if err != nil {
			return
		}
		if !sent {
			l.rest(ctx, changed, again)
		}
	}
}

// rest waits until there may be something to send.
func (l *Link) rest(ctx context.Context, changed []<-chan struct{}, again time.Time) {
	var due <-chan time.Time
	if !again.IsZero() {
		timer := time.NewTimer(time.Until(again))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-l.wake:
	case <-changed[0]:
	case <-changed[1]:
	case <-due:
	}
}

// round sends what may be sent now, of one stream, and says otherwise when to look
// again.
func (t *talk) round(ctx context.Context) (sent bool, again time.Time, err error) {
	now := time.Now()
	for _, f := range t.link.flows {
		a, at := t.link.may(f, now)
		again = soonest(again, at)
		if f == t.link.telemetry && (a.most == 0 || a.paced) {
			n, err := t.hurry(ctx, f)
			if sent = n > 0; err != nil {
				return sent, time.Time{}, err
			}
		}
		if a.most == 0 {
			continue
		}
		n, err := t.pass(ctx, f, a)
		if n > 0 || err != nil {
			return true, time.Time{}, err
		}
		if t.link.troubles.has(warnUnreadable) {
			again = soonest(again, now.Add(readAgain))
		}
	}
	return sent, again, nil
}

// allowance is how much of a stream may be sent at once.
type allowance struct {
	most  int
	paced bool
}

// may tells how much of a stream may be sent now, and when to look again at the latest.
// For telemetry the month must have bytes left, and history must have rested.
func (l *Link) may(f *flow, now time.Time) (a allowance, again time.Time) {
	if l.fleetConfirms() {
		again = f.doubt(now, l.around)
	}
	if until := f.heldUntil(now); !until.IsZero() {
		return allowance{}, soonest(again, until)
	}
	if f != l.telemetry {
		return allowance{most: mostAtOnce}, again
	}
	if until, scarce := l.scarce(); scarce {
		return allowance{}, soonest(again, until)
	}
	if !f.isPaced() {
		return allowance{most: mostAtOnce}, again
	}
	most, at := l.pace.ready(now, l.burst())
	return allowance{most: min(most, mostAtOnce), paced: true}, soonest(again, at)
}

// soonest is the earlier of two times, of which zero is never.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// pass sends one batch of one stream.
func (t *talk) pass(ctx context.Context, f *flow, a allowance) (int, error) {
	batch, era, err := f.read(a.most)
	t.link.readable(f, err)
	if err != nil {
		return 0, nil // a warning says so, and it is tried again
	}
	defer f.probed(era)
	p := parcel{flow: f, epoch: batch.Epoch, era: era, paced: a.paced}
	for i, e := range batch.Entries {
		if err := t.send(ctx, p, e); err != nil {
			return i, err
		}
	}
	return len(batch.Entries), nil
}

// parcel is what entries of one batch have in common.
type parcel struct {
	flow  *flow
	epoch string
	era   int
	paced bool
}

// send gives one entry to the session.
func (t *talk) send(ctx context.Context, p parcel, e outbox.Entry) error {
	l := t.link
	historical := e.Seq < p.flow.historicBelow()
	m, err := l.message(p.flow, p.epoch, e, historical)
	if err != nil {
		return err
	}
	err = t.give(ctx, p, e.Seq, m)
	if !errors.Is(err, edge.ErrInvalid) || e.Gap != nil {
		return err
	}
	if m, err = l.unsayable(p.flow, p.epoch, e, historical, err); err != nil { // larger than this link's frames
		return err
	}
	return t.give(ctx, p, e.Seq, m)
}

// give hands a message over, unless something else is to be sent first.
func (t *talk) give(ctx context.Context, p parcel, seq uint64, m mqtt.Message) error {
	l, f := t.link, p.flow
	mark := f.depart(seq, p.era)
	if mark == nil {
		return nil
	}
	arrived := func(error) {}
	if p.paced {
		link := l.pace.depart(time.Now(), len(m.Payload))
		arrived = func(err error) { l.pace.arrive(link, err) }
	}
	err := l.session.Send(ctx, m, func(err error) {
		f.arrive(mark, err)
		arrived(err)
		nudge(l.wake)
	})
	if err != nil {
		f.retract(mark)
		arrived(err)
	}
	return err
}

// burst is how many entries of history may be on their way. It leaves a quarter of the
// window to the rest.
func (l *Link) burst() int {
	window := 32
	if t := l.tuning.Load(); t != nil && t.Window > 0 {
		window = t.Window
	}
	return max(1, window*3/4)
}

// settleAll lets go what may go, of a fleet that does not confirm.
func (l *Link) settleAll() {
	if l.fleetConfirms() {
		return
	}
	for _, f := range l.flows {
		f.settle()
	}
}

func (f *flow) historicBelow() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.historic
}
