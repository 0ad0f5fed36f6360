package scheduler

import (
	"math"
	"time"

	"holdfast/edge"
)

// instant is a moment as nanoseconds on the monotonic clock since the core's
// epoch. Plain integers keep the plan's walk short, on 32-bit machines too.
type instant int64

// forever is the deadline of a task that has none.
const forever instant = math.MaxInt64

// phase is where a task stands in its life.
type phase uint8

const (
	waiting phase = iota
	running
	away // asked of the upstream alone
	settled
)

// item is one task as the core knows it.
type item struct {
	task     edge.Task
	ticket   *Ticket // the loop's; the core never looks inside
	model    *model
	size     *size
	tenant   *tenant // whose it is; nil while the rules bound nobody
	seq      uint64  // order of submission
	arrived  instant
	deadline instant
	given    time.Duration // estimate that comes with the task; 0: the model's figures count
	estimate time.Duration // what the plan counted with on admission
	firm     bool          // counted with the careful figure
	outside  bool          // of its tenant's share
	payer    *tenant       // whose share the charge was taken from; nil: nobody's
	charged  time.Duration
	trial    bool // let in to see whether the model's figures still hold

	phase phase
	// The rest is set from the start on. A settled item with pool set is a ghost:
	// its caller has been told, and its slot and lane are still taken.
	pool     *pool
	started  instant
	expected instant       // when the plan takes it to end
	grace    time.Duration // what the last overrun added to expected

	suspended bool
	fixed     bool          // cannot be suspended: it was tried
	slot      int32         // which it runs in, from 0; while suspended the one it ran in last
	since     instant       // when it was suspended last
	left      time.Duration // what it has to run still, while suspended
	idle      time.Duration // how long it was suspended before

	held     bool // not to be begun yet, as the upstream is being asked
	asked    bool // of the upstream, once
	asking   bool // an attempt is under way
	abroad   bool // it was answered by the upstream
	probe    bool // the attempt finds out whether the upstream still takes too long
	departed instant
	until    instant       // when it is not held any longer
	usual    bool          // and that is as long as an attempt may well take
	overdue  bool          // the node answered, when the attempt had taken longer than that
	here     edge.Why      // why the node is to answer it
	there    edge.Why      // why the upstream was asked
	smaller  edge.Why      // why by a smaller variant
	fell     *edge.Refusal // what the node said to a task that is away

	settlement edge.Settlement // valid once settled
}

// entry is what the plan needs of a waiting item, laid side by side so that a
// walk over the queue stays in the cache.
type entry struct {
	deadline instant
	seq      uint64
	size     *size
	item     *item
	class    edge.Class
	firm     bool
	outside  bool // of its tenant's share
	held     bool // not to be begun yet
	late     bool // scratch of the plan: misses with or without the newcomer
	out      bool // scratch: left out of the plan
	banned   bool // scratch: to be left out of it

	// Only entries of the outlook are of started items.
	started bool
	ghost   bool
	left    time.Duration // what it has to run still
}

func (it *item) entry() entry {
	return entry{
		deadline: it.deadline, seq: it.seq, size: it.size, item: it, class: it.task.Class, firm: it.firm, outside: it.outside,
		held: it.held,
	}
}

// stays tells whether the started item keeps its slot until its end.
func (it *item) stays() bool { return !it.suspended && (it.fixed || it.pool.fixed) }

// ghostGrace is how long after its deadline the work of a task nobody waits for any more is to
// have ended: it holds a lane and the memory of its instance. Long enough to fall behind what is
// urgent, short enough that those suspended do not crowd.
const ghostGrace = instant(time.Second)

// remainder is the entry of a started item. A ghost that has run far past its estimate
// may never end, and gets only the time that nobody wants.
func (it *item) remainder(now instant) entry {
	e := entry{
		deadline: it.deadline, seq: it.seq, size: it.size, item: it, class: it.task.Class, firm: it.firm, outside: it.outside,
		started: true, left: it.left,
	}
	if !it.suspended {
		e.left = max(time.Duration(it.expected-now), 0)
	}
	if it.phase == settled {
		e.ghost, e.deadline = true, min(it.deadline, forever-ghostGrace)+ghostGrace
		if it.grace > it.size.figure.plan || it.deadline == forever {
			e.deadline = forever
		}
	}
	return e
}

// work is what the plan counts of the entry: its cost, or what is left of it.
func (e *entry) work() time.Duration {
	if e.started {
		return e.left
	}
	return e.cost()
}

// cost is the service time the plan counts for the entry: the careful figure for
// tasks whose promise is firm.
func (e *entry) cost() time.Duration {
	return e.size.figure.cost(e.firm)
}

// before is the order of the queue: deadline, then class, then arrival; without
// deadlines arrival alone.
func (e *entry) before(other *entry) bool {
	if e.deadline != other.deadline {
		return e.deadline < other.deadline
	}
	if e.class != other.class && e.deadline != forever {
		return e.class < other.class
	}
	return e.seq < other.seq
}
