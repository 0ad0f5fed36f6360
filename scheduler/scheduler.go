package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/edge"
)

// Executor runs one task on whatever answers its model.
//
// Execute must return only when the instance is free again, because that is when
// its lane is given to the next task. Its context ends when the scheduler stops,
// and not when the task's deadline passes or its caller gives up: the work would
// go on regardless.
type Executor interface {
	Execute(ctx context.Context, t edge.Task) (edge.Answer, error)
}

// Options are what New needs. Zero values other than Executor and Slots take the
// defaults named.
type Options struct {
	// Slots is how many tasks may run on the node at once: its cores.
	Slots int
	// Executor runs the tasks.
	Executor Executor
	// QueueLimit bounds the waiting tasks of each class; a class not named has 64
	// (urgent), 256 (normal) or 1,024 (batch). Admission keeps the lines of tasks
	// with near deadlines short by itself. The bound is there for the others: for
	// the memory of their inputs, and so that a plan stays near 10 µs.
	QueueLimit map[edge.Class]int
	// DefaultCost is the service time of a model with no declared cost and no runs
	// yet; 0 means 50 ms, half the default deadline of urgent tasks, so that an
	// idle node lets even one of these in and learns better.
	DefaultCost time.Duration
	// Remote answers tasks whose routes leave the node; nil: nothing does, whatever the
	// rules say. Attempts is how many may be under way at once; 0: 256.
	Remote   Remote
	Attempts int
	// Order is by which rule tasks are let in, run and given up: the plan, unless
	// it is to be compared with something simpler.
	Order Order
	// Suspended is how many tasks may be suspended at once, if the executor is a
	// Suspender; 0 means as many as slots and four more.
	Suspended int
	// Estimates are what was learnt before, as Scheduler.Estimates gave it. What cannot be
	// believed is left out; CheckEstimates says why.
	Estimates []ModelEstimates
	// Settled is told the end of every submitted task, refused ones too, in the
	// order of the decisions. It is called from the loop: it must not block nor
	// call the scheduler. nil tells nobody.
	Settled func(edge.Settlement)
}

const defaultCost = 50 * time.Millisecond

var defaultQueueLimits = [len(edge.Classes)]int{edge.Urgent: 64, edge.Normal: 256, edge.Batch: 1024}

// Scheduler plans and runs the tasks of one node.
type Scheduler struct {
	executor Executor
	report   func(edge.Settlement)
	epoch    time.Time

	calls    chan call
	remote   Remote
	attempts chan ended  // how they ended: one place for each
	started  chan *item  // to the executors' goroutines, of which each slot has one
	ended    chan ended  // one place per task that may have started, so that no executor ever waits to hand back
	changes  chan change // to whoever suspends and resumes; nil where nothing can
	stuck    chan *item  // what could not be suspended
	begun    chan struct{}
	stopped  chan struct{}
	ran      atomic.Bool // Run has been called

	// What Serve hands to the loop: only the newest matters.
	pools  atomic.Pointer[[]edge.Pool]
	served chan struct{} // capacity 1: a pending look at pools and rules

	rules atomic.Pointer[Rules] // what Govern hands to the loop: only the newest matters

	// While the loop does not run.
	last          atomic.Pointer[Snapshot]
	lastEstimates atomic.Pointer[[]ModelEstimates]

	// Owned by the loop.
	core      *core
	executors sync.WaitGroup
	asking    context.Context // of the attempts
	drained   []chan struct{} // closed when nothing is open
	timer     *time.Timer
	armed     instant // when the timer fires
}

// New checks the options.
func New(o Options) (*Scheduler, error) {
	limits, err := queueLimits(o.QueueLimit)
	switch {
	case o.Slots < 1:
		return nil, fmt.Errorf("cannot make scheduler: %d slots: %w", o.Slots, edge.ErrInvalid)
	case o.Executor == nil:
		return nil, fmt.Errorf("cannot make scheduler: no executor: %w", edge.ErrInvalid)
	case o.Attempts < 0:
		return nil, fmt.Errorf("cannot make scheduler: %d attempts: %w", o.Attempts, edge.ErrInvalid)
	case o.Suspended < 0:
		return nil, fmt.Errorf("cannot make scheduler: %d suspended tasks: %w", o.Suspended, edge.ErrInvalid)
	case int(o.Order) >= len(orders):
		return nil, fmt.Errorf("cannot make scheduler: %v: %w", o.Order, edge.ErrInvalid)
	case o.DefaultCost < 0:
		return nil, fmt.Errorf("cannot make scheduler: default cost %v: %w", o.DefaultCost, edge.ErrInvalid)
	case err != nil:
		return nil, err
	}
	if o.DefaultCost == 0 {
		o.DefaultCost = defaultCost
	}
	if o.Settled == nil {
		o.Settled = func(edge.Settlement) {}
	}
	epoch := time.Now()
	c := newCore(epoch, o.Slots, limits, o.DefaultCost)
	if _, can := o.Executor.(Suspender); can {
		c.obey(o.Order, cmp.Or(o.Suspended, o.Slots+suspendedBeyondSlots))
	} else {
		c.obey(o.Order, 0)
	}
	if o.Remote != nil {
		c.travels.most = cmp.Or(o.Attempts, defaultAttempts)
	}
	if good, _ := CheckEstimates(o.Estimates); len(good) > 0 { // whoever has read them says what is wrong with the others
		c.remember(good)
	}
	s := &Scheduler{
		executor: o.Executor, report: o.Settled, epoch: epoch,
		calls: make(chan call), started: make(chan *item, o.Slots+c.room), ended: make(chan ended, o.Slots+c.room),
		remote: o.Remote, attempts: make(chan ended, c.travels.most),
		begun: make(chan struct{}), stopped: make(chan struct{}),
		served: make(chan struct{}, 1),
		core:   c,
	}
	if c.room > 0 {
		s.changes, s.stuck = make(chan change, c.room), make(chan *item, c.room)
	}
	s.publish()
	return s, nil
}

func queueLimits(given map[edge.Class]int) ([len(edge.Classes)]int, error) {
	limits := defaultQueueLimits
	for class, limit := range given {
		if int(class) >= len(limits) || limit < 1 {
			return limits, fmt.Errorf("cannot make scheduler: queue limit of %v is %d: %w", class, limit, edge.ErrInvalid)
		}
		limits[class] = limit
	}
	return limits, nil
}

// Submit asks for a task to be run. It returns as soon as the verdict is known:
// a ticket, or an error that is a *edge.Refusal. Other errors mean that there was
// no verdict, and the task is not counted: edge.ErrUnavailable while Run is not
// running, edge.ErrExists when a task of this id is open, edge.ErrInvalid without
// an id, edge.ErrCancelled when ctx ended first. ctx is not kept: to give a task
// up, use Wait or Cancel.
func (s *Scheduler) Submit(ctx context.Context, t edge.Task) (*Ticket, error) {
	ticket := &Ticket{done: make(chan struct{})}
	ticket.item.ticket = ticket
	var verdict error
	err := s.ask(ctx, func(now instant) {
		ticket.item.take(s.epoch, now, t)
		verdict = s.core.submit(now, &ticket.item)
	})
	if err == nil {
		err = verdict
	}
	if err != nil {
		return nil, err
	}
	return ticket, nil
}

// Explain says what Submit would answer now, without submitting: nil for yes.
func (s *Scheduler) Explain(t edge.Task) error {
	var verdict error
	err := s.ask(context.Background(), func(now instant) {
		var it item
		it.take(s.epoch, now, t)
		verdict = s.core.explain(now, &it)
	})
	if err != nil {
		return err
	}
	return verdict
}

// Wait returns the settlement of the task. When ctx ends before it, the task is
// given up and the settlement says cancelled.
func (s *Scheduler) Wait(ctx context.Context, t *Ticket) edge.Settlement {
	select {
	case <-t.done:
	case <-ctx.Done():
		s.cancel(&t.item)
		<-t.done
	}
	return t.Settlement()
}

// Cancel gives the open task of that id up. It is settled at once; if it had
// started, its slot comes free when its work really ends. false means that no
// such task was open.
func (s *Scheduler) Cancel(id string) bool {
	done := false
	s.tell(func(now instant) {
		if it := s.core.open[id]; it != nil {
			done = s.core.cancel(now, it)
		}
	})
	return done
}

func (s *Scheduler) cancel(it *item) {
	s.tell(func(now instant) { s.core.cancel(now, it) })
}

// Serve replaces what may be counted with: the pools, their lanes, and the models
// they answer. Every Submit that begins after Serve has returned sees them. It may be
// called before Run, and never blocks.
func (s *Scheduler) Serve(pools []edge.Pool) {
	own := make([]edge.Pool, len(pools))
	for i, p := range pools {
		own[i] = p
		own[i].Models = slices.Clone(p.Models)
	}
	s.pools.Store(&own)
	select {
	case s.served <- struct{}{}:
	default: // a look is pending and will find these
	}
}

// Govern replaces the rules, rechecks what waits by them and tells those it does not
// allow any more. Every Submit that begins after Govern has returned is judged by them.
// It may be called before Run, and never blocks.
func (s *Scheduler) Govern(rules Rules) {
	s.rules.Store(rules.clone())
	select {
	case s.served <- struct{}{}:
	default: // a look is pending and will find these
	}
}

// Recheck plans anew after something outside has changed.
func (s *Scheduler) Recheck() { s.tell(s.core.tick) }

// Drain takes no new tasks from now on and returns when those it has have ended.
// When ctx ends first the error wraps its cause, and the scheduler stays closed to
// new tasks in either case, until Undrain.
func (s *Scheduler) Drain(ctx context.Context) error {
	drained := make(chan struct{})
	err := s.ask(ctx, func(instant) {
		s.core.draining = true
		s.drained = append(s.drained, drained)
	})
	if err != nil {
		return fmt.Errorf("cannot drain scheduler: %w", err)
	}
	select {
	case <-drained:
		return nil
	case <-s.stopped: // which has settled them all
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot drain scheduler: tasks are still open: %w", context.Cause(ctx))
	}
}

// Shed is Drain in a hurry: those that wait are told at once that they will not be
// run, and those still running when ctx ends that their answer is not waited for,
// while there is somebody to tell them.
func (s *Scheduler) Shed(ctx context.Context) error {
	s.tell(s.core.shed)
	err := s.Drain(ctx)
	if err != nil {
		s.tell(s.core.giveUp)
	}
	return err
}

// Undrain takes new tasks again. A Drain still waiting goes on until nothing is open.
func (s *Scheduler) Undrain() { s.tell(func(instant) { s.core.draining = false }) }

// Snapshot is the scheduler at this moment; while Run is not running, at its start
// or end.
func (s *Scheduler) Snapshot() Snapshot { return s.Glance(math.MaxInt) }

// Glance is a Snapshot that lists at most so many of those that wait, the next first: what it
// costs does not grow with the queue.
func (s *Scheduler) Glance(waiting int) Snapshot {
	var snapshot Snapshot
	if s.tell(func(now instant) { snapshot = s.core.glance(now, waiting) }) {
		return snapshot
	}
	return *s.last.Load()
}
