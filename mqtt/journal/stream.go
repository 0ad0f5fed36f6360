package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/mqtt/outbox"
)

// KindReply is the kind of entries whose body is an edge.Reply.
const KindReply = "reply"

func (s *stream) push(e entry) {
	s.entries = append(s.entries, e)
	s.bytes += e.size()
}

// trim drops entries that were acknowledged.
func (d *draft) trim(acked uint64) {
	s := &d.stream
	if acked <= s.Acked {
		return
	}
	s.Acked = acked
	for len(s.entries) > 0 && s.entries[0].Seq <= acked {
		d.dropOldest()
	}
	if s.Dropped > 0 && s.DroppedTo <= acked {
		s.Dropped, s.DroppedTo = 0, 0
	}
	d.putNumbers()
}

func (d *draft) dropOldest() {
	s := &d.stream
	d.remove(bucketStream, streamKey(s.entries[0].Seq))
	s.bytes -= s.entries[0].size()
	s.entries = s.entries[1:]
}

func (d *draft) putNumbers() {
	text, _ := json.Marshal(d.stream.numbers) // numbers can be written
	d.put(bucketMeta, "stream", text)
}

// add puts an entry on the stream, and lets the oldest go while there are too many.
func (d *draft) add(e entry) (uint64, error) {
	s := &d.stream
	e.Seq, e.Class = s.Next, outbox.D2
	e.Mono = e.Mono.Truncate(time.Millisecond)
	e.Time = e.Time.UTC().Truncate(time.Millisecond)
	if year := e.Time.Year(); year < 1970 || year > 9999 { // zero, or nothing that can be written
		e.Time, e.Quality = time.Time{}, ""
	}
	text, err := e.encode()
	if err != nil {
		return 0, err
	}
	s.Next++
	d.added++
	s.push(e)
	d.put(bucketStream, streamKey(e.Seq), text)
	for len(s.entries) > maxEntries || s.bytes > maxEntryBytes {
		s.Dropped, s.DroppedTo = s.Dropped+1, s.entries[0].Seq
		d.lost++
		d.dropOldest()
	}
	d.putNumbers()
	return e.Seq, nil
}

// Append commits a record to the stream, and returns its number. Its class is D2.
func (j *Journal) Append(ctx context.Context, r outbox.Record) (seq uint64, err error) {
	switch {
	case !edge.IsName(r.Kind):
		return 0, fmt.Errorf("cannot append entry: kind %.70q: %w", r.Kind, edge.ErrInvalid)
	case len(r.Body) > MaxBody || len(r.Quality) > outbox.MaxQuality || r.Mono < 0:
		return 0, fmt.Errorf("cannot append entry: a record out of bounds: %w", edge.ErrInvalid)
	}
	err = j.commit(ctx, func(d *draft) error {
		seq, err = d.add(entry{Entry: outbox.Entry{Boot: j.options.Boot, Record: r}})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("cannot append entry: %w", err)
	}
	return seq, nil
}

// Read returns what follows a place, at most so many entries. A place of another
// epoch, or before what is acknowledged, means what follows the acknowledged. There is
// nothing more when no entries come. Whoever reads must not change the bodies.
func (j *Journal) Read(after outbox.Position, most int) (outbox.Batch, error) {
	j.mu.Lock()
	s, cursor, closed := j.state, j.ackedLocked(), j.closed
	j.mu.Unlock()
	if closed {
		return outbox.Batch{}, fmt.Errorf("cannot read journal %q: it is closed: %w", j.options.Path, edge.ErrUnavailable)
	}
	if after.Epoch == s.epoch {
		cursor = max(cursor, after.Seq)
	}
	return outbox.Batch{Epoch: s.epoch, Entries: s.stream.behind(cursor, max(1, most))}, nil
}

// behind gives what follows a number.
func (s *stream) behind(cursor uint64, most int) (list []outbox.Entry) {
	if cursor < s.DroppedTo {
		gap := &outbox.Gap{From: cursor + 1, To: s.DroppedTo, Count: s.Dropped, Why: outbox.WhyFull}
		list = append(list, outbox.Entry{Seq: gap.To, Gap: gap})
	}
	for i := range s.entries {
		if len(list) == most {
			break
		}
		if s.entries[i].Seq > cursor {
			list = append(list, s.entries[i].Entry)
		}
	}
	return list
}

// Ack acknowledges everything up to a place. Numbers of another epoch, or that were
// not given out, acknowledge nothing.
func (j *Journal) Ack(to outbox.Position) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if to.Epoch != j.state.epoch || to.Seq >= j.state.stream.Next || to.Seq <= j.ackedLocked() {
		return
	}
	before := j.owedLocked()
	j.acked = to.Seq
	if before == 0 {
		j.owedSince = time.Now()
	}
	if before == 0 || before < ackMany && j.owedLocked() >= ackMany {
		j.nudge()
	}
	if to.Seq >= j.state.stream.DroppedTo {
		j.settledLocked(warnFull)
	}
}

// ackedLocked is how far the stream is acknowledged, written or not.
func (j *Journal) ackedLocked() uint64 { return max(j.acked, j.state.stream.Acked) }

// Changed returns a channel that the next entry closes. Take it, then Read, then wait;
// so no entry is missed.
func (j *Journal) Changed() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return j.changed
}

// Confirms tells whether this epoch has met a fleet that confirms.
func (j *Journal) Confirms() bool { return j.now().confirms }

// SetConfirms remembers that the fleet confirms.
func (j *Journal) SetConfirms(ctx context.Context) error {
	return j.commit(ctx, func(d *draft) error {
		d.confirms = true
		d.put(bucketMeta, "confirms", []byte("true"))
		return nil
	})
}
