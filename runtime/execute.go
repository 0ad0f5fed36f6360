package runtime

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

const (
	// maxFails is how many failed answers in a row cost an instance its life: one
	// may be the input's fault, three in a row are the server's.
	maxFails = 3
	// explainWithin is how long a task whose connection broke waits to learn how
	// the instance ended; the runtime's exit event takes some milliseconds.
	explainWithin = 100 * time.Millisecond
	// freedWithin bounds waiting for a hung instance to be gone. It is killed
	// without grace, so this passes only when the daemon is away.
	freedWithin = 5 * time.Second
)

// Execute answers a task with a ready instance of its model.
//
// While nothing is ready, or what is ready cannot be reached, it waits for an
// instance that is, until the task's deadline; without one for Serve.Timeout.
//
// ctx counts only until an instance has been found. From then on the request is
// carried to its end, bounded by the workload's Serve.Timeout: most servers go on
// computing for a caller who has left, so returning early would report capacity
// that is not there. A request over its timeout costs the instance its life,
// which is the only way to have its capacity back for certain.
//
// A tool that is no server runs in a container of the task's own, which is killed at the
// task's deadline.
//
// Errors wrap edge.ErrNotFound (no such model), edge.ErrDeadline or
// edge.ErrCancelled (no instance could be asked in time), edge.ErrUnavailable (none
// could be asked, and the task has no deadline, or none would read the request
// whole), edge.ErrInvalid (the model refused the input) or edge.ErrModel (it failed,
// hung, died or answered what is no answer).
func (s *Supervisor) Execute(ctx context.Context, t edge.Task) (edge.Answer, error) {
	if err := ctx.Err(); err != nil {
		return edge.Answer{}, gaveUp(err)
	}
	seen := s.catalog.Load()
	entry, known := seen.models[t.Model]
	if !known {
		return edge.Answer{}, fmt.Errorf("cannot ask model %q: %w", t.Model, edge.ErrNotFound)
	}
	if entry.tool {
		return s.tools.Execute(ctx, t)
	}
	if t.Input.HeaderLength < 0 || t.Input.HeaderLength > len(t.Input.Body) {
		return edge.Answer{}, fmt.Errorf("header length %d in a body of %d bytes: %w",
			t.Input.HeaderLength, len(t.Input.Body), edge.ErrInvalid)
	}
	r := s.runs.begin(t)
	defer s.runs.end(r)
	answer, err := s.attempt(ctx, entry, r)
	if errors.Is(err, edge.ErrUnavailable) {
		// No instance can have seen the request whole, so another one may.
		return s.persevere(ctx, r, seen, err)
	}
	return answer, err
}

// askAt has an instance answer the task on a lane.
func (s *Supervisor) askAt(ctx context.Context, r *run, ep *endpoint, l *lane) (edge.Answer, error) {
	t := r.task
	if err := r.enter(ctx, ep, l); err != nil {
		ep.pool.release(ep, l, outcomeNone)
		return edge.Answer{}, err
	}
	s.heft(ep, t.Class)
	answer, failure := l.do(request{
		path: inferPath(t), body: t.Input.Body, headerLength: t.Input.HeaderLength, limit: maxAnswer, trace: &r.task.Trace,
	}, ep.timeout)
	s.unheft(ep, t.Class)
	s.leave(r)
	if failure != nil {
		return edge.Answer{}, s.blame(ep, l, t, failure)
	}
	if err := judge(t.Model, answer); err != nil {
		s.settle(ep, l, err)
		return edge.Answer{}, err
	}
	ep.pool.release(ep, l, outcomeGood)
	return edge.Answer{
		Payload:  edge.Payload{Body: answer.body, HeaderLength: answer.headerLength},
		Model:    t.Model,
		Version:  version(t, ep.meta(t.Model)),
		Instance: ep.id,
		Route:    edge.AnsweredLocally,
	}, nil
}

func inferPath(t edge.Task) string {
	path := "/v2/models/" + url.PathEscape(t.Model)
	if t.Version != "" {
		path += "/versions/" + url.PathEscape(t.Version)
	}
	return path + "/infer"
}

// version names what answered, as far as it is certain: the version asked for, or
// the only one there is.
func version(t edge.Task, meta oip.ModelMetadata) string {
	if t.Version == "" && len(meta.Versions) == 1 {
		return meta.Versions[0]
	}
	return t.Version
}

// judge tells whether a reply is an answer.
func judge(model string, answer reply) error {
	switch answer.status {
	case http.StatusOK:
		return judgeBody(model, answer)
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return fmt.Errorf("model %q refused the input%s: %w", model, oip.ErrorText(answer.body), edge.ErrInvalid)
	default:
		return fmt.Errorf("model %q answered %d%s: %w", model, answer.status, oip.ErrorText(answer.body), edge.ErrModel)
	}
}

// judgeBody holds the body against the protocol, so that what settles as answered
// is an answer for whoever reads it next.
func judgeBody(model string, answer reply) error {
	if len(answer.body) == 0 {
		return fmt.Errorf("model %q answered nothing: %w", model, edge.ErrModel)
	}
	parsed, err := oip.ParseResponse(edge.Payload{Body: answer.body, HeaderLength: answer.headerLength})
	if err == nil {
		err = parsed.Check()
	}
	if err != nil {
		// Not wrapped: to the caller the input was fine and the model is at fault.
		return fmt.Errorf("model %q answered what is not of the protocol (%v): %w", model, err, edge.ErrModel)
	}
	return nil
}

// settle gives the lane back after a reply that is no answer. An input the model
// refused is a good sign of the model.
func (s *Supervisor) settle(ep *endpoint, l *lane, err error) {
	outcome := outcomeBad
	if errors.Is(err, edge.ErrInvalid) {
		outcome = outcomeGood
	}
	if fails := ep.pool.release(ep, l, outcome); fails >= maxFails {
		s.condemn(ep, fmt.Sprintf("%d failed answers in a row, the last: %v", fails, err))
	}
}

// blame turns a request without a reply into an error, does to the instance what
// it deserves, and returns once the capacity is free.
func (s *Supervisor) blame(ep *endpoint, l *lane, t edge.Task, failure *wireError) error {
	switch failure.kind {
	case wireUnsent, wireUnreached:
		ep.pool.withdraw(ep)
		ep.pool.release(ep, l, outcomeNone)
		s.doubt(ep, failure)
		return fmt.Errorf("instance %q cannot be reached: %w", ep.id, errors.Join(edge.ErrUnavailable, failure))
	case wireHung:
		err := fmt.Errorf("model %q did not answer within %v: %w", t.Model, ep.timeout, edge.ErrModel)
		s.condemn(ep, fmt.Sprintf("a request ran longer than %v", ep.timeout))
		s.await(ep, freedWithin)
		ep.pool.release(ep, l, outcomeNone)
		return err
	case wireBroken:
		err := s.explain(ep, t, failure)
		ep.nudge()
		s.settle(ep, l, err)
		return err
	default:
		err := fmt.Errorf("model %q: %w: %w", t.Model, failure.err, edge.ErrModel)
		s.settle(ep, l, err)
		return err
	}
}

// explain says why a connection broke: mostly because the instance ended.
func (s *Supervisor) explain(ep *endpoint, t edge.Task, failure *wireError) error {
	if s.await(ep, explainWithin) {
		return fmt.Errorf("model %q: instance %q %s: %w", t.Model, ep.id, ep.how, edge.ErrModel)
	}
	return fmt.Errorf("model %q: the connection broke before the answer (%w): %w", t.Model, failure.err, edge.ErrModel)
}

// await waits until the instance is known to have ended, within the given time.
func (s *Supervisor) await(ep *endpoint, within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-ep.ended:
		return true
	case <-timer.C:
		return false
	}
}

// condemn takes an instance out and has it killed and replaced.
func (s *Supervisor) condemn(ep *endpoint, why string) {
	ep.pool.withdraw(ep)
	s.inbox.post(func(l *loop) { l.kill(ep.id, why) })
}

// doubt has a withdrawn instance counted as not ready, so that nobody plans with
// its lanes, until its prober has found out whether it is gone or only busy. In
// this order: what the prober finds must not be overtaken by the doubt.
func (s *Supervisor) doubt(ep *endpoint, failure *wireError) {
	why := whyUnready(failure)
	s.inbox.post(func(l *loop) { l.notReady(ep.id, why) })
	ep.nudge()
}

// gaveUp names the end of a context in edge's terms.
func gaveUp(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no lane was free in time: %w", edge.ErrDeadline)
	}
	return fmt.Errorf("no lane was free yet: %w", edge.ErrCancelled)
}
