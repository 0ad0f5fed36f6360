package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/edge"
)

// maxFailedVersions is how many are remembered of one workload: more than anybody brings
// until one is good.
const maxFailedVersions = 8

// maxWhy bounds why a version failed, in bytes.
const maxWhy = 500

// maxBegun is how often an agent begins with one version on trial, as it is with the trial
// of a policy. What ends the agent or the machine so often may be the version itself.
const maxBegun = 3

var (
	errNoGood  = errors.New("none is known that was good")
	errNoAgain = errors.New("what has run to its end is not run again in an older version")
)

// declare notes what the workload should be; choose follows, once all are noted.
func (l *loop) declare(w *workload, spec edge.Workload) {
	hash := spec.SpecHash()
	if w.desired && w.hash != hash && w.kept.Good == nil && w.isWhole(l.now) {
		l.keepGood(w, w.spec) // it has not stood its trial, and nothing better is known
	}
	if !w.desired {
		l.recall(w)
	}
	w.declared, w.declaredHash = spec, hash
}

// recall takes up what an earlier agent kept of the workload.
func (l *loop) recall(w *workload) {
	if kept, known := l.recalled[w.key]; known {
		delete(l.recalled, w.key)
		w.kept = kept
		w.kept.Failed = slices.Clone(kept.Failed)
	}
	if w.kept.Good != nil {
		w.goodHash = w.kept.Good.SpecHash()
	}
}

// isWhole tells whether all that is wanted has been ready for a moment and none has ever ended.
func (w *workload) isWhole(now time.Time) bool {
	return w.spec.Replicas > 0 && w.spec.Restart != edge.RestartNo && !slices.ContainsFunc(w.seats, func(s *seat) bool {
		return s.inst == nil || s.inst.phase != phaseReady || s.inst.readyFor(now) < settledAfter || len(s.record.ends) > 0
	})
}

// choose decides in which version the workload runs: the wanted one, unless it has failed
// before or only a share of the tasks is to try it.
func (l *loop) choose(w *workload) {
	target, err := l.target(w)
	failed := w.failedVersion(w.declaredHash)
	switch {
	case err == nil && failed >= 0:
		l.endTrial(w)
		if w.refused != w.declaredHash {
			w.refused = w.declaredHash
			l.tellVersion(edge.EventUpdateRefused, w, w.kept.Failed[failed].Why, nil)
		}
		l.pursue(w, target)
	case err == nil && l.triesFirst(w, target):
		l.beginTrial(w)
		l.pursue(w, target)
		l.tryWith(w)
	default:
		l.endCanary(w) // there may have been one, by other terms
		l.pursue(w, w.declared)
		l.beginTrial(w)
	}
}

// target is the last good version as it can be run now, or why it cannot.
func (l *loop) target(w *workload) (edge.Workload, error) {
	switch {
	case w.declared.Restart == edge.RestartNo:
		return edge.Workload{}, errNoAgain
	case w.kept.Good == nil || w.goodHash == w.declaredHash:
		return edge.Workload{}, errNoGood
	}
	spec := *w.kept.Good
	spec.Replicas = w.declared.Replicas
	for _, other := range l.workloads {
		for _, model := range spec.Serve.Models() {
			if other != w && slices.Contains(other.declared.Serve.Models(), model) {
				return spec, fmt.Errorf("workload %q serves its model %q by now", other.key, model)
			}
		}
	}
	if err := errors.Join(checkWorkload(spec), l.s.opts.Permit(spec)); err != nil {
		return spec, fmt.Errorf("the last good version is not permitted any more: %w", err)
	}
	return spec, nil
}

func (w *workload) failedVersion(hash string) int {
	return slices.IndexFunc(w.kept.Failed, func(f edge.FailedVersion) bool { return f.Hash == hash })
}

// beginTrial puts the wanted version on trial, unless it is or needs none.
func (l *loop) beginTrial(w *workload) {
	switch {
	case w.declaredHash == w.goodHash:
		l.endTrial(w)
		l.keepGood(w, w.declared) // in what is no part of its hash it may be another
		return
	case w.declared.Replicas == 0:
		l.endTrial(w)
		return
	case w.trial != nil && w.trial.hash == w.declaredHash:
		return
	}
	l.endCanary(w)
	w.trial = &trial{hash: w.declaredHash, began: l.now}
	if w.kept.Trial != w.declaredHash {
		w.kept.Trial, w.kept.Begun, w.kept.Passed = w.declaredHash, 0, false
	}
	w.kept.Begun++
	l.unkept = true
	for _, inst := range w.running() {
		l.refresh(w, inst)
	}
	if w.kept.Good != nil {
		l.tellVersion(edge.EventUpdateBegan, w, "", nil)
	}
}

// endTrial leaves the version that was on trial.
func (l *loop) endTrial(w *workload) {
	l.endCanary(w)
	w.trial = nil
	if w.kept.Trial != "" {
		w.kept.Trial, w.kept.Begun, w.kept.Passed = "", 0, false
		l.unkept = true
	}
}

// promote makes the version the last good one.
func (l *loop) promote(w *workload) {
	t := w.trial
	known := w.kept.Good != nil
	l.endTrial(w)
	w.refused = ""
	for _, seat := range w.seats {
		seat.forgive()
		if seat.inst != nil {
			l.refresh(w, seat.inst)
		}
	}
	l.keepGood(w, w.declared)
	if known {
		l.tellVersion(edge.EventUpdatePromoted, w, "", map[string]string{"after": l.now.Sub(t.began).Round(time.Millisecond).String()})
	}
}

// keepGood keeps the last good version, if that is another than before.
func (l *loop) keepGood(w *workload, spec edge.Workload) {
	spec.Replicas = 0
	hash := spec.SpecHash()
	failed := w.failedVersion(hash)
	if w.kept.Good != nil && failed < 0 && sameSpec(*w.kept.Good, spec) {
		return
	}
	w.kept.Good, w.goodHash = &spec, hash
	if failed >= 0 {
		w.kept.Failed = slices.Delete(w.kept.Failed, failed, failed+1)
	}
	l.unkept = true
}

// sameSpec compares what would be kept of two.
func sameSpec(a, b edge.Workload) bool {
	one, err := json.Marshal(a)
	two, failed := json.Marshal(b)
	return err == nil && failed == nil && bytes.Equal(one, two)
}

// takeBack puts the last good version in the place of one that failed, and remembers that.
func (l *loop) takeBack(w *workload, why string, facts map[string]string) {
	met, unstarted := w.trial.met && w.trial.canary == nil, slices.ContainsFunc(w.places(), func(s *seat) bool { return s.unstarted })
	if i := w.failedVersion(w.declaredHash); i >= 0 {
		w.kept.Failed = slices.Delete(w.kept.Failed, i, i+1)
	}
	if len(why) > maxWhy {
		why = strings.ToValidUTF8(why[:maxWhy], "") + "…"
	}
	w.kept.Failed = append(w.kept.Failed, edge.FailedVersion{
		Hash: w.declaredHash, Image: w.declared.Image, Why: why, At: l.now.UTC().Round(0), Unstarted: unstarted,
	})
	if over := len(w.kept.Failed) - maxFailedVersions; over > 0 {
		w.kept.Failed = slices.Delete(w.kept.Failed, 0, over)
	}
	w.refused, l.unkept = w.declaredHash, true // that is told here
	l.tellVersion(edge.EventUpdateRolledBack, w, why, facts, "after", l.now.Sub(w.trial.began).Round(time.Millisecond).String())
	l.choose(w)
	w.notReady = ""
	w.cleared = true // it was there before
	w.renewing = w.renewing && met
}

// tryAgain has the wanted version tried again that failed before, or was paused; false
// when it was neither.
func (l *loop) tryAgain(w *workload) bool {
	failed := w.failedVersion(w.declaredHash)
	paused := w.trial != nil && w.trial.stands
	if failed < 0 && !paused {
		return false
	}
	if failed >= 0 {
		w.kept.Failed = slices.Delete(w.kept.Failed, failed, failed+1)
	}
	l.endTrial(w)
	for _, seat := range w.seats {
		seat.forgive()
	}
	w.refused, l.unkept = "", true
	l.choose(w)
	return failed >= 0
}

// startable has versions tried again that failed because they could not be started.
func (l *loop) startable() {
	for _, w := range l.workloads {
		if i := w.failedVersion(w.declaredHash); w.desired && i >= 0 && w.kept.Failed[i].Unstarted {
			l.tryAgain(w)
		}
	}
}

// forgetVersions drops what was kept of a workload that is not wanted any more.
func (l *loop) forgetVersions(w *workload) {
	l.endTrial(w)
	if w.kept.Good != nil || len(w.kept.Failed) > 0 {
		l.unkept = true
	}
	w.kept, w.goodHash, w.refused = edge.Versions{}, "", ""
	w.declared, w.declaredHash = edge.Workload{}, ""
}
