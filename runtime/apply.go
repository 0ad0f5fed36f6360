package runtime

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"holdfast/edge"
)

// apply takes over a desired set.
func (l *loop) apply(desired []edge.Workload) {
	l.applied = true
	wanted, refused := sift(desired)
	l.applyTools(wanted, refused)
	for _, w := range l.workloads {
		_, usable := wanted[w.key]
		_, named := refused[w.key] // its last usable spec stays in force
		w.desired = w.desired && (usable || named)
		w.invalid, w.remedy = "", ""
	}
	for key, err := range refused {
		w := l.workload(key)
		w.invalid, w.remedy = err.Error(), edge.HintOf(err)
	}
	for _, w := range l.workloads {
		if !w.desired && w.invalid == "" {
			l.forgetVersions(w)
		}
	}
	for key, spec := range wanted {
		l.declare(l.workload(key), spec)
	}
	for key := range wanted {
		l.choose(l.workloads[key])
	}
	maps.DeleteFunc(l.recalled, func(key string, _ edge.Versions) bool {
		l.unkept = l.unkept || refused[key] == nil
		return refused[key] == nil
	})
}

// pursue makes spec what the workload is kept as.
func (l *loop) pursue(w *workload, spec edge.Workload) {
	hash := spec.SpecHash()
	changed := !w.desired || w.hash != hash
	w.renewing = w.renewing || slices.ContainsFunc(w.running(), func(inst *instance) bool { return inst.SpecHash != hash && !w.tries(inst) })
	w.cleared = w.cleared && !changed
	w.desired, w.spec, w.hash = true, spec, hash
	for _, seat := range w.seats {
		switch {
		case changed:
			l.vacate(w, seat)
			seat.reset()
		case seat.done && restarts(spec.Restart, seat.last.Exit):
			seat.done = false // as it is wanted now its work goes on
		default:
			seat.retry(l.now)
			if seat.inst != nil {
				l.respec(seat.inst, spec)
			}
		}
	}
	if changed {
		w.notReady = ""
	}
	for len(w.seats) < spec.Replicas {
		w.seats = append(w.seats, &seat{})
	}
}

// respec puts in force at once what does not need another instance: when to restart it,
// how long to wait for it, what to ask it, whether it may be halted.
func (l *loop) respec(inst *instance, spec edge.Workload) {
	other := !inst.spec.Probes.Equal(spec.Probes)
	inst.spec = spec
	if spec.Serve != nil {
		inst.ep.fix(spec.Serve.Fixed)
	}
	if other && (inst.phase == phaseStarting || inst.phase == phaseReady || inst.phase == phaseUnready) {
		l.ask(inst)
		l.admit(inst, "")
	}
}

// vacate makes the seat's instance an extra. What was kept of an earlier one goes.
func (l *loop) vacate(w *workload, seat *seat) {
	if inst := seat.inst; inst != nil {
		inst.seat, seat.inst = nil, nil
		w.extras = append(w.extras, inst)
	}
	l.forgetLast(w, seat)
}

// reset makes the seat as new.
func (s *seat) reset() { *s = seat{inst: s.inst, last: s.last} }

// retry makes every failed start be tried again.
func (l *loop) retry() {
	for _, w := range l.workloads {
		for _, seat := range w.places() {
			seat.retry(l.now)
		}
	}
	l.startable()
}

// retry makes a seat whose start failed forget its backoff. One whose instances
// end keeps it: nothing has changed for them.
func (s *seat) retry(now time.Time) {
	if s.startErr != nil {
		s.nextTry, s.failedStarts, s.unanswered = now, 0, 0
	}
}

// restartRequested is why an instance ends that a caller has had replaced.
const restartRequested = "restart requested"

// restart takes the instances of a workload, or one, out of their seats; plan
// then fills the seats anew and retires what was taken out.
func (l *loop) restart(target string) error {
	if l.s.tools != nil && l.s.tools.Restart(target) {
		return nil
	}
	if w := l.workloads[target]; w != nil && w.desired {
		if l.tryAgain(w) {
			return nil // what serves meanwhile is well
		}
		for _, extra := range w.extras { // or one that a former agent left would take the seat
			extra.retiring = true
			extra.cause = cmp.Or(extra.cause, restartRequested)
		}
		w.renewing = true
		for _, seat := range w.seats {
			l.restartSeat(w, seat, restartRequested)
		}
		return nil
	}
	for _, w := range l.workloads {
		for _, seat := range w.places() {
			if seat.holds(target) && w.desired {
				w.renewing = true
				l.restartSeat(w, seat, restartRequested)
				return nil
			}
		}
	}
	return fmt.Errorf("cannot restart %q: no such workload or instance: %w", target, edge.ErrNotFound)
}

func (s *seat) holds(id string) bool {
	return s.inst != nil && s.inst.ID == id || s.last != nil && s.last.ID == id
}

func (l *loop) restartSeat(w *workload, seat *seat, cause string) {
	if seat.inst != nil {
		seat.inst.retiring = true
		seat.inst.cause = cause
	}
	l.vacate(w, seat)
	seat.reset()
}

// sift separates what can be run from what cannot, by key.
func sift(desired []edge.Workload) (wanted map[string]edge.Workload, refused map[string]error) {
	wanted, refused = make(map[string]edge.Workload), make(map[string]error)
	owner := make(map[string]string) // of each model
	for _, w := range desired {
		err := checkWorkload(w)
		if _, twice := wanted[w.Key()]; twice {
			err = errors.Join(err, fmt.Errorf("workload %q is listed twice", w.Key()))
			delete(wanted, w.Key())
		}
		for _, model := range w.Serve.Models() {
			if other, taken := owner[model]; taken && other != w.Key() {
				err = errors.Join(err, edge.WithHint(fmt.Errorf("model %q is already served by workload %q", model, other),
					"give each model to one workload, with as many replicas as needed"))
			}
		}
		if err != nil {
			refused[w.Key()] = errors.Join(refused[w.Key()], err)
			continue
		}
		for _, model := range w.Serve.Models() {
			owner[model] = w.Key()
		}
		wanted[w.Key()] = w
	}
	return wanted, refused
}

// checkWorkload finds what would make a workload meaningless. Whoever reads the
// workloads checks their syntax; this is the last door before they run.
func checkWorkload(w edge.Workload) error {
	policies := []edge.RestartPolicy{"", edge.RestartAlways, edge.RestartOnFailure, edge.RestartNo}
	switch {
	case w.App == "" || w.Name == "":
		return errors.New("a workload needs an app and a name")
	case w.Image == "":
		return errors.New("image is empty")
	case w.Replicas < 0:
		return fmt.Errorf("replicas is %d", w.Replicas)
	case !slices.Contains(policies, w.Restart):
		return fmt.Errorf("restart %q is unknown", w.Restart)
	case w.StopGrace < 0:
		return fmt.Errorf("stop grace is %v", w.StopGrace)
	case w.Serve == nil:
		return nil
	case w.IsOneShot() && w.CheckOneShot() != nil:
		return w.CheckOneShot()
	case slices.Contains(w.Serve.Models(), ""):
		return errors.New("a served model has no name")
	case w.Serve.Concurrency < 0 || w.Serve.Timeout < 0 || w.Serve.ReadyWithin < 0 || w.Serve.Cost < 0:
		return errors.New("concurrency, timeout, readiness time and cost of a model must not be negative")
	}
	return nil
}
