package fake

import (
	"slices"

	"holdfast/edge"
)

// Exit makes a running container's process end so, without anybody having asked.
func (d *Driver) Exit(id string, exit edge.Exit) {
	d.mu.Lock()
	c := d.containers[id]
	if c != nil && c.forced == nil && c.inst.Running {
		c.forced = &exit
	}
	d.mu.Unlock()
	if c != nil {
		c.kill()
	}
}

// Deafen closes a running container's server while its process lives on.
func (d *Driver) Deafen(id string) {
	if c := d.find(id); c != nil && c.server != nil {
		c.server.close(&c.gate)
	}
}

// SetDaemon makes the daemon go away or come back. Containers run on meanwhile.
func (d *Driver) SetDaemon(there bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case there && d.back != nil:
		close(d.back)
		d.back = nil
		d.tellLocked(edge.InstanceEventGap, edge.Instance{}, nil)
	case !there && d.back == nil:
		d.back = make(chan struct{})
	}
}

// Vanish removes every trace of a container behind everybody's back.
func (d *Driver) Vanish(id string) {
	d.Exit(id, edge.Exit{Code: 255})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forgetLocked(id)
}

// Running lists the ids of the running containers, sorted.
func (d *Driver) Running() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []string
	for id, c := range d.containers {
		if c.inst.Running {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Peak is the most containers of a workload that ever ran at once.
func (d *Driver) Peak(workload string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.peak[workload]
}

// Stopped lists the ids Stop was called for, in order.
func (d *Driver) Stopped() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.stopped)
}

// countLocked keeps the peak.
func (d *Driver) countLocked(workload string) {
	running := 0
	for _, c := range d.containers {
		if c.inst.Workload == workload && c.inst.Running {
			running++
		}
	}
	d.peak[workload] = max(d.peak[workload], running)
}

// Close kills everything and waits for it.
func (d *Driver) Close() {
	d.SetDaemon(true)
	d.mu.Lock()
	var all []*container
	for _, c := range d.containers {
		all = append(all, c)
	}
	d.mu.Unlock()
	for _, c := range all {
		c.kill()
	}
	d.jobs.Wait()
}
