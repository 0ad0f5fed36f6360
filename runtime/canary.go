package runtime

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"holdfast/edge"
)

// canary is a version that a share of the tasks tries, in one instance beside all those
// of the last good version, which is what the workload is kept as meanwhile.
type canary struct {
	spec  edge.Workload
	terms edge.Canary
	seat  *seat
	gauge *gauge
	since time.Time // its instance was first ready; zero: it has not been
	lacks string    // why it is not started: what it depends on is not there
}

// triesFirst tells whether the wanted version is to be a canary beside the good one.
func (l *loop) triesFirst(w *workload, good edge.Workload) bool {
	want := w.declared
	switch {
	case want.Update.Canary == nil, want.Update.StopFirst, want.Replicas == 0:
		return false
	case want.Serve == nil || good.Serve == nil || want.Serve.Model != good.Serve.Model:
		return false // there is nothing to share
	case w.trial != nil && w.trial.hash == w.declaredHash:
		return w.trial.canary != nil
	}
	return w.kept.Trial != w.declaredHash || !w.kept.Passed
}

// tryWith makes the version on trial a canary.
func (l *loop) tryWith(w *workload) {
	terms := w.declared.Update.Canary.WithDefaults()
	c := w.trial.canary
	if c == nil {
		c = &canary{seat: &seat{}}
		w.trial.canary = c
	}
	if c.gauge == nil || c.terms != terms {
		s := l.s
		c.since = time.Time{} // what is counted by them begins anew
		c.gauge = &gauge{enough: uint64(terms.Tasks), due: func() { s.inbox.post(func(*loop) {}) }}
	}
	c.spec, c.terms = w.declared, terms
	c.seat.retry(l.now)
	if c.seat.inst != nil {
		l.respec(c.seat.inst, c.spec)
	}
	w.pool.tryOut(terms.Share, c.gauge)
}

// tendCanary keeps the canary's instance running.
func (l *loop) tendCanary(w *workload) {
	if w.trial == nil || w.trial.canary == nil || !w.desired {
		return
	}
	c := w.trial.canary
	if c.seat.inst == nil && !c.seat.done {
		l.seatCanary(w, c)
	}
	if c.seat.inst != nil || c.seat.done || w.trial.why != "" {
		return
	}
	c.lacks = ""
	if why, _ := l.lacking(c.spec); why != "" {
		c.lacks = why
		return
	}
	alive := len(w.running())
	switch {
	case c.seat.nextTry.After(l.now):
		l.at(c.seat.nextTry)
	case !l.daemon.up() || alive >= w.spec.Replicas+w.situation(l.now).surge() || w.leftovers > w.spec.Replicas+1:
	default:
		l.startAs(w, c.seat, c.spec, w.trial.hash)
	}
}

// seatCanary takes over the instance of an earlier agent.
func (l *loop) seatCanary(w *workload, c *canary) {
	i := slices.IndexFunc(w.extras, func(inst *instance) bool {
		return inst.SpecHash == w.trial.hash && !inst.retiring && inst.phase != phaseStopping && inst.phase != phaseCreating
	})
	if i < 0 {
		return
	}
	inst := w.extras[i]
	w.extras = without(w.extras, inst)
	inst.seat, c.seat.inst = c.seat, inst
	c.seat.starts = max(c.seat.starts, 1)
	l.event(edge.EventInstanceAdopted, inst, "it is a canary", map[string]string{
		"image": inst.Image, "digest": inst.Digest, "pid": fmt.Sprint(inst.PID),
	})
	if inst.phase == phaseUnknown {
		l.attach(w, inst, c.spec)
		return
	}
	w.pool.probation(inst.ep, true)
	l.respec(inst, c.spec)
}

// tries tells whether the instance is the canary of its workload.
func (w *workload) tries(inst *instance) bool {
	return w.trial != nil && w.trial.canary != nil && inst.seat != nil && w.trial.canary.seat == inst.seat
}

// places are the seats of the workload, that of its canary among them.
func (w *workload) places() []*seat {
	if w.trial == nil || w.trial.canary == nil {
		return w.seats
	}
	return append(slices.Clone(w.seats), w.trial.canary.seat)
}

// judgeCanary decides upon the canary when there is enough to decide by.
func (l *loop) judgeCanary(w *workload, u edge.Update) {
	t := w.trial
	c := t.canary
	if t.stands {
		return // it goes on until a person acts
	}
	if inst := c.seat.inst; inst != nil && inst.phase == phaseReady {
		t.met = true
		if c.since.IsZero() {
			c.since = l.now
			c.gauge.begin()
		}
	}
	if c.seat.done { // which is well of what does its work, and not of what is to be asked
		l.versionFailed(w, c.seat.detail+", and is not to be started again", c.facts())
		return
	}
	if v, why, again := verdictOn([]place{c.seat.place(u, l.daemon.back)}, edge.Update{Monitor: u.Watched()}, l.now); v == failing {
		l.versionFailed(w, why, c.facts())
		return
	} else {
		l.at(again)
	}
	if c.since.IsZero() {
		return
	}
	until := c.since.Add(c.terms.For)
	now, before := c.gauge.figures()
	switch v, why := compare(now, before, c.terms, !until.After(l.now)); v {
	case failing:
		l.versionFailed(w, why, c.facts())
	case passing:
		l.passCanary(w)
	default:
		l.at(earlier(until, l.now.Add(showEvery)))
	}
}

// showEvery is how old the figures of a canary may be that lists show.
const showEvery = time.Second

// facts are the figures of both versions.
func (c *canary) facts() map[string]string {
	now, before := c.gauge.figures()
	facts := map[string]string{"share": strconv.Itoa(c.terms.Share) + "%"}
	for name, f := range map[string]edge.VersionFigure{"": now, "old": before} {
		key := func(what string) string {
			if name == "" {
				return what
			}
			return name + string(what[0]-'a'+'A') + what[1:]
		}
		facts[key("tasks")], facts[key("failed")] = strconv.FormatUint(f.Tasks, 10), strconv.FormatUint(f.Failed, 10)
		facts[key("median")], facts[key("p90")] = f.Median.Round(time.Microsecond).String(), f.P90.Round(time.Microsecond).String()
	}
	return facts
}

// passCanary goes on from the canary to replacing what runs.
func (l *loop) passCanary(w *workload) {
	t := w.trial
	facts := t.canary.facts()
	if !t.canary.since.IsZero() {
		facts["after"] = l.now.Sub(t.canary.since).Round(time.Millisecond).String()
	}
	if !t.stands {
		l.tellVersion(edge.EventCanaryPassed, w, "", facts)
	}
	l.endCanary(w)
	w.kept.Passed, l.unkept = true, true
	l.pursue(w, w.declared)
}

// endCanary makes the canary's instance one like others: what is wanted of it now, plan
// finds out.
func (l *loop) endCanary(w *workload) {
	if w.trial == nil || w.trial.canary == nil {
		return
	}
	c := w.trial.canary
	w.trial.canary = nil
	if inst := c.seat.inst; inst != nil {
		inst.seat, c.seat.inst = nil, nil
		w.extras = append(w.extras, inst)
	}
	l.forgetLast(w, c.seat)
	w.pool.tryOut(0, nil)
	w.notReady = ""
}

// report is the canary as lists show it.
func (c *canary) report() *edge.CanaryReport {
	now, before := c.gauge.figures()
	report := &edge.CanaryReport{Share: c.terms.Share, Tasks: c.terms.Tasks, New: now, Old: before}
	if !c.since.IsZero() {
		report.Until = c.since.Add(c.terms.For)
	}
	return report
}

// view is the canary's instance as lists show it.
func (c *canary) view(hash string) edge.InstanceView {
	view := c.seat.view(c.lacks)
	view.SpecHash = hash // also while there is none
	if view.Detail == "" {
		view.Detail = fmt.Sprintf("canary: %d%% of the tasks", c.terms.Share)
	}
	return view
}
