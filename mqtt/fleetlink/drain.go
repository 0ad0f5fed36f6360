package fleetlink

import (
	"context"
	"errors"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/outbox"
)

const (
	// mostAtOnce bounds what is read from a stream into memory: 2 MB of the largest
	// records.
	mostAtOnce = 64
	// readAgain is how long a stream that cannot be read is left alone.
	readAgain = 5 * time.Second
)

// pace keeps history to half of the link. A burst is sent as fast as the link takes
// it; then history rests for as long as that took. So half of the time in flight is
// left to everything else, whatever the link can do, and no estimate can drift.
type pace struct {
	mu      sync.Mutex // guards the rest
	pending int        // of the burst, not acknowledged yet
	bytes   int
	began   time.Time
	until   time.Time // rest
	rate    float64   // bytes per second in flight, lately
	drained uint64    // entries
}

// begin starts a burst.
func (p *pace) begin(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending, p.bytes, p.began, p.until = 0, 0, now, time.Time{}
}

func (p *pace) depart(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending++
	p.bytes += bytes
}

// arrive ends the burst with its last entry.
func (p *pace) arrive(began time.Time, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.began.Equal(began) {
		return // of a connection before
	}
	p.pending--
	if err == nil {
		p.drained++
	}
	if p.pending > 0 {
		return
	}
	now := time.Now()
	took := now.Sub(p.began)
	p.until = now.Add(took)
	if took > 0 && err == nil {
		rate := float64(p.bytes) / took.Seconds()
		if p.rate > 0 {
			rate = (7*p.rate + rate) / 8
		}
		p.rate = rate
	}
}

// ready tells whether the next burst may begin, and if not, when; zero is when the last
// entry of this one has arrived.
func (p *pace) ready(now time.Time) (bool, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending > 0 || !now.Before(p.until) {
		return p.pending == 0, time.Time{}
	}
	return false, p.until
}

// forget ends the burst of a connection that ended.
func (p *pace) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending, p.began, p.until = 0, time.Time{}, time.Time{}
}

// drain sends the streams: what was committed first, then telemetry.
func (t *talk) drain(ctx context.Context) {
	l := t.link
	l.pace.forget()
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
		may, at := t.link.may(f, now)
		again = soonest(again, at)
		if !may {
			continue
		}
		n, err := t.pass(ctx, f)
		if n > 0 || err != nil {
			return true, time.Time{}, err
		}
		if t.link.troubles.has(warnUnreadable) {
			again = soonest(again, now.Add(readAgain))
		}
	}
	return false, again, nil
}

// may tells whether a stream may be sent now, and when to look again at the latest.
// For telemetry the month must have bytes left, and history must have rested.
func (l *Link) may(f *flow, now time.Time) (may bool, again time.Time) {
	if l.confirms.Load() {
		again = f.doubt(now, l.around)
	}
	if f != l.telemetry {
		return true, again
	}
	if until, scarce := l.scarce(); scarce {
		return false, soonest(again, until)
	}
	if !f.isPaced() {
		return true, again
	}
	ready, at := l.pace.ready(now)
	return ready, soonest(again, at)
}

// soonest is the earlier of two times, of which zero is never.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// pass sends one batch of one stream.
func (t *talk) pass(ctx context.Context, f *flow) (int, error) {
	paced := f == t.link.telemetry && f.isPaced()
	most := mostAtOnce
	if paced {
		most = t.link.burst()
	}
	batch, era, err := f.read(most)
	t.link.readable(f, err)
	if err != nil {
		return 0, nil // a warning says so, and it is tried again
	}
	defer f.probed(era)
	if len(batch.Entries) == 0 {
		return 0, nil
	}
	p := parcel{flow: f, epoch: batch.Epoch, era: era}
	if paced {
		p.began = time.Now()
		t.link.pace.begin(p.began)
	}
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
	began time.Time // of the burst; zero: there is none
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
	arrived := func(err error) {
		if !p.began.IsZero() {
			l.pace.arrive(p.began, err)
		}
	}
	if !p.began.IsZero() {
		l.pace.depart(len(m.Payload))
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

// burst leaves a quarter of the window to what is not history.
func (l *Link) burst() int {
	window := 32
	if t := l.tuning.Load(); t != nil && t.Window > 0 {
		window = t.Window
	}
	return min(max(1, window*3/4), mostAtOnce)
}

// settleAll lets go what may go, of a fleet that does not confirm.
func (l *Link) settleAll() {
	if l.confirms.Load() {
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
