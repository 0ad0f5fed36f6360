package fake

import (
	"context"
	"fmt"

	"holdfast/edge"
)

// Weighing is one call of Weigh.
type Weighing struct {
	ID    string
	Class edge.Class
}

// Weigh notes which weight a container is to have.
func (d *Driver) Weigh(_ context.Context, id string, class edge.Class) error {
	if d.find(id) == nil {
		return fmt.Errorf("cannot weigh instance %q: %w", id, edge.ErrNotFound)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.weighed = append(d.weighed, Weighing{id, class})
	if d.WeighError != nil {
		return d.WeighError(id)
	}
	return nil
}

// Weighed lists every call of Weigh, in order.
func (d *Driver) Weighed() []Weighing {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Weighing(nil), d.weighed...)
}
