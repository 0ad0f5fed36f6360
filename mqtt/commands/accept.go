package commands

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
	"holdfast/mqtt/journal"
)

// Reasons of refusals that neither trust nor the journal gives.
const (
	reasonNotKept = "not_kept" // the journal cannot remember it
)

// Accept takes a message from the command topic. When it returns nil the message has
// done all it can, and may be acknowledged. An error means that the context ended, and
// the message should come again.
func (r *Runner) Accept(ctx context.Context, envelope []byte) error {
	r.resume.Do(r.recover)
	if err := r.verify.wait(ctx); err != nil {
		return err
	}
	root := r.options.Root()
	r.prune(ctx, root)
	command, verified, err := trust.AcceptCommand(root, r.options.Node, envelope)
	if err != nil {
		r.refuse(command, envelope, string(trust.ReasonOf(err)), err)
		return nil
	}
	sum := sha256.Sum256(verified.Payload)
	taken, err := r.options.Journal.Take(ctx, *command, "sha256:"+hex.EncodeToString(sum[:]))
	switch {
	case err == nil && taken.New:
		r.count(func(c *Counts) { c.Taken++ })
		r.enqueue(newJob(*command))
	case err == nil:
		r.repeat(taken.Reply)
	case ctx.Err() != nil:
		return err
	default:
		r.turnAway(command, envelope, err)
	}
	return nil
}

// repeat answers a command that came before. While it is not final the stream says how
// far it is.
func (r *Runner) repeat(said *edge.Reply) {
	r.count(func(c *Counts) { c.Repeated++ })
	if said != nil {
		r.answer(*said)
	}
}

// turnAway follows a command that the journal did not take.
func (r *Runner) turnAway(c *edge.Command, envelope []byte, err error) {
	reason := string(journal.ReasonOf(err))
	switch {
	case reason != "":
	case errors.Is(err, edge.ErrUnavailable) && looks(c.Verb):
		j := newJob(*c)
		j.unkept = true
		r.enqueue(j)
		return
	case errors.Is(err, edge.ErrUnavailable):
		reason = reasonNotKept
	default:
		reason = string(trust.ReasonBadDocument)
	}
	r.refuse(c, envelope, reason, err)
}

// refuse counts and reports what was not taken, and tells the fleet where a command
// came with it. Such a command may be anything but long.
func (r *Runner) refuse(c *edge.Command, envelope []byte, reason string, err error) {
	r.count(func(c *Counts) { c.Refused++ })
	if r.reports.take(time.Now()) {
		r.options.Refused(reason, clip(err.Error(), maxDetail), edge.MessageDigest(envelope))
	}
	if c == nil {
		return
	}
	said := failure(c.ID, edge.StageRefused, reason, err)
	if len(c.Issuer) <= 128 {
		said.Issuer, said.Counter = c.Issuer, c.Counter
	}
	if edge.IsName(string(c.Verb)) {
		said.Verb = c.Verb
	}
	r.answer(said)
}

// answer tells what may be lost, at a rate that no broker can drive up.
func (r *Runner) answer(said edge.Reply) {
	if !r.answers.take(time.Now()) {
		r.count(func(c *Counts) { c.Silenced++ })
		return
	}
	r.options.Progress(said)
}

func (r *Runner) count(do func(*Counts)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do(&r.counts)
}
