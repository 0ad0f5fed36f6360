package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/edge"
)

// startWithin bounds one start. Unpacking a large image on slow flash takes
// minutes; a start that takes longer than this never ends.
const startWithin = 10 * time.Minute

// reconcile brings one workload nearer to what is wanted.
func (l *loop) reconcile(w *workload) {
	if w.invalid != "" && !w.desired {
		return // nothing usable is known of it: leave alone what runs
	}
	l.buryDead(w)
	l.tendCanary(w)
	l.attachExtras(w)
	l.enforceReadiness(w)
	l.judge(w)
	w.awaits, w.inVain = l.awaits(w)
	for l.step(w) {
	}
	l.renewed(w)
	l.calm(w)
	if w.empty() {
		delete(l.workloads, w.key)
	}
}

// step carries out one plan and tells whether another is needed at once.
func (l *loop) step(w *workload) (again bool) {
	actions, retry := plan(w.situation(l.now), l.now)
	for _, a := range actions {
		switch a.verb {
		case dropSeat:
			l.vacate(w, w.seats[a.seat])
			w.seats = slices.Delete(w.seats, a.seat, a.seat+1)
			again = true
		case adoptInto:
			l.adopt(w, w.seats[a.seat], l.instances[a.id])
			again = true
		case startIn:
			if l.daemon.up() {
				l.startAs(w, w.seats[a.seat], w.spec, w.hash)
			}
		case retire:
			if !w.desired && l.needed(w) {
				continue // what depends on it goes first
			}
			inst := l.instances[a.id]
			inst.planned = true
			l.stop(inst, cmp.Or(inst.cause, l.whyRetired(w, inst)), cmp.Or(inst.spec.StopGrace, defaultStopGrace))
		}
	}
	l.at(retry)
	return again
}

func (l *loop) whyRetired(w *workload, inst *instance) string {
	switch {
	case !w.desired:
		return "its workload is no longer wanted"
	case inst.SpecHash == w.hash:
		return "more instances than replicas"
	case inst.SpecHash == w.declaredHash:
		return "its version was taken back"
	default:
		return "replaced by a new version"
	}
}

// startAs makes a new instance of a version for the seat.
func (l *loop) startAs(w *workload, seat *seat, spec edge.Workload, hash string) {
	id := newID(spec)
	for l.instances[id] != nil { // 1 in 16 million, but then two would be one
		id = newID(spec)
	}
	inst := &instance{
		Instance: edge.Instance{ID: id, Workload: w.key, SpecHash: hash, Image: spec.Image},
		spec:     spec, phase: phaseCreating, since: l.now, seat: seat,
	}
	l.instances[id] = inst
	seat.inst = inst
	seat.starts++
	cause := cmp.Or(seat.detail, w.whyStarted(hash))
	l.spawn(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, startWithin)
		defer cancel()
		made, err := l.s.opts.Driver.Start(ctx, spec, id)
		l.post(func(l *loop) { l.startReturned(w, inst, made, err, cause) })
	})
}

// startReturned continues after the driver's Start.
func (l *loop) startReturned(w *workload, inst *instance, made edge.Instance, err error, cause string) {
	l.daemon.touch(inst.ID)
	if err != nil {
		delete(l.instances, inst.ID)
		l.startFailed(w, inst, err)
		return
	}
	made.ID, made.Workload, made.SpecHash = inst.ID, inst.Workload, inst.SpecHash
	made.Started = cmp.Or(made.Started, l.now)
	inst.Instance, inst.began = made, l.now
	if inst.seat != nil {
		inst.seat.startErr, inst.seat.failedStarts, inst.seat.unanswered = nil, 0, 0
		inst.seat.detail = ""
	}
	l.event(edge.EventInstanceStarted, inst, cause, factsOf(made))
	l.watch(inst)
	l.attach(w, inst, inst.spec)
}

// startFailed counts a failed start. That the daemon is away is nobody's failure; one that
// answers again each time, and never this, is not to be asked all the time either.
func (l *loop) startFailed(w *workload, inst *instance, err error) {
	seat := inst.seat
	if errors.Is(err, edge.ErrUnavailable) {
		l.daemonLost()
	} else {
		l.event(edge.EventInstanceFailed, inst, err.Error(), nil)
	}
	if seat == nil { // it was to go anyway
		w.extras = without(w.extras, inst)
		return
	}
	seat.inst = nil
	seat.detail = err.Error()
	if errors.Is(err, edge.ErrUnavailable) {
		seat.starts--
		if seat.unanswered++; seat.unanswered >= loopEnds {
			seat.startErr, seat.nextTry = err, l.now.Add(delayStart(seat.unanswered-loopEnds, l.s.opts.Jitter()))
		}
		return
	}
	seat.startErr, seat.unanswered = err, 0
	seat.failedStarts++
	seat.nextTry = l.now.Add(delayStart(seat.failedStarts, l.s.opts.Jitter()))
	seat.blameStart(err)
}

// adopt seats an instance that ran before.
func (l *loop) adopt(w *workload, seat *seat, inst *instance) {
	w.extras = without(w.extras, inst)
	inst.seat, seat.inst = seat, inst
	seat.starts = max(seat.starts, 1)
	seat.detail = ""
	w.cleared = true // it has been started
	w.pool.probation(inst.ep, false)
	l.refresh(w, inst)
	l.event(edge.EventInstanceAdopted, inst, "it runs what is wanted", factsOf(inst.Instance))
	if inst.phase == phaseReady && inst.described != nil {
		w.metas = inst.described // in the place of what another version said
	}
	l.respec(inst, w.spec)
}

// factsOf is what is told of an instance that runs: what it is, and where it is reached.
func factsOf(inst edge.Instance) map[string]string {
	facts := map[string]string{"image": inst.Image, "digest": inst.Digest, "pid": fmt.Sprint(inst.PID)}
	if where := inst.Where(); where != "" {
		facts["at"] = where
	}
	return facts
}

// attachExtras makes use of found instances: what serves the wanted models may do
// so until it is replaced.
func (l *loop) attachExtras(w *workload) {
	for _, inst := range w.extras {
		if inst.phase == phaseUnknown && w.desired {
			l.attach(w, inst, w.spec)
		}
	}
}

// buryDead decides upon instances that ended outside a seat, mostly while no agent
// was there: one that was seen to end for good takes a seat that is still as new, so
// that its work is not done twice; the rest is removed, and started again if wanted.
// What is kept is not told of: an earlier agent may have done so, and the next one
// would find it again. What was found is told of once it is gone.
func (l *loop) buryDead(w *workload) {
	dead := w.dead
	w.dead = nil
	for _, inst := range dead {
		i := slices.IndexFunc(w.seats, func(s *seat) bool { return s.inst == nil && s.last == nil && s.starts == 0 && !s.done })
		if i >= 0 && w.desired && inst.SpecHash == w.hash && !inst.planned && !restarts(w.spec.Restart, inst.Exit) {
			w.seats[i].done, w.seats[i].last, w.seats[i].starts = true, inst, 1
			w.seats[i].detail = howEnded(inst.Exit)
			inst.told = true
			continue
		}
		w.remember(inst)
		l.remove(w, inst)
	}
}

// remember has a seat that is as new know of an instance that ended while nobody saw to it,
// so that the one started in its place can say why.
func (w *workload) remember(inst *instance) {
	i := slices.IndexFunc(w.seats, func(s *seat) bool { return s.inst == nil && s.detail == "" })
	if i >= 0 && w.desired && inst.SpecHash == w.hash && !inst.planned {
		w.seats[i].detail = howEnded(inst.Exit)
	}
}

// whyStarted is for a seat that has nothing to say of the one before.
func (w *workload) whyStarted(hash string) string {
	if slices.ContainsFunc(w.extras, func(inst *instance) bool { return inst.SpecHash != hash }) {
		return "another version of its workload runs"
	}
	return "its workload is wanted"
}

// enforceReadiness kills model servers that have not been ready for too long.
func (l *loop) enforceReadiness(w *workload) {
	for _, inst := range l.instances {
		by := inst.readyBy()
		if inst.Workload != w.key || by.IsZero() {
			continue
		}
		if l.now.Before(by) {
			l.at(by)
			continue
		}
		why := fmt.Sprintf("not ready within %v: %s", by.Sub(inst.since), cmp.Or(inst.detail, "no answer yet"))
		if inst.seat != nil {
			w.notReady = why
		}
		l.kill(inst.ID, why)
	}
}

// calm ends crash loops that are over, and removes what was kept of them.
func (l *loop) calm(w *workload) {
	for _, seat := range w.places() {
		if seat.last == nil && seat.loop == "" || seat.inst == nil || seat.inst.phase != phaseReady {
			continue
		}
		over := seat.inst.readyAt.Add(stableAfter)
		if calm := seat.record.calmAt(); calm.After(over) {
			over = calm
		}
		if l.now.Before(over) {
			l.at(over)
			continue
		}
		seat.loop = ""
		l.forgetLast(w, seat)
	}
}

func without(list []*instance, inst *instance) []*instance {
	return slices.DeleteFunc(list, func(i *instance) bool { return i == inst })
}
