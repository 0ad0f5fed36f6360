package oneshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/edge"
)

// defaultTimeout is how long one task may take where its workload does not say.
const defaultTimeout = 30 * time.Second

// Execute runs a tool for a task, in a container that stands ready or, where none does, in
// one that is made for it. It returns when the container is dead, and so the capacity free
// again: by itself, or killed at the task's deadline, at the end of ctx or of the time that
// the workload gives a task.
//
// Errors wrap edge.ErrNotFound (no such model), edge.ErrInvalid (the request is none for a
// tool), edge.ErrDeadline, edge.ErrCancelled, edge.ErrUnavailable (the agent ends) or
// edge.ErrModel (no container could be made, or the tool failed, with what it said last).
func (k *Keeper) Execute(ctx context.Context, t edge.Task) (edge.Answer, error) {
	p, spec := k.find(t.Model)
	if p == nil {
		return edge.Answer{}, fmt.Errorf("cannot run a tool for model %q: %w", t.Model, edge.ErrNotFound)
	}
	asked, err := read(t)
	if err != nil {
		return edge.Answer{}, err
	}
	ctx, giveUp, done := k.bound(ctx, t, spec)
	defer done()
	for {
		b, err := k.take(ctx, p, &bout{task: t.ID, arrived: t.Arrived, giveUp: giveUp})
		if err != nil {
			return edge.Answer{}, whyEnded(ctx, t.Model, err)
		}
		result, err := b.container.Run(ctx, Order{Input: asked.input, Class: t.Class, Most: maxOutput})
		k.spend(p, b)
		if err != nil && !result.Begun && errors.Is(err, edge.ErrNotFound) && ctx.Err() == nil {
			continue // the daemon has lost it before anything came of it
		}
		return conclude(ctx, asked, b.id, result, err)
	}
}

// conclude makes an answer of what became of a tool.
func conclude(ctx context.Context, asked question, id string, result Result, err error) (edge.Answer, error) {
	killed := result.Exit.Signal == "SIGKILL" && !result.Excess && !result.Exit.OOM
	switch {
	case ctx.Err() != nil && (err != nil || killed):
		return edge.Answer{}, whyEnded(ctx, asked.model, nil)
	case err != nil:
		return edge.Answer{}, fmt.Errorf("model %q: %w: %w", asked.model, err, edge.ErrModel)
	}
	payload, err := asked.answer(result)
	if err != nil {
		return edge.Answer{}, err
	}
	return edge.Answer{Payload: payload, Model: asked.model, Instance: id, Route: edge.AnsweredLocally}, nil
}

// whyEnded says why a task ended whose context has, or else what went wrong.
func whyEnded(ctx context.Context, model string, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return fmt.Errorf("model %q: no container could be made: %w: %w", model, err, edge.ErrModel)
	case errors.Is(cause, errTimeout):
		return fmt.Errorf("model %q: %w: %w", model, cause, edge.ErrModel)
	case errors.Is(cause, errLate), errors.Is(cause, errEnding):
		return fmt.Errorf("model %q: %w", model, cause)
	default:
		return fmt.Errorf("model %q: %w", model, edge.ErrCancelled)
	}
}

// find returns the pool that answers a model, and what it is of.
func (k *Keeper) find(model string) (*pool, edge.Workload) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pools {
		if p.wanted && p.spec.Serve.Model == model {
			return p, p.spec
		}
	}
	return nil, edge.Workload{}
}

// Abandon ends a task that Execute is called for, and which nobody waits for any more. It
// does not wait; what is not there needs nothing.
func (k *Keeper) Abandon(t edge.Task) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.pools {
		for _, b := range p.busy {
			if b.task == t.ID && b.arrived.Equal(t.Arrived) { // ids come back, instants do not
				b.giveUp(edge.ErrCancelled)
			}
		}
	}
}

// bound gives a task its time, and the end of it its reason.
func (k *Keeper) bound(ctx context.Context, t edge.Task, spec edge.Workload) (_ context.Context, giveUp context.CancelCauseFunc, done func()) {
	within := cmp.Or(spec.Serve.Timeout, defaultTimeout)
	end, why := time.Now().Add(within), fmt.Errorf("%w, which is %v", errTimeout, within)
	if t.HasDeadline() && t.Deadline.Before(end) {
		end, why = t.Deadline, errLate
	}
	ctx, giveUp = context.WithCancelCause(ctx)
	stop := context.AfterFunc(k.life, func() { giveUp(errEnding) })
	ctx, cancel := context.WithDeadlineCause(ctx, end, why)
	return ctx, giveUp, func() {
		stop()
		cancel()
		giveUp(nil)
	}
}

// take gives a task a container: one that stands ready, or a new one.
func (k *Keeper) take(ctx context.Context, p *pool, b *bout) (*bout, error) {
	if err := k.enter(ctx, p, b); err != nil || b.container != nil {
		return b, err
	}
	for tries := 0; ; tries++ {
		made, err := k.makeFor(ctx, p)
		if err == nil {
			k.mu.Lock()
			b.held = made
			k.mu.Unlock()
			return b, nil
		}
		if !isAway(err) || !pause(ctx, min(backoff(tries, k.opts.Jitter()), time.Second)) {
			k.leave(p, b)
			return nil, err
		}
	}
}

// enter waits until fewer tasks are at work than may be, and takes what stands ready.
func (k *Keeper) enter(ctx context.Context, p *pool, b *bout) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.demand.note(time.Now())
	for len(p.busy) >= max(1, p.spec.Replicas) {
		changed := p.free.next()
		k.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		k.mu.Lock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	b.begun = time.Now()
	p.busy = append(p.busy, b)
	p.runs++
	p.shed(time.Now())
	if k.swept && len(p.warm) > 0 {
		b.held, p.warm = p.warm[0], p.warm[1:]
	} else {
		p.cold++
	}
	k.poke()
	return nil
}

// makeFor makes a container for a task that found none ready.
func (k *Keeper) makeFor(ctx context.Context, p *pool) (held, error) {
	k.mu.Lock()
	if !k.swept {
		k.mu.Unlock()
		return held{}, fmt.Errorf("what an earlier agent left is not cleared away yet: %w", edge.ErrUnavailable)
	}
	spec, hash, id := p.spec, p.hash, k.nameLocked(p.spec)
	k.mu.Unlock()
	container, err := k.opts.Driver.Ready(ctx, spec, id)
	if ctx.Err() != nil && err != nil {
		err = errors.Join(ctx.Err(), context.Canceled) // the task's time was over: nobody's failure
	}
	k.mu.Lock()
	k.notedLocked(p, id, hash, err)
	k.mu.Unlock()
	k.poke()
	return held{id, hash, container}, err
}

// spend takes a task out, whose container is dead. It is taken away in the background,
// unless too many wait for that.
func (k *Keeper) spend(p *pool, b *bout) {
	k.mu.Lock()
	crowded := p.crowded()
	if !crowded {
		p.spent = append(p.spent, b.held)
	}
	k.mu.Unlock()
	if crowded {
		err := k.remove(context.WithoutCancel(k.life), b.held)
		k.mu.Lock()
		k.removedLocked(p, b.held, err)
		k.mu.Unlock()
	}
	k.leave(p, b)
}

// leave frees the place of a task.
func (k *Keeper) leave(p *pool, b *bout) {
	k.mu.Lock()
	p.busy = slices.DeleteFunc(p.busy, func(other *bout) bool { return other == b })
	p.free.wake()
	k.mu.Unlock()
	k.poke()
}

// pause waits for d and tells whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
