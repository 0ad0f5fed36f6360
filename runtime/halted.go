package runtime

import (
	"slices"
	"sync"

	"holdfast/edge"
)

// halted is which instances are halted now, and how often that was. The zero value is
// ready.
type halted struct {
	mu    sync.Mutex // guards what follows
	now   map[string]struct{}
	stuck map[string]struct{} // the last attempt was refused
	times map[string]uint64   // how often each was, of those that run
	count uint64
}

func (h *halted) add(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.now == nil {
		h.now = make(map[string]struct{})
	}
	if h.times == nil {
		h.times = make(map[string]uint64)
	}
	h.times[id]++
	h.now[id] = struct{}{}
	h.count++
}

func (h *halted) drop(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.now, id)
}

// refused notes how the last attempt went, and returns how the one before did.
func (h *halted) refused(id string, now bool) (before bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, before = h.stuck[id]
	switch {
	case now && h.stuck == nil:
		h.stuck = map[string]struct{}{id: {}}
	case now:
		h.stuck[id] = struct{}{}
	default:
		delete(h.stuck, id)
	}
	return before
}

// forget drops what is known of an instance that has ended.
func (h *halted) forget(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.stuck, id)
	delete(h.times, id)
}

// seen tells whether an instance is halted now, and how often it has been. What it was
// asked between two that differ is no sign of its health.
func (h *halted) seen(id string) (now bool, times uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, now = h.now[id]
	return now, h.times[id]
}

// mark shows ready instances that are halted as what they are. The list is shared, so
// what changes is copied.
func (h *halted) mark(views []edge.WorkloadView) []edge.WorkloadView {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.now) == 0 {
		return views
	}
	views = slices.Clone(views)
	for i := range views {
		views[i].Instances = slices.Clone(views[i].Instances)
		for j := range views[i].Instances {
			inst := &views[i].Instances[j]
			if _, is := h.now[inst.ID]; is && inst.State == edge.InstanceReady {
				inst.State, inst.Detail = edge.InstanceSuspended, "what is more urgent runs in its place"
			}
		}
	}
	return views
}

// Suspensions is how many instances are halted now, and how often one was since the start.
func (s *Supervisor) Suspensions() (now int, ever uint64) {
	s.halted.mu.Lock()
	defer s.halted.mu.Unlock()
	return len(s.halted.now), s.halted.count
}
