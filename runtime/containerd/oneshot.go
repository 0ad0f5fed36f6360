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

// A container for one task is brought up in two halves. Ready does all that takes time: its
// record, its snapshot, its networks, and its process, which runc leaves standing right
// before its program. What is left for the task is to let the program go, which takes a
// tenth as long. It is hardened and admitted as every instance is, and removed like one; it
// bears labelStarting for all its life, for there is nothing of it to take over.

var _ oneshot.Driver = (*Driver)(nil)

func isOneShot(labels map[string]string) bool { return labels[labelOneShot] != "" }

// Ready brings a container up to where only its program has to be let go.
func (d *Driver) Ready(ctx context.Context, w edge.Workload, id string) (oneshot.Container, error) {
	made, err := d.ready(d.scope(ctx), w, id)
	if err != nil {
		return nil, fmt.Errorf("cannot make container %q of workload %q: %w", id, w.Key(), err)
	}
	return made, nil
}

func (d *Driver) ready(ctx context.Context, w edge.Workload, id string) (*readied, error) {
	if !w.IsOneShot() {
		return nil, fmt.Errorf("it is not one-shot: %w", edge.ErrInvalid)
	}
	if err := d.hands.start(id); err != nil {
		return nil, err
	}
	defer d.hands.started(id)
	draft, err := d.prepare(ctx, w, id)
	if err != nil {
		return nil, err
	}
	made := &readied{draft: draft}
	err = draft.create(ctx, func(string) (_ cio.IO, err error) {
		made.pipes, err = newPipes(filepath.Join(d.fifoDir(), id))
		return made.pipes, err
	})
	if err != nil {
		return nil, err
	}
	if err := made.open(ctx); err != nil {
		return nil, errors.Join(err, draft.undo(ctx))
	}
	d.freezers.meet(id, draft.pid, draft.record.Spec)
	return made, nil
}

// Remnants lists what Ready has made and is still there.
func (d *Driver) Remnants(ctx context.Context) ([]string, error) {
	c, err := d.conn()
	if err != nil {
		return nil, err
	}
	held, err := c.ContainerService().List(d.scope(ctx), fmt.Sprintf("labels.%q", labelOneShot))
	if err != nil {
		return nil, fmt.Errorf("cannot list one-shot containers: %w", native(err))
	}
	var ids []string
	for _, container := range held {
		ids = append(ids, container.ID)
	}
	return ids, nil
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
		if err := r.join(ctx); err != nil {
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

// join puts the container on its networks and makes it known there, so that it hears of
// those who come while it stands ready.
func (r *readied) join(ctx context.Context) error {
	f := r.draft
	if !f.plan.workload.Connected() {
		return nil
	}
	if err := f.join(ctx); err != nil {
		return err
	}
	if _, err := f.client.ContainerService().Update(ctx, f.record, "labels"); err != nil {
		return fmt.Errorf("cannot record its addresses: %w", native(err))
	}
	f.driver.introduced(ctx, f.client)
	return nil
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
	if in := f.plan.trayOf(false); in != nil {
		if err := in.fill(order.Input, f.plan.account); err != nil {
			return oneshot.Result{}, err
		}
		order.Input = nil
	}
	if err := f.driver.Weigh(ctx, f.plan.id, order.Class); err != nil {
		f.driver.log.Debug("cannot weigh container of a task", "instance", f.plan.id, "error", err)
	}
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	talk := r.pipes.talk(order, f.plan.trayOf(true) != nil, enough)
	begun, exit, err := r.attend(ctx)
	result := talk.end()
	result.Begun, result.Exit = begun, exit
	if out := f.plan.trayOf(true); out != nil && err == nil && exit.Code == 0 {
		result.Output, result.Excess, result.Missing = out.empty(order.Most)
	}
	return result, err
}

// attend lets the program go and waits for its end, which it brings about when ctx ends.
func (r *readied) attend(ctx context.Context) (begun bool, exit edge.Exit, err error) {
	f := r.draft
	err = whole(ctx, func(ctx context.Context) error {
		_, err := f.client.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: f.plan.id})
		return native(err)
	})
	if err == nil {
		err = verify(ctx, f.pid, f.guise)
		if ctx.Err() != nil {
			err = nil // it is killed below
		}
		begun = true
	}
	if err != nil {
		return begun || !errors.Is(err, edge.ErrNotFound), exit, errors.Join(err, r.finish(ctx))
	}
	exit, err = f.driver.outcome(ctx, f.client, f.plan.id)
	return true, exit, err
}

// finish ends a program that must not run, and of which nobody knows whether it does.
func (r *readied) finish(ctx context.Context) error {
	ctx, cancel := outlive(ctx, teardownWithin, hurryWithin)
	defer cancel()
	return r.draft.driver.killAndWait(ctx, r.draft.client, r.draft.plan.id)
}

// outcome waits for the end of a container, and brings it about when ctx ends.
func (d *Driver) outcome(ctx context.Context, c *client.Client, id string) (edge.Exit, error) {
	exit, err := d.wait(ctx, c, id)
	if err == nil || ctx.Err() == nil {
		return exit, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), teardownWithin)
	defer cancel()
	if err := kill(ctx, c, id, unix.SIGKILL); err != nil {
		return edge.Exit{}, err
	}
	return d.wait(ctx, c, id)
}

// Close lets go of the pipes.
func (r *readied) Close() error { return r.pipes.Close() }
