package runtime

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"holdfast/edge"
)

// standing is how a workload stands for those that depend on it.
type standing struct {
	there   bool
	trouble bool   // it will not be there by waiting
	why     string // it is not there
}

// stands tells whether the workload meets a condition. What is wanted of it counts, and
// not what stands in for that during an update. One without replicas is not waited for.
func (w *workload) stands(when edge.DependencyCondition) standing {
	switch {
	case w == nil || !w.desired && w.invalid == "":
		return standing{trouble: true, why: "is not wanted"}
	case !w.desired:
		return standing{trouble: true, why: "cannot be run: " + w.invalid}
	case w.spec.Replicas == 0:
		return standing{there: true}
	case len(w.seats) < w.spec.Replicas:
		return standing{why: "has not been started"}
	}
	for _, seat := range w.seats {
		if s := seat.stands(when); !s.there {
			return s
		}
	}
	return standing{there: true}
}

func (s *seat) stands(when edge.DependencyCondition) standing {
	ended := s.done && s.last != nil
	switch {
	case s.startErr != nil:
		return standing{trouble: true, why: "cannot be started: " + s.startErr.Error()}
	case ended && when == edge.WhenHealthy:
		return standing{trouble: true, why: howEnded(s.last.Exit)}
	case ended && when == edge.WhenCompleted && (s.last.Exit == nil || restarts(edge.RestartOnFailure, s.last.Exit)):
		return standing{trouble: true, why: howEnded(s.last.Exit)}
	case ended:
		return standing{there: true}
	case s.inst == nil || s.inst.phase == phaseCreating || s.inst.phase == phaseStopping:
		return standing{trouble: s.loop != "", why: cmp.Or(s.loop, "has not been started")}
	case when == edge.WhenCompleted:
		return standing{why: "has not ended"}
	case when == edge.WhenHealthy && s.inst.phase != phaseReady:
		return standing{trouble: s.loop != "", why: "is not ready" + detailed(s.inst.detail)}
	}
	return standing{there: true}
}

func detailed(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// awaits finds what keeps the workload from being started: the first of its dependencies
// that is not there. Once all have been, it is started for as long as its spec stays.
func (l *loop) awaits(w *workload) (why string, inVain bool) {
	if w.cleared || !w.desired {
		return "", false
	}
	why, inVain = l.lacking(w.spec)
	w.cleared = why == ""
	return why, inVain
}

// lacking finds the first dependency of a version that is not there.
func (l *loop) lacking(spec edge.Workload) (why string, inVain bool) {
	for _, on := range spec.DependsOn {
		s := l.workloads[spec.App+"/"+on.Name].stands(on.When)
		if !s.there && !(on.Optional && s.trouble) {
			return fmt.Sprintf("waits for %q, which %s", on.Name, s.why), s.trouble
		}
	}
	return "", false
}

// needed tells whether something runs that is to go before the workload does.
func (l *loop) needed(w *workload) bool {
	for _, other := range l.workloads {
		if other.desired || len(other.running()) == 0 {
			continue
		}
		for _, on := range other.spec.DependsOn {
			if other.spec.App+"/"+on.Name == w.key {
				return true
			}
		}
	}
	return false
}

// inOrder lists the workloads with what each depends on before it, so that what one turn
// finds out of a dependency counts in the same turn for whoever waits for it.
func (l *loop) inOrder() []*workload {
	var order []*workload
	seen := make(map[string]bool, len(l.workloads))
	var visit func(key string)
	visit = func(key string) {
		w := l.workloads[key]
		if w == nil || seen[key] {
			return
		}
		seen[key] = true
		for _, on := range w.spec.DependsOn {
			visit(w.spec.App + "/" + on.Name)
		}
		order = append(order, w)
	}
	for _, key := range slices.Sorted(maps.Keys(l.workloads)) {
		visit(key)
	}
	return order
}

// renewed restarts what is to be restarted with the workload, once it is there again.
func (l *loop) renewed(w *workload) {
	if !w.renewing || !w.stands(edge.WhenHealthy).there {
		return
	}
	w.renewing = false
	for _, other := range l.inOrder() {
		for _, on := range other.spec.DependsOn {
			if !on.Restart || !other.desired || other.spec.App+"/"+on.Name != w.key {
				continue
			}
			other.renewing = true
			for _, seat := range other.seats {
				if seat.inst != nil {
					l.restartSeat(other, seat, fmt.Sprintf("%q, on which it depends, was replaced", on.Name))
				}
			}
		}
	}
}

// tellDependent tells once when nothing is left of what a running workload depends on,
// and once when it is back. It runs on: what it depends on is being seen to.
func (l *loop) tellDependent(w *workload) {
	if !w.desired || len(w.running()) == 0 {
		w.missing = nil
		return
	}
	for _, on := range w.spec.DependsOn {
		missing := on.When != edge.WhenCompleted && !l.workloads[w.spec.App+"/"+on.Name].serves(on.When)
		before, known := w.missing[on.Name]
		if missing == before && known || missing && !known {
			continue // what has not been there in this agent's time cannot be lost
		}
		if w.missing == nil {
			w.missing = make(map[string]bool)
		}
		w.missing[on.Name] = missing
		if !known {
			continue
		}
		kind := edge.EventDependencyBack
		if missing {
			kind = edge.EventDependencyLost
		}
		l.s.opts.Event(edge.Event{Kind: kind, Subject: w.key, Facts: map[string]string{"dependency": w.spec.App + "/" + on.Name}})
	}
}

// serves tells whether any instance is there as the condition says.
func (w *workload) serves(when edge.DependencyCondition) bool {
	if w == nil {
		return false
	}
	if w.desired && w.spec.Replicas == 0 {
		return true
	}
	for _, inst := range w.running() {
		if inst.phase == phaseReady || when == edge.WhenStarted && (inst.phase == phaseStarting || inst.phase == phaseUnready) {
			return true
		}
	}
	return when == edge.WhenStarted && slices.ContainsFunc(w.seats, func(s *seat) bool { return s.done })
}
