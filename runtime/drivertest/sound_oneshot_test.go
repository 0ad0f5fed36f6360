package drivertest_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"holdfast/edge"
	"holdfast/runtime/drivertest"
	"holdfast/runtime/oneshot"
)

// What a driver can get wrong with what runs for one task.
const (
	readyListed   flaw = "lists what stands ready as an instance"
	forgetsReady  flaw = "knows only what it made ready itself"
	toolDumb      flaw = "loses what a tool wrote"
	toolNoCode    flaw = "loses the code of a tool"
	toolGoesOn    flaw = "lets a tool run on whose time is up"
	toolUnbounded flaw = "takes as much as a tool writes"
	readiesAll    flaw = "makes servers ready"
	keepsReady    flaw = "does not remove what stands ready"
)

var _ oneshot.Driver = (*driver)(nil)

var tools = drivertest.Tools{
	Echo: func() edge.Workload { return tool("echo") },
	Fail: func(code int) edge.Workload { return tool("fail", strconv.Itoa(code)) },
	Hang: func() edge.Workload { return tool("hang") },
}

func tool(image string, command ...string) edge.Workload {
	w := workload(image, command...)
	w.Serve = &edge.Serve{Model: "tool", OneShot: &edge.OneShot{}}
	return w
}

// readied is a container in memory. Its image says how it behaves.
type readied struct {
	driver   *driver
	workload edge.Workload
}

func (d *driver) Ready(_ context.Context, w edge.Workload, id string) (oneshot.Container, error) {
	if !w.IsOneShot() && d.flaw != readiesAll {
		return nil, fmt.Errorf("not one-shot: %w", edge.ErrInvalid)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.readied == nil {
		d.readied = make(map[string]*readied)
	}
	made := &readied{driver: d, workload: w}
	d.readied[id] = made
	if d.flaw == readyListed {
		d.instances[id] = &process{Instance: edge.Instance{ID: id, Workload: w.Key()}, store: d.store, ended: make(chan struct{})}
	}
	return made, nil
}

func (d *driver) Remnants(context.Context) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := slices.Sorted(maps.Keys(d.readied))
	if d.flaw == forgetsReady {
		ids = slices.DeleteFunc(ids, func(id string) bool { return d.readied[id].driver != d })
	}
	return ids, nil
}

// dropReady takes away what stands ready.
func (d *driver) dropReady(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.flaw != keepsReady {
		delete(d.readied, id)
	}
}

func (r *readied) Run(ctx context.Context, order oneshot.Order) (oneshot.Result, error) {
	result := oneshot.Result{Begun: true}
	switch flaw := r.driver.flaw; r.workload.Image {
	case "fail":
		if code, _ := strconv.Atoi(r.workload.Command[0]); flaw != toolNoCode {
			result.Exit.Code = uint32(code)
		}
	case "hang":
		timer := time.NewTimer(time.Minute)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		if flaw != toolGoesOn {
			result.Exit = edge.Exit{Code: 137, Signal: "SIGKILL"}
		}
	default:
		result.Excess = int64(len(order.Input)) > order.Most && flaw != toolUnbounded
		if flaw != toolDumb {
			result.Output = order.Input
		}
	}
	return result, nil
}

func (r *readied) Close() error { return nil }
