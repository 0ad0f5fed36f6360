package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/edge"
)

// call is something to do on the loop's goroutine. done is closed after it.
type call struct {
	do   func(now instant)
	done chan struct{}
}

// ended is what an executor hands back.
type ended struct {
	item   *item
	at     instant // when Execute returned
	answer edge.Answer
	err    error
}

var errLeft = errors.New("executor left without an answer")

// Run plans and runs tasks until ctx ends. Then it settles everything still open
// (what waits as evicted, what runs as cancelled), ends the executors' context
// and returns after all of them have. It can be called once.
func (s *Scheduler) Run(ctx context.Context) error {
	if !s.ran.CompareAndSwap(false, true) {
		return fmt.Errorf("cannot run scheduler: it has run before: %w", edge.ErrInvalid)
	}
	executing, release := context.WithCancel(context.WithoutCancel(ctx))
	defer release()
	s.asking = executing
	s.timer, s.armed = time.NewTimer(time.Hour), forever
	s.timer.Stop()
	defer s.timer.Stop()
	for range cap(s.started) {
		s.executors.Add(1)
		go s.work(executing)
	}
	over := s.startSwitching(context.WithoutCancel(ctx))
	close(s.begun)

	s.loop(ctx)

	s.core.stop(s.now())
	s.act()
	s.publish()
	close(s.stopped)
	close(s.started)
	if s.changes != nil {
		close(s.changes)
	}
	<-over // nothing is left suspended
	release()
	s.executors.Wait()
	s.reap()
	s.publish()
	return nil
}

// startSwitching begins to carry suspensions out, where there are any. What it returns is closed
// when the last has been.
func (s *Scheduler) startSwitching(ctx context.Context) <-chan struct{} {
	over := make(chan struct{})
	suspender, can := s.executor.(Suspender)
	if !can || s.changes == nil { // its order suspends nothing
		close(over)
		return over
	}
	go func() {
		defer close(over)
		s.switchOver(ctx, suspender)
	}()
	return over
}

// loop takes one event after another. Answers go first: what has ended in time
// must not be told missed because something else was looked at before.
func (s *Scheduler) loop(ctx context.Context) {
	for {
		select {
		case e := <-s.ended:
			s.finish(e)
		case c := <-s.calls:
			s.reap()
			s.adopt()
			c.do(s.now())
			s.act() // before done: who cancels finds the ticket settled
			close(c.done)
		case e := <-s.attempts:
			s.returned(e)
		case it := <-s.stuck:
			s.core.stuck(it)
			s.core.tick(s.now())
		case <-s.served:
			s.adopt()
		case <-s.timer.C:
			s.armed = forever
			s.reap()
			s.core.tick(s.now())
		case <-ctx.Done():
			return
		}
		s.act()
		s.rest()
	}
}

// reap takes in every answer that is there.
func (s *Scheduler) reap() {
	for {
		select {
		case e := <-s.ended:
			s.finish(e)
		case e := <-s.attempts:
			s.returned(e)
		default:
			return
		}
	}
}

func (s *Scheduler) finish(e ended) { s.core.finish(s.now(), e.item, e.at, e.answer, e.err) }

func (s *Scheduler) returned(e ended) {
	s.core.returned(s.now(), e.item, e.at, e.answer, e.err)
}

// adopt takes the newest rules and pools in, if there are any.
func (s *Scheduler) adopt() {
	if rules := s.rules.Swap(nil); rules != nil {
		s.core.govern(s.now(), rules)
	}
	if pools := s.pools.Swap(nil); pools != nil {
		s.core.serve(s.now(), *pools)
	}
}

// act carries the core's decisions out, in their order.
func (s *Scheduler) act() {
	for _, d := range s.core.out {
		switch d.kind {
		case start:
			s.started <- d.item // as many may wait as may have started
		case suspend:
			s.change(change{item: d.item})
		case resume:
			s.change(change{item: d.item, resume: true})
		case settle:
			s.report(d.item.settlement)
			close(d.item.ticket.done)
			if d.item.asking {
				d.item.ticket.recall(d.item.whyRecalled())
			}
			s.abandon(d.item)
		case ask:
			s.depart(d.item)
		}
	}
	clear(s.core.out)
	s.core.out = s.core.out[:0]
}

// rest prepares for the time until the next event.
func (s *Scheduler) rest() {
	if len(s.drained) > 0 && s.core.idle() {
		for _, drained := range s.drained {
			close(drained)
		}
		s.drained = nil
	}
	// A timer that fires early costs one look; setting it at every event costs more.
	if wake := s.core.wake; wake < s.armed {
		s.armed = wake
		s.timer.Reset(time.Duration(wake - s.now()))
	}
}

// work runs one started task after another: a goroutine that lives has grown its
// stack to what executing takes. Should the executor end it, another takes over.
func (s *Scheduler) work(executing context.Context) {
	defer s.executors.Done()
	over := false
	defer func() {
		if !over {
			s.executors.Add(1)
			go s.work(executing)
		}
	}()
	for it := range s.started {
		s.execute(executing, it)
	}
	over = true
}

// execute runs one task and hands back how it ended.
func (s *Scheduler) execute(ctx context.Context, it *item) {
	e := ended{item: it, err: errLeft}
	defer func() {
		if cause := recover(); cause != nil {
			e.err = fmt.Errorf("cannot execute task %q: panic: %v", it.task.ID, cause)
		}
		e.at = s.now()
		s.ended <- e
	}()
	e.answer, e.err = s.executor.Execute(ctx, it.order())
}

// depart has a task asked of its upstream, until it has settled.
func (s *Scheduler) depart(it *item) {
	ctx, recall := context.WithCancelCause(s.asking)
	ctx, release := context.WithDeadlineCause(ctx, s.epoch.Add(time.Duration(it.deadline)), edge.ErrDeadline) // in 292 years, where there is none
	it.ticket.recall = recall
	s.executors.Go(func() {
		defer recall(nil)
		defer release()
		e := ended{item: it, err: errLeft}
		defer func() {
			if cause := recover(); cause != nil {
				e.err = fmt.Errorf("cannot ask upstream for task %q: panic: %v", it.task.ID, cause)
			}
			e.at = s.now()
			s.attempts <- e
		}()
		e.answer, e.err = s.remote.Ask(ctx, it.task)
	})
}

func (s *Scheduler) now() instant { return instant(time.Since(s.epoch)) }

func (s *Scheduler) publish() {
	snapshot := s.core.snapshot(s.now())
	s.last.Store(&snapshot)
	estimates := s.core.estimates()
	s.lastEstimates.Store(&estimates)
}

// ask has the loop do f and waits until it has. An error means it was not done.
func (s *Scheduler) ask(ctx context.Context, f func(now instant)) error {
	select {
	case <-s.begun:
	default:
		return fmt.Errorf("scheduler is not running: %w", edge.ErrUnavailable)
	}
	c := call{do: f, done: make(chan struct{})}
	select {
	case s.calls <- c:
		<-c.done
		return nil
	case <-s.stopped:
		return fmt.Errorf("scheduler has stopped: %w", edge.ErrUnavailable)
	case <-ctx.Done():
		return fmt.Errorf("no verdict: %w: %w", edge.ErrCancelled, context.Cause(ctx))
	}
}

// tell is ask for those who wait in any case, and reports whether it was done.
func (s *Scheduler) tell(f func(now instant)) bool {
	return s.ask(context.Background(), f) == nil
}
