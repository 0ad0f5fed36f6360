package fake

import (
	"context"
	"fmt"
	"time"

	"holdfast/edge"
)

// Stop asks the process to end and kills it after grace.
func (d *Driver) Stop(ctx context.Context, id string, grace time.Duration) error {
	c, err := d.teardown("stop", id)
	if c == nil || err != nil {
		return err
	}
	c.gate.open()
	d.mu.Lock()
	d.stopped = append(d.stopped, id)
	if !c.asked {
		c.asked = true
		close(c.stop)
	}
	d.mu.Unlock()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	if grace <= 0 {
		c.kill()
	}
	for {
		select {
		case <-c.ended:
			return nil
		case <-timer.C:
			c.kill()
		case <-ctx.Done():
			return fmt.Errorf("cannot stop instance %q: %w", id, ctx.Err())
		}
	}
}

// Remove kills the container if it runs, and forgets it.
func (d *Driver) Remove(ctx context.Context, id string) error {
	c, err := d.teardown("remove", id)
	if c == nil || err != nil {
		if err == nil {
			d.removeReadied(id)
		}
		return err
	}
	c.gate.open()
	c.kill()
	select {
	case <-c.ended:
	case <-ctx.Done():
		return fmt.Errorf("cannot remove instance %q: %w", id, ctx.Err())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgetLocked(id)
	return nil
}

// forgetLocked takes a container out, once.
func (d *Driver) forgetLocked(id string) {
	if c := d.containers[id]; c != nil {
		delete(d.containers, id)
		if c.inst.Running {
			d.tellLocked(edge.InstanceExited, c.inst, nil) // nobody saw how
		}
		d.tellLocked(edge.InstanceRemoved, c.inst, nil)
	}
}

// teardown finds the container to stop or remove; none is success.
func (d *Driver) teardown(verb, id string) (*container, error) {
	err := d.reach()
	if err == nil && d.StopError != nil {
		err = d.StopError(id)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot %s instance %q: %w", verb, id, err)
	}
	return d.find(id), nil
}
