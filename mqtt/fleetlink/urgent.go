package fleetlink

import (
	"context"
	"errors"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/outbox"
)

// hurry sends what is worth something now only, while telemetry is held back: replies
// that are not kept. They come again in their place, under the same number, so what is
// confirmed has no holes. Those of before the connection wait like all of history: nobody
// asked for them on this one. It returns how many entries it has looked through.
func (t *talk) hurry(ctx context.Context, f *flow) (looked int, err error) {
	after := f.ahead()
	batch, err := f.stream.Read(after, mostAtOnce)
	if err != nil || batch.Epoch != after.Epoch {
		return 0, nil // the turn of the stream comes, and deals with that
	}
	for i, e := range batch.Entries {
		if isUrgent(e) {
			if err := t.sendAhead(ctx, f, batch.Epoch, e); err != nil {
				return i, err
			}
		}
		f.lookedAt(batch.Epoch, e.Seq)
	}
	return len(batch.Entries), nil
}

func isUrgent(e outbox.Entry) bool {
	return e.Gap == nil && e.Kind == kindReply && e.Class == outbox.D0
}

// sendAhead sends an entry out of turn. One that cannot be said is told as a gap in its
// place.
func (t *talk) sendAhead(ctx context.Context, f *flow, epoch string, e outbox.Entry) error {
	m, err := t.link.say(f, epoch, e, false)
	if err != nil || len(m.Payload) > mqtt.MaxEnvelope {
		return nil
	}
	if err := t.link.session.Send(ctx, m, func(error) {}); err != nil && !errors.Is(err, edge.ErrInvalid) {
		return err
	}
	return nil
}

// ahead is up to where the stream was looked through on this connection.
func (f *flow) ahead() outbox.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return outbox.Position{Epoch: f.cursor.Epoch, Seq: max(f.cursor.Seq, f.looked)}
}

func (f *flow) lookedAt(epoch string, seq uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cursor.Epoch == epoch {
		f.looked = max(f.looked, seq)
	}
}
