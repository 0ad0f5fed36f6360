package fleetlink

import (
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/outbox"
)

// What the fleet did not confirm is asked after when it has been silent for so long.
const (
	doubtBase = 10 * time.Minute
	doubtMost = 6 * time.Hour
	// doubtLeast is how long a fleet may take to keep what it got. A confirmation of
	// nothing new that comes later means that nothing more arrived.
	doubtLeast = 30 * time.Second
)

// flow is a stream on its way to the fleet.
//
//	confirmed ≤ arrived ≤ cursor
//	│           │         └ read, and given to the session
//	│           └ acknowledged by the broker, all up to here
//	└ may go: the fleet confirmed it, or does not confirm and it arrived
type flow struct {
	stream     Stream
	durability mqtt.Durability // of its records; empty: they say so themselves

	mu       sync.Mutex // guards the rest; never held during a call to the stream or the session
	cursor   outbox.Position
	arrived  uint64
	acked    uint64 // of arrived, what the stream was told
	flight   []*mark
	era      int    // grows when marks of before mean nothing any more
	historic uint64 // numbers below waited through a time without link
	paced    uint64 // numbers below are history, or sent again, and take their time
	looked   uint64 // up to here replies went ahead
	waiting  time.Time
	patience time.Duration
	probing  bool      // the next to be sent is the first that was not confirmed
	doubted  bool      // it was sent, and no confirmation has come yet
	held     time.Time // until when nothing is sent, unless the fleet says before what it keeps
	sent     uint64
}

// mark is an entry on its way.
type mark struct {
	seq     uint64
	era     int
	arrived bool
}

// begin prepares for a new connection. What the former broker acknowledged is sent
// again, unless it remembers us and the fleet will say what it kept. Before a fleet that
// confirms is sent anything again, it has time to say so.
func (f *flow) begin(resumed, confirms bool, now time.Time) {
	report := f.stream.Report()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.era++
	f.flight = nil
	from := report.Confirmed
	f.held = time.Time{}
	if resumed && confirms && f.cursor.Epoch == report.Epoch {
		from = max(from, f.arrived)
	} else {
		f.waiting, f.patience, f.doubted = time.Time{}, doubtBase, false
		if confirms && report.Next > report.Confirmed+1 {
			f.held = now.Add(answerWithin)
		}
	}
	f.probing = false
	f.cursor = outbox.Position{Epoch: report.Epoch, Seq: from}
	f.arrived, f.acked = from, report.Confirmed
	f.historic, f.paced, f.looked = report.Next, report.Next, report.Next-min(report.Next, 1)
}

// heldUntil is until when the fleet has time to say what it keeps; zero: it has said so,
// or was given that time.
func (f *flow) heldUntil(now time.Time) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.held.After(now) {
		f.held = time.Time{}
	}
	return f.held
}

// isPaced tells whether what comes next is history, or is sent again.
func (f *flow) isPaced() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.probing || f.cursor.Seq+1 < f.paced
}

// read returns what is to be sent next, and the era in which that holds.
func (f *flow) read(most int) (batch outbox.Batch, era int, err error) {
	f.mu.Lock()
	after, era := f.cursor, f.era
	if f.probing {
		after = outbox.Position{} // what follows the confirmed
	}
	f.mu.Unlock()
	batch, err = f.stream.Read(after, most)
	if err != nil || len(batch.Entries) == 0 || batch.Epoch == f.epoch() {
		return batch, era, err
	}
	return batch, f.moved(batch.Epoch, f.stream.Report()), nil
}

func (f *flow) epoch() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cursor.Epoch
}

// moved begins anew in another epoch: the stream has found its store.
func (f *flow) moved(epoch string, report edge.StreamReport) (era int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.era++
	f.flight, f.probing, f.doubted, f.held = nil, false, false, time.Time{}
	f.cursor = outbox.Position{Epoch: epoch}
	if report.Epoch != epoch {
		report = edge.StreamReport{} // it moved on once more
	}
	f.cursor.Seq, f.arrived, f.acked = report.Confirmed, report.Confirmed, report.Confirmed
	f.historic, f.paced, f.waiting = report.Next, report.Next, time.Time{}
	f.looked = report.Next - min(report.Next, 1)
	return f.era
}

// depart notes that an entry is given to the session now. It is nil when something else
// is to be sent first, because the fleet has just said what it lacks.
func (f *flow) depart(seq uint64, era int) *mark {
	f.mu.Lock()
	defer f.mu.Unlock()
	if era != f.era {
		return nil
	}
	m := &mark{seq: seq, era: f.era}
	f.flight = append(f.flight, m)
	f.cursor.Seq = max(f.cursor.Seq, seq)
	f.sent++
	return m
}

// retract takes back what could not be given to the session.
func (f *flow) retract(m *mark) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent--
	if m.era != f.era {
		return
	}
	for i, other := range f.flight {
		if other == m {
			f.flight = append(f.flight[:i], f.flight[i+1:]...)
			f.cursor.Seq = min(f.cursor.Seq, m.seq-1)
			return
		}
	}
}

// probed notes that what follows the confirmed was sent once more.
func (f *flow) probed(era int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.probing && era == f.era {
		f.probing, f.doubted = false, true
	}
}

// arrive notes that the broker has an entry, or that its connection ended.
func (f *flow) arrive(m *mark, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil || m.era != f.era {
		return
	}
	m.arrived = true
	n := 0
	for n < len(f.flight) && f.flight[n].arrived {
		f.arrived = max(f.arrived, f.flight[n].seq)
		n++
	}
	f.flight = append(f.flight[:0], f.flight[n:]...)
	if f.waiting.IsZero() {
		f.waiting = time.Now()
	}
}

// settle lets go what arrived, of a fleet that does not confirm.
func (f *flow) settle() {
	f.mu.Lock()
	to, due := outbox.Position{Epoch: f.cursor.Epoch, Seq: f.arrived}, f.arrived > f.acked
	f.acked = max(f.acked, f.arrived)
	f.mu.Unlock()
	if due {
		f.stream.Ack(to)
	}
}

// confirmed notes what the fleet keeps. One that is about less than what arrived long
// ago says that the rest was lost between.
func (f *flow) confirmed(seq, before uint64, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	news := seq > before
	silent := !f.waiting.IsZero() && now.Sub(f.waiting) >= doubtLeast
	f.held = time.Time{}
	f.acked = max(f.acked, seq)
	f.cursor.Seq = max(f.cursor.Seq, seq)
	switch {
	case seq >= f.arrived:
		f.arrived, f.waiting, f.doubted, f.probing = seq, time.Time{}, false, false
	case f.doubted && news || !news && silent && seq == before:
		f.rewindLocked(seq, now)
	case news:
		f.waiting = now
	}
	if news {
		f.patience = doubtBase
	}
}

// rewindLocked sends everything behind seq again.
func (f *flow) rewindLocked(seq uint64, now time.Time) {
	f.era++
	f.flight = nil
	f.paced = max(f.paced, f.cursor.Seq+1)
	f.cursor.Seq, f.arrived = seq, seq
	f.doubted, f.probing, f.waiting = false, false, now
}

// doubt returns when the fleet is to be asked after what it did not confirm, or asks
// when that is now: with the first entries, because a fleet that is away needs no
// more, and one that is there will say what it lacks.
func (f *flow) doubt(now time.Time, around func(time.Duration) time.Duration) (at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting.IsZero() || f.probing {
		return time.Time{}
	}
	if f.patience == 0 {
		f.patience = doubtBase
	}
	if at = f.waiting.Add(f.patience); now.Before(at) {
		return at
	}
	f.probing, f.waiting = true, now
	f.patience = min(around(2*f.patience), doubtMost)
	return time.Time{}
}

// doubtNow asks at once, but not after what has only just arrived.
func (f *flow) doubtNow(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.waiting.IsZero() && now.Sub(f.waiting) >= doubtLeast {
		f.probing, f.waiting = true, now
	}
}
