package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// watch waits for the instance's end, in a goroutine of its own.
func (l *loop) watch(inst *instance) {
	ctx, cancel := context.WithCancel(l.ctx)
	inst.cancel = cancel
	id := inst.ID
	l.spawn(func(context.Context) {
		for tries := 0; ; tries++ {
			exit, err := l.s.opts.Driver.Wait(ctx, id)
			switch {
			case err == nil:
				l.post(func(l *loop) { l.exited(id, seenEnd(&exit)) })
				return
			case ctx.Err() != nil:
				return
			case errors.Is(err, edge.ErrNotFound):
				l.post(func(l *loop) { l.exited(id, nil) })
				return
			}
			if !pause(ctx, retryPause(tries, l.s.opts.Jitter())) {
				return
			}
		}
	})
}

// retryPause is between two tries of a driver call: from a quarter of a second up
// to five, with half of it jittered so that it never is none.
func retryPause(tries int, jitter float64) time.Duration {
	bound := jittered(tries, 250*time.Millisecond, 5*time.Second, 1)
	return bound/2 + time.Duration(jitter*float64(bound/2))
}

// attach gives a running instance its first state: a plain service is ready because it
// runs, a model server when its protocol says so, and either only when its probes do.
func (l *loop) attach(w *workload, inst *instance, spec edge.Workload) {
	inst.spec = spec
	inst.since, inst.attached = l.now, l.now
	inst.phase = phaseStarting
	if spec.Serve != nil {
		inst.ep = newEndpoint(inst.Instance, spec.Serve, w.pool, l.s.opts.Dial)
		inst.ep.proving = w.tries(inst)
		l.refresh(w, inst)
		l.probe(inst, spec.Serve.Models())
	}
	l.ask(inst)
	l.admit(inst, "")
}

// becameReady lets a model server take tasks.
func (l *loop) becameReady(id string, metas map[string]oip.ModelMetadata) {
	inst := l.instances[id]
	if inst == nil || inst.ep == nil || inst.phase == phaseStopping {
		return
	}
	inst.described = metas
	l.admit(inst, "")
}

// notReady takes a model server out, or notes why it is not in yet.
func (l *loop) notReady(id string, why string) {
	inst := l.instances[id]
	if inst == nil || inst.ep == nil || inst.phase == phaseStopping {
		return
	}
	if inst.phase != phaseReady && inst.described != nil {
		inst.since = l.now // it was not its protocol that kept it out
	}
	inst.described = nil
	l.admit(inst, why)
}

// stillBusy grants an instance that is at work, and therefore not asked, its time
// to become ready anew. The request's own timeout bounds that.
func (l *loop) stillBusy(id string) {
	if inst := l.instances[id]; inst != nil && inst.phase == phaseUnready {
		inst.since = l.now
	}
}

// kill ends an instance that is of no more use, at once; its end counts as a
// failure.
func (l *loop) kill(id, why string) {
	inst := l.instances[id]
	if inst == nil || inst.phase == phaseStopping || inst.phase == phaseRemoving || inst.phase == phaseCreating {
		return
	}
	if inst.phase == phaseReady {
		l.event(edge.EventInstanceUnready, inst, why, nil)
	}
	l.stop(inst, why, 0)
}

// stop ends an instance: out of its pool, requests in flight let end unless there
// is no grace, then the driver's Stop. The exit comes through watch.
func (l *loop) stop(inst *instance, why string, grace time.Duration) {
	inst.phase, inst.cause, inst.detail = phaseStopping, why, why
	inst.hush()
	var drained <-chan struct{}
	drainWithin := time.Duration(0)
	if inst.ep != nil {
		drained = inst.ep.pool.withdraw(inst.ep)
		drainWithin = inst.ep.timeout
	}
	id, ep := inst.ID, inst.ep
	l.spawn(func(ctx context.Context) {
		l.s.loosen(ep) // or what is in flight would not end
		if grace > 0 && drained != nil {
			awaitDrain(ctx, drained, drainWithin)
		}
		l.persist(ctx, id, "stop", func() error { return l.s.opts.Driver.Stop(ctx, id, grace) })
	})
}

func awaitDrain(ctx context.Context, drained <-chan struct{}, within time.Duration) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// persist calls the driver until it succeeds or ctx ends. Trouble that is not the
// daemon's absence becomes a warning meanwhile.
func (l *loop) persist(ctx context.Context, id, verb string, call func() error) bool {
	for tries := 0; ; tries++ {
		err := call()
		if err == nil {
			l.post(func(l *loop) { l.troubled(id, "") })
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if !errors.Is(err, edge.ErrUnavailable) {
			why := fmt.Sprintf("cannot %s instance %q: %v", verb, id, err)
			l.post(func(l *loop) { l.troubled(id, why) })
		}
		if !pause(ctx, retryPause(tries, l.s.opts.Jitter())) {
			return false
		}
	}
}

func (l *loop) troubled(id, why string) {
	if inst := l.instances[id]; inst != nil {
		inst.trouble = why
	}
}
