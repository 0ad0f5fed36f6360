package fake

import (
	"context"
	"slices"
	"time"

	"holdfast/edge"
)

// listener is one call of Events.
type listener struct {
	more chan struct{} // holds one token while something waits
	held []edge.InstanceEvent
}

// Events tells what happens to containers until ctx ends. What happens while the
// daemon is away is not told, but that it was away.
func (d *Driver) Events(ctx context.Context, emit func(edge.InstanceEvent)) error {
	l := &listener{more: make(chan struct{}, 1)}
	d.mu.Lock()
	d.hearing = append(d.hearing, l)
	if d.back == nil {
		l.put(edge.InstanceEvent{At: time.Now(), Kind: edge.InstanceEventGap})
	}
	d.mu.Unlock()
	defer d.leave(l)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.more:
		}
		for _, event := range d.take(l) {
			if ctx.Err() != nil {
				return nil
			}
			emit(event)
		}
	}
}

// put adds an event. The driver's lock is held.
func (l *listener) put(event edge.InstanceEvent) {
	l.held = append(l.held, event)
	select {
	case l.more <- struct{}{}:
	default:
	}
}

func (d *Driver) take(l *listener) []edge.InstanceEvent {
	d.mu.Lock()
	defer d.mu.Unlock()
	held := l.held
	l.held = nil
	return held
}

func (d *Driver) leave(l *listener) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hearing = slices.DeleteFunc(d.hearing, func(other *listener) bool { return other == l })
}

// tellLocked tells all listeners, unless the daemon is away.
func (d *Driver) tellLocked(kind edge.InstanceEventKind, inst edge.Instance, exit *edge.Exit) {
	if d.back != nil {
		return
	}
	for _, l := range d.hearing {
		l.put(edge.InstanceEvent{At: time.Now(), Kind: kind, Instance: inst.ID, Workload: inst.Workload, Exit: exit})
	}
}

func (d *Driver) tellEndLocked(inst edge.Instance, exit *edge.Exit) {
	if exit.OOM {
		d.tellLocked(edge.InstanceOutOfMemory, inst, nil)
	}
	d.tellLocked(edge.InstanceExited, inst, exit)
}
