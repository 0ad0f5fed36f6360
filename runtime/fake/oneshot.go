package fake

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"holdfast/edge"
	"holdfast/runtime/oneshot"
)

var _ oneshot.Driver = (*Driver)(nil)

// readied is a container that stands ready for one task.
type readied struct {
	driver *Driver
	id     string
	w      edge.Workload
	ctx    context.Context // ends when it is removed
	kill   context.CancelFunc
}

// Ready makes a container that stands ready. Its program is Tool.
func (d *Driver) Ready(ctx context.Context, w edge.Workload, id string) (oneshot.Container, error) {
	err := d.reach()
	if err == nil {
		err = pause(ctx, d.StartDelay)
	}
	if err == nil && d.StartError != nil {
		err = d.StartError(w)
	}
	if err == nil && !w.IsOneShot() {
		err = fmt.Errorf("it is not one-shot: %w", edge.ErrInvalid)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make container %q: %w", id, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.readied[id] != nil {
		return nil, fmt.Errorf("cannot make container %q: %w", id, edge.ErrExists)
	}
	if d.readied == nil {
		d.readied = make(map[string]*readied)
	}
	made := &readied{driver: d, id: id, w: w}
	made.ctx, made.kill = context.WithCancel(context.Background())
	d.readied[id] = made
	return made, nil
}

// Remnants lists what Ready has made and was not removed.
func (d *Driver) Remnants(context.Context) ([]string, error) {
	if err := d.reach(); err != nil {
		return nil, fmt.Errorf("cannot list one-shot containers: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.readied)), nil
}

// removeReadied takes one away that stands ready or runs.
func (d *Driver) removeReadied(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if made := d.readied[id]; made != nil {
		made.kill()
		delete(d.readied, id)
	}
}

// Run lets the program go.
func (r *readied) Run(ctx context.Context, order oneshot.Order) (oneshot.Result, error) {
	if err := r.driver.reach(); err != nil {
		return oneshot.Result{Begun: true}, fmt.Errorf("cannot run container %q: %w", r.id, err)
	}
	if r.ctx.Err() != nil {
		return oneshot.Result{}, fmt.Errorf("cannot run container %q: %w", r.id, edge.ErrNotFound)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.ctx, cancel)()
	result := oneshot.Result{Output: order.Input}
	if r.driver.Tool != nil {
		result = r.driver.Tool(ctx, r.w, order)
	}
	result.Begun = true
	if ctx.Err() != nil {
		result.Exit = edge.Exit{Code: 137, Signal: "SIGKILL"}
	}
	if result.Excess = int64(len(result.Output)) > order.Most; result.Excess {
		result.Output, result.Exit = nil, edge.Exit{Code: 137, Signal: "SIGKILL"}
	}
	return result, nil
}

// Close has nothing to let go of.
func (r *readied) Close() error { return nil }
