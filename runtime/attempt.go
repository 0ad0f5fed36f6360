package runtime

import (
	"context"
	"errors"
	"time"

	"holdfast/edge"
)

// attempt asks one instance, and where that is of a version on trial and fails the task,
// one of the version before, if it is there: a trial is not to cost anybody a task.
func (s *Supervisor) attempt(ctx context.Context, entry catalogEntry, r *run) (edge.Answer, error) {
	answer, err := s.ask(ctx, entry, r)
	if r.tried && (errors.Is(err, edge.ErrModel) || errors.Is(err, edge.ErrInvalid)) && inTime(r.task) && entry.pool.elder(r.task.Model) {
		r.spared = true
		return s.ask(ctx, entry, r)
	}
	return answer, err
}

func inTime(t edge.Task) bool { return !t.HasDeadline() || time.Now().Before(t.Deadline) }

// ask has one instance answer the task.
func (s *Supervisor) ask(ctx context.Context, entry catalogEntry, r *run) (edge.Answer, error) {
	r.tried = false
	ep, l, err := entry.pool.acquire(ctx, r.task.Model, r.spared)
	if err != nil {
		return edge.Answer{}, err
	}
	proving, fresh, gauge := ep.pool.standing(ep)
	r.tried = proving || fresh
	if gauge == nil {
		return s.askAt(ctx, r, ep, l)
	}
	_, halts := s.halted.seen(ep.id)
	begun := time.Now()
	answer, err := s.askAt(ctx, r, ep, l)
	took := time.Since(begun)
	if _, times := s.halted.seen(ep.id); times != halts {
		took = 0 // it was halted meanwhile
	}
	gauge.note(proving, took, err)
	return answer, err
}
