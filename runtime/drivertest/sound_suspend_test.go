package drivertest_test

import (
	"context"
	"fmt"

	"holdfast/edge"
)

func (d *driver) Suspend(_ context.Context, id string) error {
	p := d.find(id)
	if p == nil {
		if d.flaw == suspendsNothing {
			return nil
		}
		return fmt.Errorf("instance: %w", edge.ErrNotFound)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.flaw != onlyPretends {
		p.halted = d
	}
	return nil
}

func (d *driver) Resume(_ context.Context, id string) error {
	if p := d.find(id); p != nil && d.flaw != neverResumes {
		d.mu.Lock()
		defer d.mu.Unlock()
		p.halted = nil
	}
	return nil
}

// isHalted looks past the driver.
func (s *store) isHalted(id string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.instances[id]
	if p == nil {
		return false, edge.ErrNotFound
	}
	return p.halted != nil, nil
}
