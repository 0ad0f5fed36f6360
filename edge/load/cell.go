package load

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/scheduler/sim"
)

// task is one task, when it is due, and what became of it. Times are since the start.
type task struct {
	sim.Task
	kind    *kind
	payload edge.Payload

	sent, answered time.Duration
	outcome        edge.Outcome
	reason         edge.Reason
	err            error
}

// onTime counts by the caller's clock, not the agent's.
func (t *task) onTime() bool { return t.outcome == edge.Completed && t.answered <= t.Deadline }

// tasks makes the tasks of a load, ready to be sent.
func (g *Generator) tasks(arrivals sim.Arrivals, load float64) ([]task, error) {
	mix, noise := g.mix()
	made, err := sim.Load{
		Mix: mix, Arrivals: arrivals, Load: load, Cores: g.slots, Length: g.options.Length, Noise: noise,
	}.Tasks(g.options.Seed)
	if err != nil {
		return nil, err
	}
	tasks := make([]task, len(made))
	for i, t := range made {
		place, err := strconv.Atoi(t.Model)
		if err != nil {
			return nil, fmt.Errorf("cannot tell kind of task: %w", err)
		}
		k := g.kinds[place]
		t.Model = k.Model
		if !k.input.exact {
			t.Work = k.work
		}
		tasks[i] = task{Task: t, kind: k}
		if tasks[i].payload, err = k.input.payload(t.Work); err != nil {
			return nil, err
		}
	}
	return tasks, nil
}

// cell sends the tasks of one load and reports what became of them.
func (g *Generator) cell(ctx context.Context, arrivals sim.Arrivals, load float64) (Report, error) {
	tasks, err := g.tasks(arrivals, load)
	if err != nil {
		return Report{}, err
	}
	if err := g.settle(ctx); err != nil {
		return Report{}, err
	}
	before, err := g.look(ctx)
	if err != nil {
		return Report{}, err
	}
	if err := g.send(ctx, tasks); err != nil {
		return Report{}, err
	}
	after, err := g.look(ctx)
	if err != nil {
		return Report{}, err
	}
	report := g.report(tasks, before, after)
	report.Arrivals, report.Load = arrivals.Name(), load
	return report, nil
}

// send sends every task at its instant, whatever became of those before, and returns
// when all are answered.
func (g *Generator) send(ctx context.Context, tasks []task) error {
	bell, err := newAlarm()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, bell.close)()
	defer bell.close()
	var open sync.WaitGroup
	defer open.Wait()
	start := time.Now()
	for i := range tasks {
		if err := bell.wait(time.Until(start.Add(tasks[i].Arrives))); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("cannot send all tasks: %w", context.Cause(ctx))
			}
			return err
		}
		open.Go(func() { g.one(ctx, &tasks[i], start) })
	}
	open.Wait()
	return ctx.Err()
}

// overtime is how long after its deadline a task is still waited for: an agent tells
// those that are late at their deadline.
const overtime = 10 * time.Second

func (g *Generator) one(ctx context.Context, t *task, start time.Time) {
	due := start.Add(t.Deadline)
	ctx, cancel := context.WithDeadline(ctx, due.Add(overtime))
	defer cancel()
	t.sent = time.Since(start)
	t.outcome, t.reason, t.err = g.door.fire(ctx, question{t.Model, t.Class, g.options.Tenant, time.Until(due), t.payload})
	t.answered = time.Since(start)
}

// view is the node and the machine at one moment.
type view struct {
	queue edge.QueueReport
	meter meter
	known bool // false: the agent is on another machine, or /proc cannot be read
}

// submitted is how many tasks the agent has been asked for, by whomever.
func (v view) submitted() (n uint64) {
	for _, c := range v.queue.Classes {
		n += c.Submitted
	}
	return n
}

func (g *Generator) look(ctx context.Context) (view, error) {
	status, err := g.node.Status(ctx)
	if err != nil {
		return view{}, err
	}
	v := view{queue: status.Scheduler}
	if strings.HasPrefix(g.options.Address, "http://") {
		return v, nil
	}
	v.meter, err = read(status)
	v.known = err == nil // where not, the report says so
	return v, nil
}
