package drivertest_test

import (
	"context"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/runtime"
)

// What a driver can get wrong with its events.
const (
	noEvents       flaw = "tells of nothing"
	noFirstGap     flaw = "does not say from when on it tells"
	swapsEvents    flaw = "tells of a removal before the end"
	losesEventExit flaw = "tells of an end without its code"
	hidesHunger    flaw = "does not tell that memory ran out"
	hearsAll       flaw = "tells of another namespace"
	namesNoWork    flaw = "does not tell whose instance it was"
	hidesGap       flaw = "keeps silent about a daemon that was away"
	deafens        flaw = "hears nothing more once the daemon was away"
	hearsOn        flaw = "goes on after its context ended"
)

// hub carries the events of all namespaces of one daemon.
type hub struct {
	over <-chan struct{} // closed when the check has ended

	mu        sync.Mutex // guards what follows
	listeners map[*listener]bool
}

// listener is one call of Events.
type listener struct {
	store *store
	flaw  flaw
	heard chan edge.InstanceEvent
	held  []edge.InstanceEvent // by a flaw
	deaf  bool
}

var _ runtime.EventSource = (*driver)(nil)

func (d *driver) Events(ctx context.Context, emit func(edge.InstanceEvent)) error {
	l := &listener{store: d.store, flaw: d.flaw, heard: make(chan edge.InstanceEvent, 64)}
	if d.flaw != noFirstGap {
		l.heard <- edge.InstanceEvent{At: time.Now(), Kind: edge.InstanceEventGap}
	}
	d.hub.mu.Lock()
	d.hub.listeners[l] = true
	d.hub.mu.Unlock()
	for {
		select {
		case event := <-l.heard:
			emit(event)
		case <-ctx.Done():
			d.hub.leave(l)
			return nil
		}
	}
}

func (h *hub) leave(l *listener) {
	h.mu.Lock()
	delete(h.listeners, l)
	h.mu.Unlock()
	if l.flaw == hearsOn {
		<-h.over
	}
}

func (h *hub) tell(from *store, event edge.InstanceEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	event.At = time.Now()
	for l := range h.listeners {
		if l.store == from || l.flaw == hearsAll || event.Kind == edge.InstanceEventGap {
			l.hear(event)
		}
	}
}

// hear passes an event on, as far as the flaw lets it.
func (l *listener) hear(event edge.InstanceEvent) {
	switch {
	case l.deaf || l.flaw == noEvents:
		return
	case event.Kind == edge.InstanceEventGap && l.flaw == deafens:
		l.deaf = true
	case event.Kind == edge.InstanceEventGap && l.flaw == hidesGap:
		return
	case event.Kind == edge.InstanceExited && l.flaw == swapsEvents:
		l.held = append(l.held, event)
		return
	case event.Kind == edge.InstanceExited && l.flaw == losesEventExit:
		event.Exit = nil
	case event.Kind == edge.InstanceOutOfMemory && l.flaw == hidesHunger:
		return
	case l.flaw == namesNoWork:
		event.Workload = ""
	}
	l.heard <- event
	if event.Kind == edge.InstanceRemoved {
		for _, held := range l.held {
			l.heard <- held
		}
		l.held = nil
	}
}

// tell sends what happened to an instance.
func (p *process) tell(kind edge.InstanceEventKind, exit *edge.Exit) {
	p.store.hub.tell(p.store, edge.InstanceEvent{Kind: kind, Instance: p.ID, Workload: p.Workload, Exit: exit})
}
