package runtime

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"holdfast/edge"
)

// exited is called once an instance has ended; exit is nil when nobody saw how.
func (l *loop) exited(id string, exit *edge.Exit) {
	inst := l.instances[id]
	if inst == nil || inst.phase == phaseRemoving || inst.phase == phaseCreating {
		return
	}
	w := l.workloads[inst.Workload]
	up := inst.readyFor(l.now)
	inst.Running, inst.Exit = false, exit
	inst.phase, inst.readyAt = phaseRemoving, time.Time{}
	l.daemon.touch(id)
	l.detach(inst)
	l.tellEnd(inst)
	seat := inst.seat
	if seat == nil {
		w.extras = without(w.extras, inst)
		w.dead = append(w.dead, inst)
		return
	}
	inst.seat, seat.inst = nil, nil
	l.forgetLast(w, seat)
	seat.last = inst
	l.vacated(seat, inst, up)
}

// detach cuts what the supervisor holds of an instance that has ended.
func (l *loop) detach(inst *instance) {
	if inst.cancel != nil {
		inst.cancel()
	}
	inst.hush()
	l.s.halted.forget(inst.ID)
	inst.stuck = ""
	if inst.ep != nil {
		ep := inst.ep
		inst.ep = nil
		ep.pool.withdraw(ep)
		l.afterwards = append(l.afterwards, func() { ep.abort(howEnded(inst.Exit)) })
	}
}

// tellEnd sends the event of an end, once. How long the instance ran is told only
// when its start was seen: the time without an agent is nobody's to count.
func (l *loop) tellEnd(inst *instance) {
	if inst.told {
		return
	}
	inst.told = true
	kind := edge.EventInstanceExited
	if inst.planned {
		kind = edge.EventInstanceStopped
	}
	facts := map[string]string{"how": howEnded(inst.Exit), "log": inst.LogPath}
	if inst.Exit != nil {
		facts["code"] = strconv.FormatUint(uint64(inst.Exit.Code), 10)
	}
	if !inst.began.IsZero() { // not Started: that is wall time, which may have been set meanwhile
		facts["ran"] = l.now.Sub(inst.began).Round(time.Millisecond).String()
	}
	l.event(kind, inst, inst.cause, facts)
}

// vacated decides what becomes of the seat of an instance that ended.
func (l *loop) vacated(seat *seat, inst *instance, up time.Duration) {
	seat.detail = howEnded(inst.Exit)
	if inst.cause != "" {
		seat.detail = inst.cause + "; " + seat.detail
	}
	if !restarts(inst.spec.Restart, inst.Exit) {
		seat.done = true
		return
	}
	seat.blame(inst)
	seat.record = seat.record.failed(l.now, up)
	seat.nextTry = l.now.Add(seat.record.delay(l.s.opts.Jitter()))
	if seat.record.looping(l.now) {
		l.warnOfLoop(seat, inst)
	}
}

// warnOfLoop raises a crash loop once the last words of the instance have been read.
func (l *loop) warnOfLoop(seat *seat, inst *instance) {
	why := fmt.Sprintf("%d ends within %v, the last: %s", loopEnds, loopWindow, seat.detail)
	if inst.LogPath != "" {
		why += "; its log: " + inst.LogPath
	}
	logs, can := l.s.opts.Driver.(LogReader)
	if !can {
		seat.loop = why
		return
	}
	id := inst.ID
	l.spawn(func(ctx context.Context) {
		said := lastWords(ctx, logs, id)
		l.post(func(l *loop) {
			if seat.last == inst && seat.record.looping(l.now) { // or there is a later one, or it is over
				seat.loop = why + said
			}
		})
	})
}

func howEnded(exit *edge.Exit) string {
	if exit == nil {
		return "ended unseen, as when its shim dies or the power goes"
	}
	return exit.String()
}

// forgetLast removes the ended instance a seat kept.
func (l *loop) forgetLast(w *workload, seat *seat) {
	if seat.last != nil {
		l.remove(w, seat.last)
		seat.last = nil
	}
}

// remove deletes an ended instance from the driver.
func (l *loop) remove(w *workload, inst *instance) {
	inst.phase = phaseRemoving
	w.leftovers++
	id := inst.ID
	l.spawn(func(ctx context.Context) {
		if l.persist(ctx, id, "remove", func() error { return l.s.opts.Driver.Remove(ctx, id) }) {
			l.post(func(l *loop) { l.removed(w, inst) })
		}
	})
}

func (l *loop) removed(w *workload, inst *instance) {
	l.daemon.touch(inst.ID)
	l.tellEnd(inst) // when it had ended before this agent came
	delete(l.instances, inst.ID)
	w.leftovers--
}
