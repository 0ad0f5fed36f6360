package containerd

import (
	"fmt"
	"sync"

	"holdfast/edge"
)

// hands keep those who start an instance and those who sweep its leftovers away out
// of each other's way. The zero value is ready.
type hands struct {
	mu       sync.Mutex // guards what follows
	starting map[string]int
	sweeping map[string]struct{}
}

// start announces a start, which must be told to started when it has ended.
func (h *hands) start(id string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, busy := h.sweeping[id]; busy {
		return fmt.Errorf("leftovers of another of its name are being removed: %w", edge.ErrExists)
	}
	if h.starting == nil {
		h.starting = make(map[string]int)
	}
	h.starting[id]++
	return nil
}

func (h *hands) started(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.starting[id]--; h.starting[id] == 0 {
		delete(h.starting, id)
	}
}

// sweep announces a sweep, unless a start goes on; swept ends it.
func (h *hands) sweep(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.starting[id] > 0 {
		return false
	}
	if h.sweeping == nil {
		h.sweeping = make(map[string]struct{})
	}
	h.sweeping[id] = struct{}{}
	return true
}

func (h *hands) swept(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sweeping, id)
}
