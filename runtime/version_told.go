package runtime

import (
	"fmt"
	"maps"
	"slices"

	"holdfast/edge"
)

// tellVersion tells of the wanted version and the last good one.
func (l *loop) tellVersion(kind edge.EventKind, w *workload, why string, facts map[string]string, more ...string) {
	all := map[string]string{"version": edge.ShortHash(w.declaredHash), "image": w.declared.Image}
	if w.kept.Good != nil && w.goodHash != w.declaredHash {
		all["good"], all["goodImage"] = edge.ShortHash(w.goodHash), w.kept.Good.Image
	}
	maps.Copy(all, facts)
	for i := 0; i+1 < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	l.s.opts.Event(edge.Event{Kind: kind, Subject: w.key, Cause: why, Facts: all})
}

// publishVersions tells what is to be kept of versions, when that has changed.
func (l *loop) publishVersions() {
	if !l.unkept {
		return
	}
	l.unkept = false
	kept := maps.Clone(l.recalled) // of workloads nobody has spoken of yet
	if kept == nil {
		kept = make(map[string]edge.Versions)
	}
	for key, w := range l.workloads {
		if w.kept.Good != nil || len(w.kept.Failed) > 0 || w.kept.Trial != "" {
			v := w.kept
			v.Failed = slices.Clone(v.Failed)
			kept[key] = v
		}
	}
	l.s.opts.Keep(kept)
}

// updateView is how the workload stands between two versions.
func (w *workload) updateView() *edge.UpdateView {
	view := &edge.UpdateView{Wanted: w.declaredHash, Image: w.declared.Image}
	if w.kept.Good != nil {
		view.Good, view.GoodImage = w.goodHash, w.kept.Good.Image
	}
	failed := w.failedVersion(w.declaredHash)
	switch t := w.trial; {
	case !w.desired:
		return nil
	case t == nil && failed < 0:
		return nil
	case t == nil:
		view.Phase, view.Since, view.Why = edge.UpdateTakenBack, w.kept.Failed[failed].At, w.kept.Failed[failed].Why
		return view
	case t.canary != nil:
		view.Phase, view.Canary = edge.UpdateCanary, t.canary.report()
	default:
		view.Phase = edge.UpdateTrial
	}
	view.Since, view.Why = w.trial.began, w.trial.why
	switch {
	case w.trial.paused:
		view.Phase = edge.UpdatePaused
	case view.Why != "":
		view.Phase = edge.UpdateFailed
	}
	return view
}

// failureWarning is what there is to warn of a version that failed.
func failureWarning(key string, u *edge.UpdateView) (code, subject, detail, remedy string) {
	if u.Why == "" {
		return warnUpdate, key, "", ""
	}
	again := "bring another version, or have this one tried again: holdfast workloads restart " + key
	if u.Phase == edge.UpdateTakenBack {
		return warnVersion, key, fmt.Sprintf("version %s (%s) failed and was taken back, version %s (%s) runs: %s",
			edge.ShortHash(u.Wanted), u.Image, edge.ShortHash(u.Good), u.GoodImage, u.Why), again
	}
	return warnUpdate, key, fmt.Sprintf("version %s (%s) failed: %s", edge.ShortHash(u.Wanted), u.Image, u.Why), again
}
