package runtime

import (
	"time"

	"holdfast/edge/oip"
)

// catalog is what the models are at one moment; it is replaced, never changed.
type catalog struct {
	models   map[string]catalogEntry
	names    []string
	replaced chan struct{} // closed once a newer one is there
}

type catalogEntry struct {
	tool    bool // it is no server, and has no pool
	pool    *pool
	meta    oip.ModelMetadata
	ready   bool
	timeout time.Duration
}

func newCatalog() *catalog {
	return &catalog{models: make(map[string]catalogEntry), replaced: make(chan struct{})}
}

// Model describes a model. known: a desired workload serves it. ready: an instance
// answers it now. The metadata is empty until one has been ready once.
func (s *Supervisor) Model(name string) (meta oip.ModelMetadata, ready, known bool) {
	entry, known := s.catalog.Load().models[name]
	return entry.meta, entry.ready, known
}

// Models lists the models of the desired workloads, sorted.
func (s *Supervisor) Models() []string {
	return s.catalog.Load().names
}
