package scheduler

import (
	"fmt"
	"slices"
	"time"

	"holdfast/edge"
)

// core is the whole state of the scheduler and every change to it. It has no
// goroutines, channels, clocks or I/O: each event is a method that is given its
// instant, and leaves its decisions in out, in order. Instants never go back.
//
//	submit ─► refused
//	   │ admitted
//	   ▼
//	waiting ──► away ─► completed, missed, failed, evicted (travel.go)
//	   │ ─────────────► evicted (gave way, hopeless, model gone, denied, stopped), cancelled,
//	   │                missed (at its deadline, where the order waits for that)
//	   │ start
//	   ▼
//	running ──────────► completed, failed
//	   │ deadline, cancel, stop
//	   ▼
//	ghost: settled as missed or cancelled, holds slot and lane until finish
type core struct {
	epoch      time.Time
	slots      int
	configured [len(edge.Classes)]int // bounds of the lines where the rules have none
	fallback   time.Duration          // service time of models nobody knows anything about

	// What the rules say.
	limits  [len(edge.Classes)]int
	firm    [len(edge.Classes)]bool
	tenants tenants
	// preferSmall is why the smallest variants answer from the start; empty: they do not.
	preferSmall edge.Why

	queue    queue
	runners  []*item // in order of their start; at most slots
	seats    seats   // of the runners
	open     map[string]*item
	parked   []*item // suspended, in the order they were; at most room
	room     int     // how many may be suspended at once; 0: none can be
	pools    []*pool // served, in the order they were given
	retired  []*pool // not served any more, still with busy lanes
	models   map[string]*model
	served   []*model // in the order they were given
	draining bool
	seq      uint64
	tally    tally

	rule     *rule
	plan     plan
	outlook  outlook // in place of it where room > 0
	travels  travels
	recalls  recalls // scratch
	busyness busyness
	forecast forecast
	victims  []*item  // who makes room for the task just judged
	steps    []step   // who else is to be answered by a smaller variant for it
	marked   []mark   // steps of the plan at hand
	ladders  bool     // some model has variants
	leaving  []leaver // who has left the queue and is to be told when the state is at rest
	wake     instant  // nothing becomes due before it
	out      []decision
}

// leaver is a task that is evicted, and what it is told.
type leaver struct {
	item    *item
	refusal *edge.Refusal
}

// decision is what the core wants done.
type decision struct {
	kind decisionKind
	item *item
}

type decisionKind uint8

const (
	start decisionKind = iota
	settle
	suspend
	resume
	ask // the upstream
)

// firmByDefault are the classes counted with the careful figure where the rules do
// not say otherwise.
var firmByDefault = [len(edge.Classes)]bool{edge.Urgent: true}

func newCore(epoch time.Time, slots int, limits [len(edge.Classes)]int, fallback time.Duration) *core {
	c := &core{
		epoch: epoch, slots: slots, configured: limits, fallback: fallback,
		limits: limits, firm: firmByDefault,
		runners: make([]*item, 0, slots),
		seats:   make(seats, slots/64+1),
		open:    map[string]*item{},
		models:  map[string]*model{},
		wake:    forever,
	}
	c.plan = plan{core: c, searchSteps: defaultSearchSteps}
	c.plan.resize(slots, slots)
	c.outlook.core = c
	c.obey(Planned, 0)
	return c
}

// submit takes a task in or refuses it. The error is a *edge.Refusal, or wraps
// edge.ErrInvalid or edge.ErrExists for what is not a task of its own at all and
// so is not counted.
func (c *core) submit(now instant, it *item) error {
	c.catchUp(now)
	if err := c.check(it); err != nil {
		return err
	}
	c.seq++
	it.seq = c.seq
	c.tally.submitted[it.task.Class]++
	if it.tenant = c.tenants.of(it.task.Tenant); it.tenant != nil {
		it.tenant.submitted++
	}
	if local := c.judge(now, it); local != nil {
		if refusal := c.elsewhere(now, it, local); refusal != nil {
			it.tenant.refused(refusal.Reason)
			c.settle(now, it, edge.Refused, refusal)
			return refusal
		}
		it.tenant.admitted(now)
		c.open[it.task.ID] = it
		c.goAway(now, it, local)
		c.settleDown(now)
		return nil
	}
	it.chargeFor(now, it.size.figure.plan)
	if !it.outside { // what is outside gives way to what is not
		c.forecast.add(now, it.task.Class, it.estimate)
	}
	it.tenant.admitted(now)
	if it.trial {
		it.model.try()
	}
	c.open[it.task.ID] = it
	c.takeSteps()
	c.hold(now, it)
	c.makeWay(now, it)
	c.settleDown(now)
	return nil
}

// explain says what submit would, and changes nothing.
func (c *core) explain(now instant, it *item) error {
	c.catchUp(now)
	if err := c.check(it); err != nil {
		return err
	}
	it.seq, it.tenant = c.seq+1, c.tenants.of(it.task.Tenant)
	if local := c.judge(now, it); local != nil {
		if refusal := c.elsewhere(now, it, local); refusal != nil {
			return refusal
		}
	}
	return nil
}

func (c *core) check(it *item) error {
	switch {
	case it.task.ID == "":
		return fmt.Errorf("cannot schedule task: id is empty: %w", edge.ErrInvalid)
	case int(it.task.Class) >= len(edge.Classes):
		return fmt.Errorf("cannot schedule task %q: %v: %w", it.task.ID, it.task.Class, edge.ErrInvalid)
	case c.open[it.task.ID] != nil:
		return fmt.Errorf("cannot schedule task %q: %w", it.task.ID, edge.ErrExists)
	}
	return nil
}

// finish takes the executor's answer in, which came at the instant at ≤ now.
func (c *core) finish(now instant, it *item, at instant, answer edge.Answer, err error) {
	c.release(it)
	it.used(now, it.ran(at))
	if err == nil && it.given == 0 {
		// Failures teach nothing: one that comes at once would make the model look
		// quick, one that timed out would make it look slow. Runs whose caller was
		// gone already took as long as any other.
		it.model.bias.add(it.ran(at), it.size.figure.plan)
		it.model.learn(now, it.sized(it.model), it.ran(at))
	}
	if it.trial { // by its own run, whatever it had to wait for
		it.model.tried(now, it.sized(it.model), err == nil && it.ran(at) <= time.Duration(it.deadline-it.arrived))
	}
	if it.phase == running {
		switch {
		case at > it.deadline:
			c.settle(at, it, edge.Missed, missed(at, it))
		case err != nil:
			c.settle(at, it, edge.Failed, err)
		default:
			it.settlement.Answer = answer
			c.settle(at, it, edge.Completed, nil)
		}
	}
	c.settleDown(now)
}

// release gives the slot and the lane of a started item back.
func (c *core) release(it *item) {
	it.pool.busy--
	held := &c.runners
	if it.suspended {
		held = &c.parked
	} else {
		c.seats.leave(it.slot)
	}
	*held = slices.Delete(*held, slices.Index(*held, it), slices.Index(*held, it)+1)
}

// cancel settles the item for its caller, who has given up.
func (c *core) cancel(now instant, it *item) bool {
	if it.phase == settled {
		return false
	}
	if it.phase == waiting {
		e := it.entry()
		c.queue.remove(c.queue.position(&e))
	}
	c.settle(now, it, edge.Cancelled, fmt.Errorf("task %q: %w", it.task.ID, edge.ErrCancelled))
	c.settleDown(now)
	return true
}

// tick does what has become due, and plans anew.
func (c *core) tick(now instant) { c.settleDown(now) }

// stop settles everything: what waits is evicted, what runs is given up. Started
// items stay ghosts until their finish.
func (c *core) stop(now instant) {
	c.shed(now)
	c.giveUp(now)
}

// giveUp settles what runs; it stays a ghost until its finish.
func (c *core) giveUp(now instant) {
	for len(c.parked) > 0 {
		c.resume(now, c.parked[0]) // to its end, and nothing is left frozen
	}
	for _, it := range c.runners {
		if it.phase == running {
			err := fmt.Errorf("the node stopped before task %q was answered: %w", it.task.ID, edge.ErrUnavailable)
			c.settle(now, it, edge.Cancelled, err)
		}
	}
	for _, it := range c.awayInOrder() {
		c.settle(now, it, edge.Cancelled, fmt.Errorf("the node stopped before task %q was answered: %w", it.task.ID, edge.ErrUnavailable))
	}
}

// shed takes no new tasks and gives back those that wait.
func (c *core) shed(now instant) {
	c.draining = true
	everything := func(*entry) bool { return true }
	c.queue.take(everything, func(it *item) {
		c.settle(now, it, edge.Evicted, &edge.Refusal{Reason: edge.ReasonDraining, Detail: "the node is stopping"})
	})
}

// idle tells whether nobody waits and every slot is free.
func (c *core) idle() bool { return len(c.open) == 0 && len(c.runners)+len(c.parked) == 0 }
