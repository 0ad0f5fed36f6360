package runtime

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"holdfast/edge"
)

// The conditions the supervisor warns of. The subject is a workload.
const (
	warnInvalid  = "spec-invalid"      // the workload cannot be run as it is written
	warnStart    = "start-failed"      // an instance cannot be started
	warnLoop     = "crash-loop"        // instances keep ending
	warnNotReady = "model-not-ready"   // a model server did not become ready in time
	warnTeardown = "teardown-failed"   // an instance cannot be stopped or removed
	warnDepends  = "dependency-failed" // what a workload waits for will not be there by waiting
	warnSuspend  = "suspend-failed"    // an instance cannot be halted for what is more urgent
	warnVersion  = "version-failed"    // the wanted version has failed, and the last good one runs
	warnUpdate   = "update-failed"     // the wanted version has failed, and is not taken back here
)

type condition struct{ code, subject string }

// publishWarnings tells what has come up, changed and gone. What there is to warn
// of follows from the state alone, so a warning cannot outlive its reason.
func (l *loop) publishWarnings() {
	current := l.conditions()
	for c, warning := range current {
		before, was := l.raised[c]
		if warning.Since = l.now; was {
			warning.Since = before.Since
		}
		if warning != before {
			l.s.opts.Warn(warning)
		}
		l.raised[c] = warning
	}
	for c := range l.raised {
		if _, still := current[c]; !still {
			delete(l.raised, c)
			l.s.opts.Clear(c.code, c.subject)
		}
	}
}

func (l *loop) conditions() map[condition]edge.Warning {
	current := make(map[condition]edge.Warning)
	raise := func(code, subject, detail, remedy string) {
		if _, taken := current[condition{code, subject}]; detail != "" && !taken {
			current[condition{code, subject}] = edge.Warning{Code: code, Subject: subject, Detail: detail, Remedy: remedy}
		}
	}
	for key, w := range l.workloads {
		raise(warnInvalid, key, w.invalid, w.remedy)
		if w.desired {
			if w.inVain {
				raise(warnDepends, key, w.awaits, "see to that workload first; this one is started as soon as it is there")
			}
			raise(warnNotReady, key, w.notReady, "look at its log and at the models it is said to serve")
		}
		if update := w.updateView(); w.desired && update != nil {
			raise(failureWarning(w.key, update))
		}
		for _, seat := range w.places() {
			raise(warnLoop, key, seat.loop, "look at its log; it is started again and again, at most every 30 s")
			if seat.startErr != nil {
				raise(warnStart, key, seat.startErr.Error(), edge.HintOf(seat.startErr))
			}
		}
	}
	for _, tool := range l.tools {
		key := tool.Workload.Key()
		if tool.Failure != nil {
			raise(warnStart, key, tool.Failure.Error(), edge.HintOf(tool.Failure))
		}
		if tool.Stuck != nil {
			raise(warnTeardown, key, tool.Stuck.Error(), "it is tried again; restarting containerd may help")
		}
	}
	for _, id := range slices.Sorted(maps.Keys(l.instances)) {
		inst := l.instances[id]
		raise(warnTeardown, inst.Workload, inst.trouble, "it is tried again; restarting containerd may help")
		raise(warnSuspend, inst.Workload, inst.stuck, cmp.Or(inst.stuckRemedy, "urgent tasks wait for its tasks; `holdfast doctor` looks at the machine's cgroups"))
	}
	return current
}

// splitKey undoes edge.Workload.Key.
func splitKey(key string) (app, name string) {
	app, name, found := strings.Cut(key, "/")
	if !found {
		return "", key
	}
	return app, name
}
