package containerd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/runtime/oneshot"
)

// Ready brings a container up to where only its program has to be let go.
func (d *Driver) Ready(ctx context.Context, w edge.Workload, id string) (oneshot.Container, error) {
	made, err := d.ready(d.scope(ctx), w, id)
	if err != nil {
		return nil, fmt.Errorf("cannot make container %q of workload %q: %w", id, w.Key(), err)
	}
	return made, nil
}

func (d *Driver) ready(ctx context.Context, w edge.Workload, id string) (*readied, error) {
	if err := d.hands.start(id); err != nil {
		return nil, err
	}
	defer d.hands.started(id)
	draft, err := d.prepare(ctx, w, id)
	if err != nil {
		return nil, err
	}
	made := &readied{draft: draft}
	if err := draft.create(ctx, func(string) (_ cio.IO, err error) {
		made.pipes, err = newPipes(filepath.Join(d.fifoDir(), id))
		return made.pipes, err
	}); err != nil {
		return nil, err
	}
	if err := made.open(ctx); err != nil {
		return nil, errors.Join(err, draft.undo(ctx))
	}
	return made, nil
}

// readied is a container that stands ready.
type readied struct {
	draft *draft
	pipes *pipes
}

// open does whatever can be done before there is a task.
func (r *readied) open(ctx context.Context) error {
	return whole(ctx, func(ctx context.Context) error {
		f := r.draft
		if err := verifyBinds(f.pid, f.plan.given.mounts); err != nil {
			return err
		}
		if err := f.join(ctx); err != nil {
			return err
		}
		if err := r.pipes.openInput(ctx); err != nil {
			return err
		}
		// The shim's own end, or the input would never end.
		_, err := f.client.TaskService().CloseIO(ctx, &tasks.CloseIORequest{ContainerID: f.plan.id, Stdin: true})
		return native(err)
	})
}

// Run lets the program go.
func (r *readied) Run(ctx context.Context, order oneshot.Order) (oneshot.Result, error) {
	result, err := r.run(r.draft.driver.scope(ctx), order)
	if err != nil {
		return result, fmt.Errorf("cannot run container %q: %w", r.draft.plan.id, err)
	}
	return result, nil
}

func (r *readied) run(ctx context.Context, order oneshot.Order) (oneshot.Result, error) {
	f := r.draft
	excess, cancel := context.WithCancel(ctx)
	defer cancel()
	talk := r.pipes.talk(order, cancel)
	if _, err := f.client.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: f.plan.id}); err != nil {
		return oneshot.Result{}, native(err)
	}
	if err := verify(ctx, f.pid, f.guise); err != nil {
		return oneshot.Result{}, errors.Join(err, f.driver.killAndWait(context.WithoutCancel(ctx), f.client, f.plan.id))
	}
	exit, err := f.driver.outcome(excess, f.client, f.plan.id)
	if err != nil {
		return oneshot.Result{}, err
	}
	result := talk.end()
	result.Exit = exit
	return result, nil
}

// outcome waits for the end of a container, and brings it about when ctx ends.
func (d *Driver) outcome(ctx context.Context, c *client.Client, id string) (edge.Exit, error) {
	exit, err := d.wait(ctx, c, id)
	if err == nil || ctx.Err() == nil {
		return exit, err
	}
	ctx = context.WithoutCancel(ctx)
	if err := kill(ctx, c, id, unix.SIGKILL); err != nil {
		return edge.Exit{}, err
	}
	return d.wait(ctx, c, id)
}

// Close lets go of the pipes.
func (r *readied) Close() error { return r.pipes.Close() }
