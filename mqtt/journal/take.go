package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"holdfast/edge"
	"holdfast/mqtt/outbox"
)

// Reason is why a command is not taken, in a form that replies show.
type Reason string

// The reasons.
const (
	ReasonReused   Reason = "id_reused" // another command had the id
	ReasonReplayed Reason = "replayed"  // it was taken before, and its reply is no longer kept
	ReasonBusy     Reason = "busy"      // too many commands are not final
)

// Refusal is a command that is not taken.
type Refusal struct {
	Reason Reason
	Detail string // for people
}

// Error says the reason and the detail.
func (r *Refusal) Error() string { return string(r.Reason) + ": " + r.Detail }

// Unwrap makes a refusal edge.ErrUnavailable where another try may help, and else
// edge.ErrInvalid.
func (r *Refusal) Unwrap() error {
	if r.Reason == ReasonBusy {
		return edge.ErrUnavailable
	}
	return edge.ErrInvalid
}

// ReasonOf finds the reason in an error chain, or nothing.
func ReasonOf(err error) Reason {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return ""
}

// Taken is what became of a command that came.
type Taken struct {
	New   bool        // nobody had it before
	Reply *edge.Reply // the final one, when it came before; nil: it is new, or not final
}

// Take commits a command, that its counter was seen, and an entry that it was received.
// The digest is that of the signed payload: it tells the same command from another of
// the same id. A command that may not be taken is a *Refusal.
func (j *Journal) Take(ctx context.Context, c edge.Command, digest string) (taken Taken, err error) {
	text, err := edge.CanonicalJSON(c)
	if err == nil && (c.ID == "" || c.Issuer == "" || len(c.Issuer) > 128 || c.Counter == 0 || len(digest) > 128) {
		err = edge.ErrInvalid
	}
	if err == nil {
		err = j.commit(ctx, func(d *draft) (err error) {
			taken, err = j.take(d, opened{Digest: digest, Stage: edge.StageReceived, text: text, command: c})
			return err
		})
	}
	if err != nil {
		return Taken{}, fmt.Errorf("cannot take command %q: %w", c.ID, err)
	}
	return taken, nil
}

func (j *Journal) take(d *draft, o opened) (Taken, error) {
	c := o.command
	if before, same := d.open[c.ID]; same {
		return Taken{}, reused(c, before.Digest != o.Digest)
	}
	if before, same := d.final[c.ID]; same {
		if err := reused(c, before.Digest != o.Digest); err != nil {
			return Taken{}, err
		}
		said, err := before.decode()
		return Taken{Reply: said}, err
	}
	w, known := d.seen[c.Issuer]
	switch {
	case w.has(c.Counter):
		return Taken{}, &Refusal{ReasonReplayed, fmt.Sprintf("counter %d of issuer %.16s was taken before", c.Counter, c.Issuer)}
	case len(d.open) >= maxOpen || d.openBytes+len(o.text) > maxOpenBytes:
		return Taken{}, &Refusal{ReasonBusy, fmt.Sprintf("%d commands are not final", len(d.open))}
	case !known && len(d.seen) >= maxIssuers:
		return Taken{}, &Refusal{ReasonBusy, fmt.Sprintf("%d issuers are remembered", len(d.seen))}
	}
	o.Order, o.Taken = d.order+1, d.boot.Count
	if err := d.putCommand(o); err != nil {
		return Taken{}, err
	}
	d.order++
	d.openBytes += len(o.text)
	w = w.with(c.Counter)
	d.seen[c.Issuer] = w
	d.put(bucketSeen, c.Issuer, w.encode())
	return Taken{New: true}, j.say(d, c, edge.StageReceived)
}

func reused(c edge.Command, differs bool) error {
	if !differs {
		return nil
	}
	return &Refusal{ReasonReused, fmt.Sprintf("another command was called %s", c.ID)}
}

func (d *draft) putCommand(o opened) error {
	value, err := twoParts(o, o.text)
	if err != nil {
		return err
	}
	d.open[o.command.ID] = o
	d.put(bucketCommand, o.command.ID, value)
	return nil
}

// say puts a reply that is not final on the stream.
func (j *Journal) say(d *draft, c edge.Command, stage edge.Stage) error {
	body, err := edge.CanonicalJSON(edge.Reply{Command: c.ID, Issuer: c.Issuer, Counter: c.Counter, Verb: c.Verb, Stage: stage})
	if err != nil {
		return err
	}
	_, err = d.add(j.replyEntry(body, ""))
	return err
}

func (j *Journal) replyEntry(body []byte, id string) entry {
	e := entry{reply: id, Entry: outbox.Entry{Boot: j.options.Boot}}
	j.options.Stamp(&e.Record)
	e.Kind, e.Body = KindReply, body
	return e
}

// Begin commits that a command is about to have its effect, and an entry that it was
// started. When it was started before, nothing changes.
func (j *Journal) Begin(ctx context.Context, id string) error {
	err := j.commit(ctx, func(d *draft) error {
		o, found := d.open[id]
		switch {
		case !found:
			return edge.ErrNotFound
		case o.Stage == edge.StageStarted:
			return nil
		}
		o.Stage, o.Began = edge.StageStarted, d.boot.Count
		if err := d.putCommand(o); err != nil {
			return err
		}
		return j.say(d, o.command, edge.StageStarted)
	})
	if err != nil {
		return fmt.Errorf("cannot begin command %q: %w", id, err)
	}
	return nil
}

// Finish commits a command's final reply, and the entry that tells it. Issuer, counter
// and verb are filled in. A command that is final already is edge.ErrNotFound.
func (j *Journal) Finish(ctx context.Context, said edge.Reply) error {
	err := edge.ErrInvalid
	if said.Stage.Final() && len(said.Result) <= edge.MaxResult {
		err = j.commit(ctx, func(d *draft) error { return j.finish(d, said) })
	}
	if err != nil {
		return fmt.Errorf("cannot finish command %q: %w", said.Command, err)
	}
	return nil
}

func (j *Journal) finish(d *draft, said edge.Reply) error {
	o, found := d.open[said.Command]
	if !found {
		return edge.ErrNotFound
	}
	said.Issuer, said.Counter, said.Verb = o.command.Issuer, o.command.Counter, o.command.Verb
	body, err := edge.CanonicalJSON(said)
	if err != nil {
		return err
	}
	if len(body) > MaxBody {
		return fmt.Errorf("a reply of %d bytes, %d are allowed: %w", len(body), MaxBody, edge.ErrInvalid)
	}
	r := reply{Digest: o.Digest, Order: d.order + 1, Seq: d.stream.Next, body: body}
	value, err := twoParts(r, body)
	if err != nil {
		return err
	}
	if _, err := d.add(j.replyEntry(body, said.Command)); err != nil {
		return err
	}
	d.order++
	delete(d.open, said.Command)
	d.openBytes -= len(o.text)
	d.remove(bucketCommand, said.Command)
	d.final[said.Command] = r
	d.finals = append(d.finals, said.Command)
	d.replies += len(body)
	d.put(bucketReply, said.Command, value)
	d.forget()
	return nil
}

// forget lets the oldest replies go that are too many, as far as they have left the
// stream. What has its body there comes after what has not.
func (d *draft) forget() {
	first := d.stream.Next
	if len(d.stream.entries) > 0 {
		first = d.stream.entries[0].Seq
	}
	for len(d.finals) > keptReplies || d.replies > keptReplyBytes {
		id := d.finals[0]
		oldest := d.final[id]
		if oldest.Seq >= first {
			return
		}
		d.finals = d.finals[1:]
		d.replies -= len(oldest.body)
		delete(d.final, id)
		d.remove(bucketReply, id)
	}
}

// Open is a command that is not final.
type Open struct {
	Command edge.Command
	Digest  string
	Stage   edge.Stage // received or started
	Boots   int        // of the machine since it was taken
	// SinceBegun counts the boots since it was started. It is -1 when that is not known.
	SinceBegun int
}

// Unfinished lists the commands that are not final, in the order they were taken.
func (j *Journal) Unfinished() []Open {
	s := j.now()
	var list []opened
	for _, o := range s.open {
		list = append(list, o)
	}
	edge.SortStable(list, func(a, b opened) int { return cmp.Compare(a.Order, b.Order) })
	var open []Open
	for _, o := range list {
		view := Open{Command: o.command, Digest: o.Digest, Stage: o.Stage, Boots: int(s.boot.Count - o.Taken), SinceBegun: -1}
		if o.Began > 0 {
			view.SinceBegun = int(s.boot.Count - o.Began)
		}
		open = append(open, view)
	}
	return open
}

// Replies lists the final replies that are kept, oldest first.
func (j *Journal) Replies() ([]edge.Reply, error) {
	s := j.now()
	var list []edge.Reply
	for _, id := range s.finals {
		said, err := s.final[id].decode()
		if err != nil {
			return nil, err
		}
		list = append(list, *said)
	}
	return list, nil
}
