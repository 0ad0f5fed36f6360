// Package fake is a container runtime in memory, for tests of whatever drives
// one. Its containers are values; those of model servers answer HTTP on a real
// unix socket or on an in-memory connection.
//
// It keeps the same rules as the real driver (see runtime.Driver): a failed start
// leaves nothing behind, removing or stopping what is not there succeeds, Wait
// outlasts an absence of the daemon, Events tells that there was one. Knobs make it
// slow, broken or absent.
//
// # Concurrency
//
// All methods are safe for concurrent use. Close ends every goroutine.
//
// # Testing
//
// The package runs the drivers' conformance suite on itself, so that a test that
// passes on the fake means something.
package fake

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/runtime"
	"holdfast/runtime/oneshot"
)

// Driver is a runtime.Driver in memory. Set its fields before the first use.
type Driver struct {
	// Dir holds the sockets; a short path, for a socket's has 107 bytes. Without it
	// connections are in memory and reached by Dial only.
	Dir string
	// Serve gives the HTTP server inside a container; nil, or a nil handler, means
	// that nothing listens in it.
	Serve func(w edge.Workload, id string) http.Handler
	// Main is what a container's process does: it returns when the process ends of
	// itself. stop is closed when it is asked to end, which ctx ending means by force.
	// nil runs until stopped.
	Main func(ctx context.Context, stop <-chan struct{}, w edge.Workload) edge.Exit
	// Tool is what the program of a one-shot container does, until ctx ends; nil gives back
	// its input.
	Tool func(ctx context.Context, w edge.Workload, order oneshot.Order) oneshot.Result
	// Command is what a command run inside a container does: how it ends and what it says.
	// nil: there is none to run.
	Command func(ctx context.Context, id string, args []string) (edge.Exit, string)
	// Log is what a container has written; nil: nothing.
	Log func(id string) string
	// StartDelay is how long Start takes.
	StartDelay time.Duration
	// Blind makes Wait miss every end.
	Blind bool
	// ListDelay is how old a list is when Instances returns it.
	ListDelay time.Duration
	// Behind is how far the clock that tells when a container started lies behind.
	Behind time.Duration
	// StartError, when it returns an error, makes Start fail with it.
	StartError func(w edge.Workload) error
	// StopError, when it returns an error, makes Stop and Remove fail with it.
	StopError func(id string) error
	// SuspendError, when it returns an error, makes Suspend fail with it.
	SuspendError func(id string) error
	// ResumeError, when it returns an error, makes Resume fail with it.
	ResumeError func(id string) error
	// WeighError, when it returns an error, makes Weigh fail with it.
	WeighError func(id string) error

	jobs sync.WaitGroup

	mu         sync.Mutex // guards what follows
	containers map[string]*container
	back       chan struct{} // not nil while the daemon is away; closed when it returns
	peak       map[string]int
	stopped    []string
	weighed    []Weighing
	offered    [][]string
	listeners  map[string]*pipeListener // by socket
	hearing    []*listener              // one for each call of Events
	readied    map[string]*readied      // for one task each
}

var (
	_ runtime.Driver      = (*Driver)(nil)
	_ runtime.EventSource = (*Driver)(nil)
	_ runtime.Suspender   = (*Driver)(nil)
	_ runtime.Execer      = (*Driver)(nil)
	_ runtime.LogReader   = (*Driver)(nil)
)

// container is one instance and its process.
type container struct {
	inst   edge.Instance
	ended  chan struct{}
	stop   chan struct{} // closed: asked to end
	asked  bool
	kill   context.CancelFunc
	forced *edge.Exit // what the process reports when it was made to end from outside
	server *server
	memory uint64 // its limit
	gate   gate
}

// Start creates and starts a container.
func (d *Driver) Start(ctx context.Context, w edge.Workload, id string) (edge.Instance, error) {
	if err := d.reach(); err != nil {
		return edge.Instance{}, fmt.Errorf("cannot start instance %q: %w", id, err)
	}
	if err := pause(ctx, d.StartDelay); err != nil {
		return edge.Instance{}, fmt.Errorf("cannot start instance %q: %w", id, err)
	}
	if d.StartError != nil {
		if err := d.StartError(w); err != nil {
			return edge.Instance{}, fmt.Errorf("cannot start instance %q: %w", id, err)
		}
	}
	return d.launch(w, edge.Instance{
		ID: id, Workload: w.Key(), SpecHash: w.SpecHash(), Image: w.Image, Digest: "sha256:fake", Started: time.Now().Add(-d.Behind),
		Ports: w.Ports,
	})
}

// Offer remembers who was said to be ready.
func (d *Driver) Offer(_ context.Context, ready []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.offered = append(d.offered, slices.Clone(ready))
}

// Offered lists what Offer was told.
func (d *Driver) Offered() [][]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.offered)
}

func (d *Driver) containersLocked() map[string]*container {
	if d.containers == nil {
		d.containers = make(map[string]*container)
		d.peak = make(map[string]int)
		d.listeners = make(map[string]*pipeListener)
	}
	return d.containers
}

// reach fails while the daemon is away.
func (d *Driver) reach() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.back != nil {
		return fmt.Errorf("daemon is away: %w", edge.ErrUnavailable)
	}
	return nil
}

func (d *Driver) find(id string) *container {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.containers[id]
}

// Instances lists all containers, by id.
func (d *Driver) Instances(ctx context.Context) ([]edge.Instance, error) {
	if err := d.reach(); err != nil {
		return nil, fmt.Errorf("cannot list instances: %w", err)
	}
	list := d.list()
	if err := pause(ctx, d.ListDelay); err != nil {
		return nil, fmt.Errorf("cannot list instances: %w", err)
	}
	return list, nil
}

func (d *Driver) list() []edge.Instance {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []edge.Instance
	for _, id := range slices.Sorted(maps.Keys(d.containers)) {
		list = append(list, d.containers[id].inst)
	}
	return list
}

// Wait blocks until the container has ended and the daemon is there to say so.
func (d *Driver) Wait(ctx context.Context, id string) (edge.Exit, error) {
	c := d.find(id)
	if c == nil {
		return edge.Exit{}, fmt.Errorf("cannot wait for instance %q: %w", id, edge.ErrNotFound)
	}
	ended := c.ended
	if d.Blind {
		ended = nil
	}
	select {
	case <-ended:
	case <-ctx.Done():
		return edge.Exit{}, fmt.Errorf("cannot wait for instance %q: %w", id, ctx.Err())
	}
	for {
		d.mu.Lock()
		back, exit := d.back, *c.inst.Exit
		d.mu.Unlock()
		if back == nil {
			return exit, nil
		}
		select {
		case <-back:
		case <-ctx.Done():
			return edge.Exit{}, fmt.Errorf("cannot wait for instance %q: %w", id, ctx.Err())
		}
	}
}

// Usage tells made-up but steady figures of a running container.
func (d *Driver) Usage(_ context.Context, id string) (edge.Usage, error) {
	if err := d.reach(); err != nil {
		return edge.Usage{}, fmt.Errorf("cannot measure instance %q: %w", id, err)
	}
	c := d.find(id)
	if c == nil {
		return edge.Usage{}, fmt.Errorf("cannot measure instance %q: %w", id, edge.ErrNotFound)
	}
	return edge.Usage{CPU: time.Millisecond, Memory: 1 << 20, MemoryLimit: c.memory, Pids: 1}, nil
}

// pause waits for d unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
