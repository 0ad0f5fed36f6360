package runtime

import (
	"cmp"
	"fmt"
	"time"

	"holdfast/edge"
)

// trial is the first time of a version, which is good when it has stood it. Beside its
// canary, if it has one, the last good version is what the workload is kept as.
type trial struct {
	hash   string
	began  time.Time
	canary *canary // nil: it replaces what runs
	met    bool    // an instance of it has been ready
	why    string  // it failed; empty: it has not, or is as good as new
	stands bool    // and that is left to a person, or counts for nothing
	paused bool    // and nothing more is replaced
}

// place is what one seat says of the version on trial.
type place struct {
	failed string    // why it cannot be counted on any more; empty: it can
	since  time.Time // ready without a break; zero: it is not ready
	done   bool      // it has ended as it should
	by     time.Time // it fails unless it is ready by then; zero: others see to that
	late   string    // why it is not ready yet
}

// verdictOn judges a version by its places: how many failed, and whether all of it has
// been ready for long enough. again is when time alone may change that.
func verdictOn(places []place, u edge.Update, now time.Time) (v verdict, why string, again time.Time) {
	failed, good := 0, 0
	for _, p := range places {
		lasting := p.since.Add(u.Watched())
		switch {
		case p.done, !p.since.IsZero() && !lasting.After(now):
			good++ // whatever was before
		case p.failed != "":
			failed, why = failed+1, cmp.Or(why, p.failed)
		case !p.since.IsZero():
			again = earlier(again, lasting)
		case !p.by.IsZero() && !p.by.After(now):
			failed, why = failed+1, cmp.Or(why, "not ready: "+cmp.Or(p.late, "no answer yet"))
		case !p.by.IsZero():
			again = earlier(again, p.by)
		}
	}
	switch {
	case float64(failed) > u.MaxFailed*float64(len(places)):
		if len(places) > 1 {
			why = fmt.Sprintf("%d of %d instances failed, among them: %s", failed, len(places), why)
		}
		return failing, why, time.Time{}
	case good == len(places) && len(places) > 0:
		return passing, "", time.Time{}
	}
	return undecided, "", again
}

// place is the seat as the trial of its version sees it. What could not be asked while
// the daemon was away is asked anew, for which there is time from when it came back.
func (s *seat) place(u edge.Update, back time.Time) place {
	p := place{failed: s.fault, done: s.done}
	inst := s.inst
	if inst == nil {
		return p
	}
	switch inst.phase {
	case phaseReady:
		p.since = inst.readyAt
	case phaseStarting, phaseUnready:
		if inst.gate.started && (inst.ep == nil || inst.described != nil) {
			p.late = inst.detail
			p.by = later(inst.since, back).Add(max(u.Watched(), defaultReadyWithin))
		}
	}
	return p
}

// later returns the later of two instants.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// blame notes an end that is held against the version: the third, or one of an instance
// that had to be ended because it never became ready. What nobody saw is not.
func (s *seat) blame(inst *instance) {
	if inst.Exit == nil {
		return
	}
	s.faults++
	if s.faults >= loopEnds || inst.cause != "" && !inst.met {
		s.fault = cmp.Or(s.fault, s.detail)
	}
}

// blameStart notes failed starts, which are held against the version when they are as
// many as the ends that are a crash loop.
func (s *seat) blameStart(err error) {
	if s.failedStarts >= loopEnds {
		s.fault, s.unstarted = cmp.Or(s.fault, "cannot be started: "+err.Error()), true
	}
}

// forgive forgets what was held against the version.
func (s *seat) forgive() { s.faults, s.fault, s.unstarted = 0, "", false }

// judge looks whether the version on trial has stood it, or has failed.
func (l *loop) judge(w *workload) {
	t := w.trial
	if t == nil || !w.desired || !l.daemon.up() {
		return
	}
	u := w.declared.Update
	if w.kept.Begun > maxBegun && w.kept.Good != nil {
		l.versionFailed(w, fmt.Sprintf("the agent was ended %d times in a row soon after it went on trial", maxBegun), nil)
		return
	}
	if lasted := t.began.Add(u.Watched()); w.kept.Begun > 1 && !lasted.After(l.now) {
		w.kept.Begun, l.unkept = 1, true // it did not end this one
	} else if w.kept.Begun > 1 {
		l.at(lasted)
	}
	if t.canary != nil {
		l.judgeCanary(w, u)
		return
	}
	var places []place
	for _, seat := range w.seats {
		places = append(places, seat.place(u, l.daemon.back))
		t.met = t.met || seat.inst != nil && seat.inst.met
	}
	v, why, again := verdictOn(places, u, l.now)
	l.at(again)
	switch v {
	case passing:
		l.promote(w)
	case failing:
		l.versionFailed(w, why, nil)
	}
}

// versionFailed does what is to be done with a version that failed. facts are figures.
func (l *loop) versionFailed(w *workload, why string, facts map[string]string) {
	t := w.trial
	action := w.declared.Update.OnFailure
	if w.kept.Good == nil && action != edge.OnFailurePause {
		return // it is the first, and what keeps it from being well is told of already
	}
	if action == "" && l.s.opts.Guarded(w.key) {
		t.why, t.stands = why, false
		l.at(l.now.Add(guardEvery)) // should nobody act after all
		return
	}
	_, err := l.target(w)
	switch {
	case action == edge.OnFailurePause || action == edge.OnFailureContinue:
		l.letStand(w, why, action, facts)
	case err != nil:
		l.letStand(w, why+"; it cannot be taken back: "+err.Error(), edge.OnFailureContinue, facts)
	default:
		l.takeBack(w, why, facts)
	}
}

// guardEvery is how soon it is noticed that nobody else takes a failed version back.
const guardEvery = time.Second

// letStand tells once of a version that failed and stays.
func (l *loop) letStand(w *workload, why string, action edge.FailureAction, facts map[string]string) {
	t := w.trial
	if t.stands {
		return
	}
	t.why, t.stands, t.paused = why, true, action == edge.OnFailurePause
	l.tellVersion(edge.EventUpdateFailed, w, why, facts, "action", string(action))
	if t.canary != nil && !t.paused {
		l.passCanary(w)
	}
}
