package runtime

import (
	"context"
	"maps"
	"time"

	"holdfast/edge"
	"holdfast/runtime/oneshot"
)

// loop is the state of Run and everything that decides upon it. Only Run's
// goroutine touches it; others reach it by messages. Nothing in it blocks.
type loop struct {
	s   *Supervisor
	ctx context.Context
	now time.Time // of this turn

	recalled  map[string]edge.Versions // what an earlier agent kept of workloads that were not spoken of yet
	unkept    bool                     // what is kept of versions has changed
	applied   bool                     // a desired set is known
	listed    bool                     // what runs is known
	daemon    daemon
	workloads map[string]*workload
	instances map[string]*instance // all that are not wholly gone

	wakeAt     time.Time // zero: only a message wakes the loop
	afterwards []func()  // to be done once this turn's state is published
	raised     map[condition]edge.Warning
	pools      []edge.Pool
	offered    []string // who is ready of those with ports, as the driver was told
	offering   bool     // the driver is being told

	wantedTools map[string]edge.Workload // of the workloads, those that are no servers
	tools       []oneshot.Tool           // what is said of them in this turn
}

func newLoop(ctx context.Context, s *Supervisor) *loop {
	return &loop{
		s: s, ctx: ctx, now: time.Now(),
		workloads: make(map[string]*workload), instances: make(map[string]*instance),
		raised: make(map[condition]edge.Warning), recalled: maps.Clone(s.opts.Versions),
	}
}

func (l *loop) run() {
	l.list()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		l.now, l.wakeAt = time.Now(), time.Time{}
		for _, message := range l.s.inbox.take() {
			message(l)
		}
		l.turn()
		var tick <-chan time.Time
		if !l.wakeAt.IsZero() {
			timer.Reset(time.Until(l.wakeAt))
			tick = timer.C
		}
		select {
		case <-l.ctx.Done():
			return
		case <-l.s.inbox.wake:
		case <-tick:
		}
	}
}

// turn does everything that is due.
func (l *loop) turn() {
	l.relistIfDue()
	if l.applied && l.listed {
		order := l.inOrder()
		for _, w := range order {
			l.reconcile(w)
		}
		for _, w := range order {
			l.tellDependent(w)
		}
	}
	l.publish()
	for _, f := range l.afterwards {
		f()
	}
	l.afterwards = nil
}

// at asks for a turn at t; zero asks for none.
func (l *loop) at(t time.Time) { l.wakeAt = earlier(l.wakeAt, t) }

// spawn runs f beside the loop; Run returns after it.
func (l *loop) spawn(f func(ctx context.Context)) {
	l.s.jobs.Go(func() { f(l.ctx) })
}

func (l *loop) post(message func(*loop)) { l.s.inbox.post(message) }

// disconnect ends what the supervisor holds open. Instances go on.
func (l *loop) disconnect() {
	for _, inst := range l.instances {
		if inst.ep != nil {
			inst.ep.pool.withdraw(inst.ep)
			inst.ep.abort("was let go because the agent is stopping")
			inst.ep = nil
		}
	}
}

func (l *loop) event(kind edge.EventKind, inst *instance, cause string, facts map[string]string) {
	if facts == nil {
		facts = make(map[string]string)
	}
	facts["workload"] = inst.Workload
	l.s.opts.Event(edge.Event{Kind: kind, Subject: inst.ID, Cause: cause, Facts: facts})
}

// workload returns the record under a key, made when there is none.
func (l *loop) workload(key string) *workload {
	w := l.workloads[key]
	if w == nil {
		w = &workload{key: key, pool: newPool(key)}
		l.workloads[key] = w
	}
	return w
}

// pause waits for d and tells whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
