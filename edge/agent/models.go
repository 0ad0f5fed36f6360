package agent

import (
	"slices"

	"holdfast/edge/oip"
	"holdfast/runtime"
	"holdfast/runtime/upstream"
)

// models are those that tasks can be asked of: the workloads' own, and those a route leads away.
type models struct {
	here  *runtime.Supervisor
	there *upstream.Router
}

// Models are their names, in order.
func (m models) Models() []string {
	names := slices.Concat(m.here.Models(), m.there.Models())
	slices.Sort(names)
	return slices.Compact(names)
}

// Model tells what a model takes, whether somebody can answer it now, and whether it is a model
// at all. What the node's own instances say of it counts before what the upstream does.
func (m models) Model(name string) (meta oip.ModelMetadata, ready, known bool) {
	meta, ready, known = m.here.Model(name)
	there, up, routed := m.there.Model(name)
	if meta.Name == "" {
		meta = there
	}
	return meta, ready || up, known || routed
}
