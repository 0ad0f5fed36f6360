package runtime

import (
	"context"
	"errors"
	"fmt"

	"holdfast/edge"
)

// Why an instance is not halted. None of it is trouble: the node is as it is wanted.
var (
	errNoSuspender = errors.New("the driver cannot suspend")
	errFixed       = errors.New("its workload is not preemptible")
	errShared      = errors.New("its instance answers several tasks at once")
	errEnding      = errors.New("its instance is being stopped")
)

// firm says why the instance may not be halted; nil: it may.
func (ep *endpoint) firm() error {
	ep.pool.mu.Lock()
	defer ep.pool.mu.Unlock()
	switch {
	case len(ep.lanes) > 1:
		return errShared
	case ep.fixed:
		return errFixed
	case ep.ending:
		return errEnding
	}
	return nil
}

// fix says whether the workload lets its instances be halted; what is halted stays so.
func (ep *endpoint) fix(fixed bool) {
	if ep == nil {
		return
	}
	ep.pool.mu.Lock()
	defer ep.pool.mu.Unlock()
	ep.fixed = fixed
}

// Suspend halts the instance that works on the task; a task that has not been sent
// waits instead. An error means that the task goes on: its instance answers
// several at once, its workload is not preemptible, it is being stopped, or the
// kernel refuses, of which a warning tells. What has ended needs nothing.
//
// While it is halted neither the request's timeout nor any probe counts.
func (s *Supervisor) Suspend(ctx context.Context, t edge.Task) error {
	r := s.runs.find(t, true)
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.halted {
		return nil
	}
	if r.ep != nil {
		if err := s.freezeLocked(ctx, r); err != nil {
			return fmt.Errorf("cannot suspend task %q: %w", t.ID, err)
		}
	}
	r.halted, r.goOn = true, make(chan struct{})
	return nil
}

// Resume lets the task go on. An instance that cannot is ended, and the task with it.
func (s *Supervisor) Resume(_ context.Context, t edge.Task) {
	r := s.runs.find(t, false)
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.halted {
		return
	}
	r.halted = false
	close(r.goOn)
	s.thawLocked(r)
}

// freezeLocked halts the run's instance.
func (s *Supervisor) freezeLocked(ctx context.Context, r *run) error {
	suspender, can := s.opts.Driver.(Suspender)
	if !can {
		return errNoSuspender
	}
	if err := r.ep.firm(); err != nil {
		return err
	}
	r.lane.halt()
	if err := suspender.Suspend(ctx, r.ep.id); err != nil {
		r.lane.proceed()
		s.stuck(r.ep.id, err)
		return err
	}
	r.frozen = true
	s.halted.add(r.ep.id)
	s.stuck(r.ep.id, nil)
	return nil
}

// thawLocked lets the run's instance go on. The context of a caller who is leaving must
// not keep it frozen.
func (s *Supervisor) thawLocked(r *run) {
	if !r.frozen {
		return
	}
	r.frozen = false
	s.halted.drop(r.ep.id)
	r.lane.proceed()
	suspender, can := s.opts.Driver.(Suspender)
	if !can {
		return // then nothing was frozen
	}
	if err := suspender.Resume(context.Background(), r.ep.id); err != nil {
		s.condemn(r.ep, fmt.Sprintf("it was suspended and could not go on: %v", err))
	}
}

// leave notes that the task is not in its instance any more.
func (s *Supervisor) leave(r *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.thawLocked(r) // its answer came while it was being halted
	r.ep.occupy(nil)
	r.ep, r.lane = nil, nil
}

// loosen lets an instance that is to end go on, and keeps it from being halted.
func (s *Supervisor) loosen(ep *endpoint) {
	if ep == nil {
		return
	}
	ep.pool.mu.Lock()
	ep.ending = true
	r := ep.run
	ep.pool.mu.Unlock()
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ep == ep {
		s.thawLocked(r)
	}
}

// stuck notes why an instance could not be halted; nil: it could.
func (s *Supervisor) stuck(id string, err error) {
	if s.halted.refused(id, err != nil) == (err != nil) {
		return // as before
	}
	why, remedy := "", ""
	if err != nil {
		why, remedy = err.Error(), edge.HintOf(err)
	}
	s.inbox.post(func(l *loop) {
		if inst := l.instances[id]; inst != nil {
			inst.stuck, inst.stuckRemedy = why, remedy
		}
	})
}
