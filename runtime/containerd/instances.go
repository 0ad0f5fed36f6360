package containerd

import (
	"context"
	"fmt"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"

	"holdfast/edge"
)

// Instances lists every container that bears our labels. The number of calls to
// the daemon does not grow with the number of instances.
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
	running, err := c.TaskService().List(ctx, &tasks.ListTasksRequest{})
	if err != nil {
		return nil, fmt.Errorf("cannot list instances: %w", native(err))
	}
	byID := make(map[string]*task.Process, len(running.Tasks))
	for _, process := range running.Tasks {
		byID[process.ID] = process
	}
	instances := make([]edge.Instance, 0, len(held))
	for _, container := range held {
		instances = append(instances, d.instance(container, byID[container.ID]))
	}
	return instances, nil
}

// instance reads a container's labels; process is nil when it has no task.
func (d *Driver) instance(container containers.Container, process *task.Process) edge.Instance {
	socket, _ := d.hostSocket(container.ID, container.Labels[labelEndpoint]) // it fitted when it was started
	instance := edge.Instance{
		ID:       container.ID,
		Workload: container.Labels[labelWorkload],
		SpecHash: container.Labels[labelSpecHash],
		Image:    container.Labels[labelImage],
		Digest:   container.Labels[labelDigest],
		Started:  container.CreatedAt,
		Socket:   socket,
		LogPath:  d.logPath(container.ID),
	}
	if process == nil {
		instance.Exit = &edge.Exit{Code: exitUnknown}
		return instance
	}
	switch process.Status {
	case task.Status_RUNNING, task.Status_PAUSED, task.Status_PAUSING:
		instance.Running = true
		instance.PID = process.Pid
	case task.Status_STOPPED:
		exit := d.exitOf(container.ID, process.ExitStatus, process.ExitedAt.AsTime())
		instance.Exit = &exit
	default:
		// Created and never started: an agent died between the two.
		instance.Exit = &edge.Exit{Code: exitUnknown}
	}
	return instance
}
