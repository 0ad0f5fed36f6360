package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// errSuperseded ends the context of a job that another command has ended.
var errSuperseded = errors.New("superseded by another command")

// carry takes a job to its end, or to where the next start finds it.
func (r *Runner) carry(ctx context.Context, j *job) {
	switch {
	case j.verdict != nil:
		r.finish(ctx, j, *j.verdict)
		return
	case !r.begin(ctx, j):
		return
	}
	result, err := r.effect(ctx, j)
	if err != nil && ctx.Err() != nil && !r.isSuperseded(j) {
		return // nobody knows what was done; the next start decides
	}
	r.finish(ctx, j, r.outcome(j, result, err))
}

// begin commits that the effect is about to begin. It looks anew whether it may, before
// every try.
func (r *Runner) begin(ctx context.Context, j *job) (begun bool) {
	r.persist(ctx, func() error {
		if said := r.objection(j); said != nil {
			r.finish(ctx, j, *said)
			return nil
		}
		var err error
		if !j.redo && !j.unkept {
			err = r.options.Journal.Begin(ctx, j.command.ID)
		}
		begun = err == nil
		return err
	})
	return begun
}

// objection is why a command is not begun; nil: it may be.
func (r *Runner) objection(j *job) *edge.Reply {
	c := &j.command
	version, ended := r.options.Policy()
	say := func(stage edge.Stage, reason, format string, args ...any) *edge.Reply {
		return &edge.Reply{Command: c.ID, Stage: stage, Reason: reason, Detail: fmt.Sprintf(format, args...)}
	}
	r.mu.Lock()
	by := j.by
	r.mu.Unlock()
	switch {
	case by != "":
		return say(edge.StageSuperseded, "superseded", "ended by %s before it began, or began again", by)
	case j.redo:
		return nil // what has begun is brought to an end
	case c.Verb == edge.VerbCancel && j.target == nil:
		return say(edge.StageFailed, "not_found", "command %s does not wait or run here", c.Supersedes)
	case r.options.Expired(c.Expires):
		return say(edge.StageExpired, "expired", "was to begin by %s", c.Expires.UTC().Format(time.RFC3339))
	case j.boots > c.MaxBoots:
		return say(edge.StageExpired, "boots", "was to begin within %d boots, this is number %d", c.MaxBoots, j.boots)
	case version < c.MinPolicy:
		return say(edge.StageRefused, "policy_too_old", "needs policy version %d, version %d is in force", c.MinPolicy, version)
	case ended && edge.Verbs()[c.Verb].Risky:
		return say(edge.StageRefused, "lease_ended", "the policy's lease has ended, and %s is not without risk", c.Verb)
	}
	return nil
}

// effect has the command carried out.
func (r *Runner) effect(ctx context.Context, j *job) (json.RawMessage, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.mu.Lock()
	j.cancel = cancel
	if j.by != "" { // since it was looked at
		cancel(errSuperseded)
	}
	r.mu.Unlock()
	within := edge.Verbs()[j.command.Verb].Within
	ctx, stop := context.WithTimeout(ctx, within)
	defer stop()
	result, err := r.do(ctx, j)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("not done within %v: %w: %w", within, edge.ErrDeadline, err)
	}
	return result, err
}

func (r *Runner) do(ctx context.Context, j *job) (json.RawMessage, error) {
	if j.command.Verb == edge.VerbCancel {
		return nil, awaitEnd(ctx, j.target)
	}
	p := &progress{runner: r, job: j}
	defer p.end()
	return r.options.Do(ctx, j.command, p.tell)
}

// awaitEnd waits for a job that was told to end when its cancel was taken; nil is one
// that ended before a restart.
func awaitEnd(ctx context.Context, target *job) error {
	if target == nil {
		return nil
	}
	select {
	case <-target.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("command %s was told to end, and has not yet: %w", target.command.ID, ctx.Err())
	}
}

func (r *Runner) isSuperseded(j *job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return j.by != ""
}

// outcome is the final reply to what an effect has come to.
func (r *Runner) outcome(j *job, result json.RawMessage, err error) edge.Reply {
	id := j.command.ID
	result = bytes.TrimSpace(result)
	bad := edge.CheckJSON(result, edge.JSONBounds{Size: edge.MaxResult, Depth: resultDepth})
	switch {
	case err != nil && r.isSuperseded(j):
		return failure(id, edge.StageSuperseded, "superseded", fmt.Errorf("%w: %s", errSuperseded, j.by))
	case err != nil:
		said := failure(id, edge.StageFailed, reasonOf(err), err)
		if bad == nil && len(result) > 0 && result[0] == '{' {
			said.Result = result // what there is to show all the same
		}
		return said
	case len(result) == 0:
		return edge.Reply{Command: id, Stage: edge.StageSucceeded}
	case len(result) > edge.MaxResult:
		return tooLarge(id, len(result))
	case bad != nil || result[0] != '{':
		return failure(id, edge.StageFailed, "bad_result", fmt.Errorf("what it gave is no object a reply can carry: %w", errors.Join(bad, edge.ErrInvalid)))
	}
	return edge.Reply{Command: id, Stage: edge.StageSucceeded, Result: result}
}

// withoutResult is a reply that says no more than it has to.
func withoutResult(said edge.Reply) edge.Reply {
	if said.Stage == edge.StageSucceeded {
		return tooLarge(said.Command, len(said.Result))
	}
	said.Result = nil
	return said
}

func tooLarge(id string, size int) edge.Reply {
	return failure(id, edge.StageFailed, "result_too_large", fmt.Errorf("it was done, and its result of %d bytes is more than a reply carries", size))
}

// failure is a final reply that says why.
func failure(id string, stage edge.Stage, reason string, err error) edge.Reply {
	detail := strings.TrimPrefix(err.Error(), reason+": ") // a refusal begins with its reason
	return edge.Reply{Command: id, Stage: stage, Reason: reason, Detail: clip(detail, maxDetail), Remedy: clip(edge.HintOf(err), maxRemedy)}
}

// clip shortens a text.
func clip(text string, most int) string {
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "�")
}

// reasonOf names an error for programs, as it names itself or by what kind it is.
func reasonOf(err error) string {
	if refusal, is := edge.AsRefusal(err); is {
		return string(refusal.Reason)
	}
	if reason := trust.ReasonOf(err); reason != "" {
		return string(reason)
	}
	var named interface{ Reason() string }
	if errors.As(err, &named) {
		return named.Reason()
	}
	for _, known := range [...]struct {
		is     error
		reason string
	}{
		{edge.ErrDeadline, "deadline"},
		{edge.ErrNotFound, "not_found"},
		{edge.ErrExists, "exists"},
		{edge.ErrWrongPlatform, "wrong_platform"},
		{edge.ErrModel, "model_error"},
		{context.DeadlineExceeded, "deadline"},
		{edge.ErrCancelled, "cancelled"},
		{edge.ErrLocked, "locked"},
		{edge.ErrNoRoom, "no_room"},
		{edge.ErrUnavailable, "unavailable"},
		{edge.ErrInvalid, "invalid"},
	} {
		if errors.Is(err, known.is) {
			return known.reason
		}
	}
	return "failed"
}

// finish commits a final reply. One that the journal finds too large is told without
// its result.
func (r *Runner) finish(ctx context.Context, j *job, said edge.Reply) {
	if j.unkept {
		c := &j.command
		said.Issuer, said.Counter, said.Verb = c.Issuer, c.Counter, c.Verb
		r.options.Progress(said)
		return
	}
	// Shutting down does not undo an effect: what is known of it is kept.
	keep := context.WithoutCancel(ctx)
	var err error
	ok := r.persist(ctx, func() error {
		err = r.options.Journal.Finish(keep, said)
		if errors.Is(err, edge.ErrInvalid) {
			err = r.options.Journal.Finish(keep, withoutResult(said))
		}
		return err
	})
	if ok && err == nil {
		r.count(func(c *Counts) { c.Finished++ })
	}
	if ok && err != nil {
		r.options.Log.Error("reply not kept", "command", said.Command, "error", err)
	}
}

// persist does something to the journal until it is done, or cannot be, or the context
// ends, in which case it is not ok.
func (r *Runner) persist(ctx context.Context, do func() error) (ok bool) {
	for wait := retryBase; ; wait = min(2*wait, retryMost) {
		err := do()
		if err == nil || !errors.Is(err, edge.ErrUnavailable) && ctx.Err() == nil {
			return true
		}
		if sleep(ctx, wait) != nil {
			return false
		}
	}
}

// progress tells how far a command is, now and then.
type progress struct {
	runner *Runner
	job    *job

	mu   sync.Mutex // guards last and over
	last time.Time
	over bool
}

func (p *progress) tell(far edge.Progress) {
	p.mu.Lock()
	now := time.Now()
	due := !p.over && (p.last.IsZero() || now.Sub(p.last) >= progressEvery)
	if due {
		p.last = now
	}
	p.mu.Unlock()
	if due {
		c := &p.job.command
		far.Note = clip(far.Note, maxRemedy)
		p.runner.options.Progress(edge.Reply{
			Command: c.ID, Issuer: c.Issuer, Counter: c.Counter, Verb: c.Verb, Stage: edge.StageStarted, Progress: &far,
		})
	}
}

// end lets nothing be told after the final reply.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
}
