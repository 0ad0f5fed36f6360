package desk

import (
	"context"

	"holdfast/mqtt"
)

// Census is who is there.
type Census struct {
	Nodes   []Node `json:"nodes"`
	Strange int    `json:"strange,omitempty"` // messages that could not be read
}

// Nodes reads what the broker remembers of all nodes of the site.
func (d *Desk) Nodes(ctx context.Context) (Census, error) {
	registry := NewRegistry()
	err := d.visit(ctx, d.filters("", aboutThemselves()...), d.into(registry), func(ctx context.Context, v *visit) error { return v.settle(ctx) })
	return Census{registry.Nodes(), registry.Strange()}, err
}

// aboutThemselves are the kinds a Registry takes.
func aboutThemselves() []mqtt.Kind {
	return []mqtt.Kind{mqtt.UpPresence, mqtt.UpState, mqtt.UpDelta, mqtt.UpHello}
}

// into puts what is heard into a registry.
func (d *Desk) into(r *Registry) func(Said) {
	return func(s Said) {
		if err := r.Take(s); err != nil {
			d.options.Log.Warn("message not taken", "err", err)
		}
	}
}
