package scheduler

import (
	"fmt"
	"strings"

	"holdfast/edge"
)

// Order is by which rule tasks are let in, run and given up. Planned is what the scheduler is
// there for. The others are simple orders of a queue to compare it with, on a node as in simulation: under them
// nobody gives way, nothing is suspended, and no smaller model answers in another's place. Policies,
// estimates, the bounds of the lines and the lanes of pools hold under all of them.
type Order uint8

// The orders.
const (
	Planned          Order = iota // by deadline, with admission, eviction and suspension
	ByArrival                     // all that come, late or not
	ByPriority                    // urgent before normal before batch; given up at the deadline
	ByDeadline                    // all that come, late or not
	DeadlineTimed                 // by deadline; given up at the deadline
	DeadlineHopeful               // by deadline; given up when too little time is left
	DeadlineFeasible              // by deadline; refused where the newcomer, or another for it, would be late
	ByLatestStart                 // by deadline less estimate; given up when too little time is left
)

// Orders lists every order.
var Orders = [...]Order{Planned, ByArrival, ByPriority, ByDeadline, DeadlineTimed, DeadlineHopeful, DeadlineFeasible, ByLatestStart}

// rule is what an order asks of the core. Without judges every newcomer is let in.
type rule struct {
	name, says string
	before     func(a, b *entry) bool // the order of the queue
	lastStart  func(e *entry) instant // the latest instant at which the task may start
	judges     bool                   // newcomers, by the plan
	yields     bool                   // others may give way for them
}

var orders = [...]rule{
	Planned:          {"plan", "the scheduler", (*entry).before, whileHopeful, true, true},
	ByArrival:        {"fifo", "first come, first served", byArrival, whenever, false, false},
	ByPriority:       {"priority", "three-level priority with timeout", byClass, untilDeadline, false, false},
	ByDeadline:       {"edf", "earliest deadline first", (*entry).before, whenever, false, false},
	DeadlineTimed:    {"edf-late", "EDF, drop when already late", (*entry).before, untilDeadline, false, false},
	DeadlineHopeful:  {"edf-hopeless", "EDF, drop when hopeless", (*entry).before, whileHopeful, false, false},
	DeadlineFeasible: {"edf-refuse", "EDF, refuse the newcomer if infeasible", (*entry).before, whenever, true, false},
	ByLatestStart:    {"latest-start", "latest start first, drop when hopeless", byLatestStart, whileHopeful, false, false},
}

func byArrival(a, b *entry) bool { return a.seq < b.seq }

func byClass(a, b *entry) bool {
	return a.class < b.class || a.class == b.class && a.seq < b.seq
}

func byLatestStart(a, b *entry) bool {
	mine, other := a.deadline-instant(a.item.estimate), b.deadline-instant(b.item.estimate) // as they were let in
	return mine < other || mine == other && a.seq < b.seq
}

func whenever(*entry) instant { return forever }

func untilDeadline(e *entry) instant { return e.deadline }

// whileHopeful is until the task can no longer be expected to end by its deadline. Firm tasks too are
// given up by the plain figure only: the careful one is for letting in, not for throwing out.
func whileHopeful(e *entry) instant {
	if e.deadline == forever || e.size.doubt { // whose figures are what is being doubted
		return e.deadline
	}
	return e.deadline - instant(e.size.least())
}

// ParseOrder reads an order by its name.
func ParseOrder(name string) (Order, error) {
	var names []string
	for _, o := range Orders {
		if o.String() == name {
			return o, nil
		}
		names = append(names, o.String())
	}
	return Planned, fmt.Errorf("unknown order %.100q: must be one of %s: %w", name, strings.Join(names, ", "), edge.ErrInvalid)
}

// String is the order's name.
func (o Order) String() string {
	if int(o) < len(orders) {
		return orders[o].name
	}
	return fmt.Sprintf("order(%d)", uint8(o))
}

// Says is the order in words, for people.
func (o Order) Says() string {
	if int(o) < len(orders) {
		return orders[o].says
	}
	return o.String()
}

// obey puts an order in force, with which so many tasks may be suspended at once. It is to
// be said before anything is served.
func (c *core) obey(order Order, room int) {
	rule := orders[order]
	c.rule = &rule
	c.queue.before = c.rule.before
	if c.room = room; !c.rule.yields {
		c.room = 0
	}
}
