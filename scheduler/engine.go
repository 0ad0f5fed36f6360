package scheduler

import (
	"errors"
	"fmt"
	"time"

	"holdfast/edge"
)

// Engine is the scheduler without its goroutines and its clock: the same core, in
// the hands of a caller who says what time it is, runs the tasks, and reports when
// they have ended. It is for simulation. Instants are durations since the start
// and never go back. An Engine is for one goroutine.
type Engine struct {
	core    *core
	started map[string]*item // until its Finish
}

// EngineOptions are what NewEngine needs.
type EngineOptions struct {
	Slots       int
	QueueLimit  map[edge.Class]int // as in Options
	DefaultCost time.Duration      // as in Options
	Order       Order              // as in Options
	Suspended   int                // how many tasks may be suspended at once; 0: none can be
}

// Act is one decision of the engine.
type Act struct {
	Kind ActKind
	Task edge.Task
	// Settlement is how the task ended; set for Settle only. Work that had started
	// goes on until its Finish all the same.
	Settlement edge.Settlement
}

// ActKind is what is to be done.
type ActKind uint8

// The kinds of decisions.
const (
	Start   ActKind = iota // run the task now
	Settle                 // tell its caller how it ended
	Suspend                // halt the running task
	Resume                 // let the suspended task go on
)

// NewEngine checks the options.
func NewEngine(o EngineOptions) (*Engine, error) {
	limits, err := queueLimits(o.QueueLimit)
	switch {
	case o.Slots < 1 || o.Suspended < 0:
		return nil, fmt.Errorf("cannot make engine: %d slots, %d suspended: %w", o.Slots, o.Suspended, edge.ErrInvalid)
	case int(o.Order) >= len(orders):
		return nil, fmt.Errorf("cannot make engine: %v: %w", o.Order, edge.ErrInvalid)
	case err != nil:
		return nil, err
	case o.DefaultCost <= 0:
		o.DefaultCost = defaultCost
	}
	e := &Engine{
		core:    newCore(time.Unix(0, 0), o.Slots, limits, o.DefaultCost),
		started: map[string]*item{},
	}
	e.core.obey(o.Order, o.Suspended)
	return e, nil
}

// At is an instant as tasks carry it.
func (e *Engine) At(instant time.Duration) time.Time { return e.core.epoch.Add(instant) }

// Serve replaces what may be counted with, as Scheduler.Serve does.
func (e *Engine) Serve(now time.Duration, pools []edge.Pool) { e.core.serve(instant(now), pools) }

// Govern replaces the rules, as Scheduler.Govern does.
func (e *Engine) Govern(now time.Duration, rules Rules) { e.core.govern(instant(now), rules.clone()) }

// Submit asks for a task to be run; the answer is as Scheduler.Submit has it. An
// estimate above 0 is what the plan counts with for this task, in place of the
// model's figures, and its run teaches nothing.
func (e *Engine) Submit(now time.Duration, t edge.Task, estimate time.Duration) error {
	it := &item{given: estimate}
	it.take(e.core.epoch, instant(now), t)
	return e.core.submit(instant(now), it)
}

// Finish reports that a started task has ended.
func (e *Engine) Finish(now time.Duration, id string, err error) {
	it := e.started[id]
	if it == nil {
		panic("a task ends that has not started: " + id)
	}
	delete(e.started, id)
	e.core.finish(instant(now), it, instant(now), edge.Answer{}, err)
}

// Tick does what has become due.
func (e *Engine) Tick(now time.Duration) { e.core.tick(instant(now)) }

// Wake is when Tick has something to do next; false when nothing is due ever.
func (e *Engine) Wake() (time.Duration, bool) {
	return time.Duration(e.core.wake), e.core.wake != forever
}

// Stop settles everything that is open.
func (e *Engine) Stop(now time.Duration) { e.core.stop(instant(now)) }

// Acts hands over the decisions made since the last call, in order. The function
// must not call the engine.
func (e *Engine) Acts(do func(Act)) {
	for _, d := range e.core.out {
		act := Act{Task: d.item.order()}
		switch d.kind {
		case start:
			act.Kind = Start
			e.started[d.item.task.ID] = d.item
		case settle:
			act.Kind, act.Settlement = Settle, d.item.settlement
		case suspend:
			act.Kind = Suspend
		case resume:
			act.Kind = Resume
		}
		do(act)
	}
	clear(e.core.out)
	e.core.out = e.core.out[:0]
}

// Check says what is wrong with the engine's books, if anything: every submitted
// task is open or has settled once.
func (e *Engine) Check() error {
	var submitted, settled uint64
	for class := range edge.Classes {
		submitted += e.core.tally.submitted[class]
		for _, n := range e.core.tally.settled[class] {
			settled += n
		}
	}
	if settled+uint64(len(e.core.open)) != submitted {
		return errors.New("the books do not add up")
	}
	return nil
}
