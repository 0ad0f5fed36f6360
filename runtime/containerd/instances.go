package containerd

import (
	"context"
	"fmt"
	"slices"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"holdfast/edge"
)

// Instances lists every container that bears our labels, but for those that run for one
// task. The number of calls to
// the daemon grows only with the instances of which its listing tells nothing.
func (d *Driver) Instances(ctx context.Context) ([]edge.Instance, error) {
	c, err := d.conn()
	if err != nil {
		return nil, err
	}
	ctx = d.scope(ctx)
	// Containers first: a task that ends up without one belongs to somebody else,
	// and one that appears meanwhile is seen the next time.
	held, err := c.ContainerService().List(ctx, fmt.Sprintf("labels.%q", labelWorkload))
	if err != nil {
		return nil, fmt.Errorf("cannot list instances: %w", native(err))
	}
	held = slices.DeleteFunc(held, func(container containers.Container) bool { return isOneShot(container.Labels) })
	processes, err := processesOf(ctx, c, held)
	if err != nil {
		return nil, fmt.Errorf("cannot list instances: %w", err)
	}
	instances := make([]edge.Instance, 0, len(held))
	for i, container := range held {
		instance := d.instance(container, processes[i])
		if instance.Running {
			d.freezers.meet(instance.ID, instance.PID, container.Spec)
		}
		instances = append(instances, instance)
	}
	return instances, nil
}

// processesOf returns the process of each container; nil for one without a task.
func processesOf(ctx context.Context, c *client.Client, held []containers.Container) ([]*task.Process, error) {
	listed, err := c.TaskService().List(ctx, &tasks.ListTasksRequest{})
	if err != nil {
		return nil, native(err)
	}
	byID := make(map[string]*task.Process, len(listed.Tasks))
	for _, process := range listed.Tasks {
		byID[process.ID] = process
	}
	processes := make([]*task.Process, len(held))
	// All at once: each takes as long as the daemon waits for a shim.
	var asked errgroup.Group
	for i, container := range held {
		processes[i] = byID[container.ID]
		if processes[i].GetStatus() != task.Status_UNKNOWN {
			continue
		}
		asked.Go(func() (err error) {
			processes[i], err = confirm(ctx, c, container.ID)
			return err
		})
	}
	return processes, asked.Wait()
}

// confirm asks for the one process that a listing left out: it does so not only
// when there is no task, but also when the task's shim takes longer than two
// seconds to answer. Only a task the daemon does not have is an end (nil); one of
// which it can tell nothing has the status unknown.
func confirm(ctx context.Context, c *client.Client, id string) (*task.Process, error) {
	answer, err := c.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id})
	plain := unwrapped(err)
	switch {
	case err == nil:
		return answer.Process, nil
	case errdefs.IsNotFound(plain):
		return nil, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errdefs.IsUnavailable(plain):
		return nil, native(err)
	default:
		return &task.Process{ID: id}, nil
	}
}

// instance reads a container's labels; process is nil when it has no task.
func (d *Driver) instance(container containers.Container, process *task.Process) edge.Instance {
	instance := edge.Instance{
		ID:        container.ID,
		Workload:  container.Labels[labelWorkload],
		SpecHash:  container.Labels[labelSpecHash],
		Image:     container.Labels[labelImage],
		Digest:    container.Labels[labelDigest],
		Started:   container.CreatedAt,
		Socket:    container.Labels[labelSocket], // where it was mounted, not where it would be today
		LogPath:   d.logPath(container.ID),
		Ports:     portsOf(container.Labels[labelPorts]),
		Addresses: addressesOf(container.Labels),
	}
	if _, unsound := container.Labels[labelStarting]; process == nil || unsound {
		return instance // an end nobody saw, or a start that did not come to its own
	}
	switch process.Status {
	case task.Status_CREATED:
		// Never started: an agent died between the two.
	case task.Status_STOPPED:
		exit := d.exitOf(container.ID, process.ExitStatus, process.ExitedAt.AsTime())
		instance.Exit = &exit
	default:
		// Running or paused; or its shim does not answer, and then nothing says that
		// it ended. Wait tells when it does.
		instance.Running = true
		instance.PID = process.Pid
	}
	return instance
}
