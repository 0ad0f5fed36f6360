package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"holdfast/edge"
	"holdfast/runtime/oneshot"
)

// Supervisor keeps workloads running on one driver. Make it with New, start it
// with Run, tell it what is wanted with Apply.
type Supervisor struct {
	opts  Options
	inbox inbox
	jobs  sync.WaitGroup // every goroutine the loop has started

	began atomic.Bool
	ended chan struct{} // closed when Run returns

	runs    runs
	tools   *oneshot.Keeper // nil: the driver makes none
	halted  halted
	catalog atomic.Pointer[catalog]
	views   atomic.Pointer[[]edge.WorkloadView]
}

// New checks the options. It starts nothing.
func New(o Options) (*Supervisor, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Supervisor{opts: opts, inbox: newInbox(), ended: make(chan struct{})}
	s.catalog.Store(newCatalog())
	s.views.Store(&[]edge.WorkloadView{})
	s.tools, err = s.newTools()
	return s, err
}

// Run reconciles until ctx ends and returns nil then, after every goroutine it
// started. It stops no instance; tasks in flight lose their connections. It can
// be run once.
func (s *Supervisor) Run(ctx context.Context) error {
	if !s.began.CompareAndSwap(false, true) {
		return errors.New("cannot run supervisor: it has run already")
	}
	ctx, cancel := context.WithCancel(ctx)
	l := newLoop(ctx, s)
	if s.tools != nil {
		l.spawn(func(ctx context.Context) { _ = s.tools.Run(ctx) }) // it returns nil
	}
	l.run()
	cancel()
	l.disconnect()
	s.jobs.Wait()
	close(s.ended)
	return nil
}

// Apply replaces the desired set. It returns at once; the change is carried out
// by Run. Applying the same set again makes failed starts be tried at once.
func (s *Supervisor) Apply(workloads []edge.Workload) {
	desired := slices.Clone(workloads)
	s.inbox.post(func(l *loop) { l.apply(desired) })
}

// Retry makes failed starts be tried at once, for example after an image was
// imported. What is wanted stays what was applied last.
func (s *Supervisor) Retry() {
	if s.tools != nil {
		s.tools.Retry()
	}
	s.inbox.post(func(l *loop) { l.retry() })
}

// Alive returns once the loop has taken a message, which is at once unless Run is
// stuck, has not begun or has ended. For whoever watches over the agent.
func (s *Supervisor) Alive(ctx context.Context) error {
	taken := make(chan struct{})
	s.inbox.post(func(*loop) { close(taken) })
	select {
	case <-taken:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot hear from supervisor: %w", context.Cause(ctx))
	case <-s.ended:
		return fmt.Errorf("cannot hear from supervisor: it has ended: %w", edge.ErrUnavailable)
	}
}

// Settle returns once what was applied before is what Model and Workloads show,
// and what the pools were told of.
func (s *Supervisor) Settle(ctx context.Context) error {
	shown := make(chan struct{})
	s.inbox.post(func(l *loop) {
		l.afterwards = append(l.afterwards, func() { close(shown) })
	})
	select {
	case <-shown:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot wait for supervisor: %w", context.Cause(ctx))
	case <-s.ended:
		return fmt.Errorf("cannot wait for supervisor: it has ended: %w", edge.ErrUnavailable)
	}
}

// Restart replaces the instances of a workload, or one instance, by new ones: each
// is started beside the old one, which is stopped when the new one is ready. It
// returns when the restart has been taken in hand, and edge.ErrNotFound when there
// is no such workload or instance.
func (s *Supervisor) Restart(ctx context.Context, target string) error {
	done := make(chan error, 1) // the loop never waits for a caller who left
	s.inbox.post(func(l *loop) { done <- l.restart(target) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("cannot restart %q: %w", target, context.Cause(ctx))
	case <-s.ended:
		return fmt.Errorf("cannot restart %q: supervisor has ended: %w", target, edge.ErrUnavailable)
	}
}

// DaemonChanged tells that the connection to the daemon came or went. When it is
// back everything is listed anew.
func (s *Supervisor) DaemonChanged(report edge.DaemonReport) {
	if s.tools != nil {
		s.tools.DaemonChanged(report.Connected)
	}
	s.inbox.post(func(l *loop) { l.daemonChanged(report.Connected) })
}

// Workloads lists the workloads and their instances, desired or not, sorted by
// key. The caller must not change what it gets. Usage is not filled: measuring is
// the driver's and takes time.
func (s *Supervisor) Workloads() []edge.WorkloadView {
	return s.withTools(s.halted.mark(*s.views.Load()))
}

// inbox hands messages to the loop. Its queue has no bound of its own: it holds
// what a few goroutines per instance and the callers of the API have to say
// between two turns of the loop.
type inbox struct {
	mu    sync.Mutex // guards queue
	queue []func(*loop)
	wake  chan struct{} // capacity 1: one wake is enough for any number of messages
}

func newInbox() inbox { return inbox{wake: make(chan struct{}, 1)} }

func (b *inbox) post(message func(*loop)) {
	b.mu.Lock()
	b.queue = append(b.queue, message)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *inbox) take() []func(*loop) {
	b.mu.Lock()
	defer b.mu.Unlock()
	queue := b.queue
	b.queue = nil
	return queue
}
