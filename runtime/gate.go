package runtime

import (
	"cmp"
	"context"
	"time"

	"holdfast/edge"
)

// gate is what the probes of an instance say. It may be counted on while all is true.
type gate struct {
	started, ready, alive bool
	round                 int
	asking                context.CancelFunc // nil: nothing is asked
}

func (g *gate) open() bool { return g.started && g.ready && g.alive }

// ask puts the questions that the workload has for the instance. One that was ready when
// the questions changed stays so until they say otherwise.
func (l *loop) ask(inst *instance) {
	p, was := inst.spec.Probes, inst.phase == phaseReady
	inst.hush()
	inst.gate.round++
	inst.gate.started, inst.gate.ready, inst.gate.alive = was || p.Startup == nil, was || p.Readiness == nil, true
	if p == (edge.Probes{}) {
		return
	}
	ctx, cancel := context.WithCancel(l.ctx)
	inst.gate.asking = cancel
	if !inst.gate.started {
		l.question(ctx, inst, askStartup, p.Startup)
		return
	}
	l.askOn(ctx, inst)
}

// askOn puts what is asked of a started instance.
func (l *loop) askOn(ctx context.Context, inst *instance) {
	inst.gate.started = true
	l.question(ctx, inst, askReadiness, inst.spec.Probes.Readiness)
	l.question(ctx, inst, askLiveness, inst.spec.Probes.Liveness)
}

func (l *loop) question(ctx context.Context, inst *instance, name string, probe *edge.Probe) {
	if probe == nil {
		return
	}
	q := &question{s: l.s, inst: inst.Instance, ep: inst.ep, name: name, round: inst.gate.round, tally: tally{probe: *probe}}
	l.spawn(func(context.Context) { q.run(ctx) })
}

// hush ends all questions.
func (i *instance) hush() {
	if i.gate.asking != nil {
		i.gate.asking()
		i.gate.asking = nil
	}
}

// answered takes a verdict, or word of why there is none yet.
func (l *loop) answered(id, name string, round int, v verdict, why string) {
	inst := l.instances[id]
	if inst == nil || inst.gate.asking == nil || inst.gate.round != round {
		return
	}
	switch {
	case v == undecided:
		if inst.phase != phaseReady {
			inst.detail = why
		}
		return
	case name == askReadiness:
		inst.gate.ready = v == passing
	case v == failing && restarts(inst.spec.Restart, &edge.Exit{Code: codeUnknown}):
		l.fail(inst, why)
		return
	case name == askLiveness: // and nobody would start it again
		inst.gate.alive = v == passing
	case v == passing:
		l.goneUp(inst)
	}
	l.admit(inst, why)
}

// goneUp goes on with the questions for an instance that has started, and gives a model
// server its time to become ready from now on.
func (l *loop) goneUp(inst *instance) {
	inst.since = l.now
	ctx, cancel := context.WithCancel(l.ctx)
	inst.hush()
	inst.gate.asking = cancel
	l.askOn(ctx, inst)
}

// fail ends an instance that its probes have given up; its end counts as a failure.
func (l *loop) fail(inst *instance, why string) {
	if inst.phase == phaseReady {
		l.event(edge.EventInstanceUnready, inst, why, nil)
	}
	l.stop(inst, why, cmp.Or(inst.spec.StopGrace, defaultStopGrace))
}

// admit lets the instance be counted on when all that is asked of it is well, and takes
// it out, for the reason given, when it is not.
func (l *loop) admit(inst *instance, why string) {
	open := inst.gate.open() && (inst.ep == nil || inst.described != nil)
	switch {
	case open:
		l.letIn(inst)
	case inst.phase == phaseReady:
		l.takeOut(inst, why)
	default:
		inst.detail = cmp.Or(why, inst.detail)
	}
}

// letIn makes an instance ready. Of one that nobody asks anything it is not told: it runs.
func (l *loop) letIn(inst *instance) {
	w := l.workloads[inst.Workload]
	if inst.phase != phaseReady {
		took := l.now.Sub(cmp.Or(inst.attached, l.now))
		inst.phase, inst.readyAt, inst.detail, inst.met = phaseReady, l.now, "", true
		if inst.seat != nil && !w.tries(inst) {
			w.stepped = l.now
		}
		if inst.ep != nil || inst.gate.asking != nil {
			l.event(edge.EventInstanceReady, inst, "", map[string]string{"took": took.Round(time.Millisecond).String()})
		}
	}
	if inst.ep != nil {
		w.pool.join(inst.ep, inst.described)
		if inst.seat != nil && !w.tries(inst) || w.metas == nil {
			w.metas = inst.described
		}
	}
	if inst.seat != nil {
		w.notReady = ""
	}
}

// takeOut makes an instance unready.
func (l *loop) takeOut(inst *instance, why string) {
	if inst.ep != nil {
		inst.ep.pool.withdraw(inst.ep)
	}
	inst.phase, inst.since, inst.readyAt, inst.detail = phaseUnready, l.now, time.Time{}, why
	l.event(edge.EventInstanceUnready, inst, why, nil)
}
