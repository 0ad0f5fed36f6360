package runtime

import (
	"cmp"
	"context"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// Defaults for what a workload does not say.
const (
	defaultTimeout     = 30 * time.Second // one request; a CPU model on a gateway takes well under a second
	defaultReadyWithin = 30 * time.Second // loading weights from slow flash included
	defaultStopGrace   = 10 * time.Second // as Compose
)

func requestTimeout(s *edge.Serve) time.Duration { return cmp.Or(s.Timeout, defaultTimeout) }
func concurrency(s *edge.Serve) int              { return max(s.Concurrency, 1) }

// workload is everything the loop knows under one key.
type workload struct {
	key     string
	desired bool          // the last Apply named it; spec and hash are set
	spec    edge.Workload // as it is kept now
	hash    string
	invalid string // why the latest spec cannot be used; an earlier one stays in force
	remedy  string

	declared     edge.Workload // as the last Apply has it; spec is another where that version has failed, or is a canary
	declaredHash string
	kept         edge.Versions
	goodHash     string // of kept.Good
	trial        *trial // of the declared version; nil: it is good, has failed, or is of no replicas
	refused      string // the version of which it has been told that it is not tried

	seats     []*seat
	extras    []*instance // running, and not in a seat
	dead      []*instance // ended outside a seat, not yet decided upon
	leftovers int         // being removed

	pool     *pool
	metas    map[string]oip.ModelMetadata // the latest known, kept while nothing is ready
	notReady string                       // why the latest instance never became ready

	stepped  time.Time       // when an instance last became ready in a seat
	cleared  bool            // what it depends on has been there since its spec changed
	awaits   string          // what it waits for instead of being started
	inVain   bool            // and will not get by waiting
	renewing bool            // replaced, and not there again yet
	missing  map[string]bool // dependencies that have been there: whether they are lost
}

// seat is the place of one replica. It outlives its instances and remembers how
// they ended.
type seat struct {
	inst     *instance // nil: vacant
	last     *instance // ended, kept until it is known to be of no more interest, for its log
	done     bool      // ended and not to be restarted
	record   record
	nextTry  time.Time
	detail   string // why it is vacant
	startErr error  // why the latest start failed
	loop     string // why this is a crash loop
	starts   int

	failedStarts int // in a row; no end of an instance, so the record knows nothing of them
	unanswered   int // starts in a row to which a daemon gave no answer that gives them to all else

	faults    int    // ends that are held against the version on trial
	fault     string // why that makes the seat a failure; empty: it does not yet
	unstarted bool   // nothing could be started in it
}

// restarts counts the instances after the first.
func (s *seat) restarts() int { return max(0, s.starts-1) }

// instance is one container in the loop's eyes.
type instance struct {
	edge.Instance
	spec        edge.Workload // what it was made from; for a found one what is wanted in its place
	phase       phase
	detail      string
	cause       string    // why it was stopped or killed
	began       time.Time // when its start returned; zero: an earlier agent started it
	attached    time.Time // when it was first asked for anything
	since       time.Time // it has been running or not ready since
	readyAt     time.Time // zero while not ready
	met         bool      // it has been ready
	retiring    bool      // somebody asked for its end
	planned     bool      // its end is our doing and no failure
	told        bool      // the event of its end is out
	trouble     string    // why it cannot be stopped or removed
	stuck       string    // why it cannot be suspended
	stuckRemedy string
	seat        *seat // nil: an extra
	gate        gate
	ep          *endpoint                    // nil: not a model server, or not attached yet
	described   map[string]oip.ModelMetadata // what it answers by its protocol; nil: it is not ready by it
	cancel      context.CancelFunc
}

type phase uint8

const (
	phaseUnknown  phase = iota // found running, nothing wanted known yet
	phaseCreating              // the driver's Start has not returned
	phaseStarting              // runs, never was ready
	phaseReady
	phaseUnready
	phaseStopping
	phaseRemoving
)

var phaseStates = map[phase]edge.InstanceState{
	phaseUnknown: edge.InstanceUnknown, phaseCreating: edge.InstanceStarting,
	phaseStarting: edge.InstanceStarting, phaseReady: edge.InstanceReady,
	phaseUnready: edge.InstanceUnready, phaseStopping: edge.InstanceStopping,
	phaseRemoving: edge.InstanceEnded,
}

// readyFor is how long the instance has been ready without a break.
func (i *instance) readyFor(now time.Time) time.Duration {
	if i.readyAt.IsZero() {
		return 0
	}
	return now.Sub(i.readyAt)
}

// readyBy is until when it has to be ready; zero: it need not.
func (i *instance) readyBy() time.Time {
	if i.ep == nil || i.described != nil || !i.gate.started || (i.phase != phaseStarting && i.phase != phaseUnready) {
		return time.Time{}
	}
	return i.since.Add(cmp.Or(i.spec.Serve.ReadyWithin, defaultReadyWithin))
}

// settledAfter is within what most of what is started with a bad setting ends.
const settledAfter = 3 * time.Second

const (
	// settledTasks are good answers that show more of a model server than its word that it is
	// ready: one bad answer more and they would have cost the instance its life.
	settledTasks = maxFails
	// servedAfter is how long they are waited for: a model that is asked for less than that
	// has nobody whose tasks are at stake at once.
	servedAfter = time.Second
)

// unsettled is until when a seat does not stand for the old version yet. Of a new version
// that nobody asks anything it is known only that it runs, which the next moment may change;
// of a model only what it says of itself, until it has answered.
func (w *workload) unsettled(s *seat) time.Time {
	inst := s.inst
	if w.trial == nil || w.kept.Good == nil || inst == nil || inst.readyAt.IsZero() {
		return time.Time{}
	}
	switch {
	case inst.ep != nil && w.pool.answered(inst.ep) < settledTasks:
		return inst.readyAt.Add(servedAfter)
	case inst.ep != nil || inst.gate.asking != nil:
		return time.Time{}
	}
	return inst.readyAt.Add(settledAfter)
}

// refresh says of an instance whether its version is on trial, beside one that was good.
func (l *loop) refresh(w *workload, inst *instance) {
	if inst.ep == nil {
		return
	}
	if w.trial == nil || w.kept.Good == nil || inst.SpecHash != w.trial.hash {
		w.pool.freshen(inst.ep, false, nil)
		return
	}
	s := l.s
	w.pool.freshen(inst.ep, true, func() { s.inbox.post(func(*loop) {}) })
}

// situation is the workload as plan sees it at now.
func (w *workload) situation(now time.Time) situation {
	s := situation{leftovers: w.leftovers, waits: w.awaits != ""}
	if w.desired {
		s.replicas = w.spec.Replicas
		s.paused, s.trying = w.trial != nil && w.trial.paused, w.trial != nil && w.trial.canary != nil && w.trial.canary.seat.inst != nil
		s.parallel, s.stopFirst = w.spec.Update.Parallel, w.spec.Update.StopFirst
		if len(w.extras) > 0 && !w.stepped.IsZero() {
			s.next = w.stepped.Add(w.spec.Update.Delay)
		}
	}
	for _, seat := range w.seats {
		state := seat.state()
		if by := w.unsettled(seat); by.After(now) {
			state.kind, s.settles = seatTaken, earlier(s.settles, by)
		}
		s.seats = append(s.seats, state)
	}
	for _, inst := range w.extras {
		s.extras = append(s.extras, w.extraState(inst))
	}
	return s
}

func (s *seat) state() seatState {
	switch {
	case s.done:
		return seatState{kind: seatDone}
	case s.inst == nil:
		return seatState{kind: seatVacant, nextTry: s.nextTry, fresh: s.starts == 0}
	case s.inst.phase == phaseReady:
		return seatState{kind: seatReady}
	default:
		return seatState{kind: seatTaken}
	}
}

func (w *workload) extraState(inst *instance) extraState {
	state := extraState{
		id: inst.ID, ready: inst.phase == phaseReady, started: inst.Started,
		matches: w.desired && inst.SpecHash == w.hash && !inst.retiring,
	}
	switch inst.phase {
	case phaseCreating:
		state.kind = extraCreating
	case phaseStopping:
		state.kind = extraStopping
	}
	return state
}

// empty tells whether nothing is left to know about the workload.
func (w *workload) empty() bool {
	return !w.desired && w.invalid == "" && w.trial == nil && len(w.seats)+len(w.extras)+len(w.dead)+w.leftovers == 0
}
