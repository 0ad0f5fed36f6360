package fake

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"holdfast/edge"
)

// Add puts a running container there as if an earlier agent had started it.
func (d *Driver) Add(w edge.Workload, id string) (edge.Instance, error) {
	return d.launch(w, edge.Instance{
		ID: id, Workload: w.Key(), SpecHash: w.SpecHash(), Image: w.Image, Digest: "sha256:fake", Started: time.Now().Add(-d.Behind),
	})
}

// AddEnded puts an ended container there.
func (d *Driver) AddEnded(w edge.Workload, id string, exit edge.Exit) { d.bury(w, id, &exit) }

// AddLost puts a container there whose end nobody saw, as a power cut leaves it.
func (d *Driver) AddLost(w edge.Workload, id string) { d.bury(w, id, nil) }

func (d *Driver) bury(w edge.Workload, id string, exit *edge.Exit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ended := make(chan struct{})
	close(ended)
	d.containersLocked()[id] = &container{ended: ended, kill: func() {}, stop: make(chan struct{}), inst: edge.Instance{
		ID: id, Workload: w.Key(), SpecHash: w.SpecHash(), Image: w.Image, Exit: exit,
	}}
}

// launch makes the container and its process.
func (d *Driver) launch(w edge.Workload, inst edge.Instance) (edge.Instance, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	containers := d.containersLocked()
	if containers[inst.ID] != nil {
		return edge.Instance{}, fmt.Errorf("cannot start instance %q: %w", inst.ID, edge.ErrExists)
	}
	ctx, kill := context.WithCancel(context.Background())
	c := &container{ended: make(chan struct{}), stop: make(chan struct{}), kill: kill, memory: uint64(max(w.Limits.Memory, 0))}
	inst.Running, inst.PID = true, uint32(1000+len(containers))
	if w.Serve != nil {
		inst.Socket = filepath.Join(d.Dir, inst.ID+".sock")
		if err := d.serveLocked(c, w, inst); err != nil {
			kill()
			return edge.Instance{}, err
		}
	}
	c.inst = inst
	containers[inst.ID] = c
	d.countLocked(inst.Workload)
	d.tellLocked(edge.InstanceStarted, inst, nil)
	d.jobs.Go(func() { d.live(ctx, c, w) })
	return inst, nil
}

// live is the life of a container's process.
func (d *Driver) live(ctx context.Context, c *container, w edge.Workload) {
	exit := edge.Exit{}
	if d.Main != nil {
		exit = d.Main(ctx, c.stop, w)
	} else {
		select {
		case <-ctx.Done():
		case <-c.stop:
		}
	}
	if c.server != nil {
		c.server.close(&c.gate)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case c.forced != nil:
		exit = *c.forced
	case ctx.Err() != nil:
		exit = edge.Exit{Code: 137, Signal: "SIGKILL"}
	}
	exit.At = time.Now()
	c.inst.Running, c.inst.Exit, c.inst.PID = false, &exit, 0
	if d.containers[c.inst.ID] == c { // or it was told of when it vanished
		d.tellEndLocked(c.inst, &exit)
	}
	c.kill()
	close(c.ended)
}
