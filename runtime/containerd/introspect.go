package containerd

import (
	"context"
	"fmt"
)

// Plugin is a part of the daemon.
type Plugin struct {
	Type, ID string
	Error    string // why it does not work, or is not for this machine; empty: it does
}

// Plugins lists what the daemon is made of.
func (d *Driver) Plugins(ctx context.Context) ([]Plugin, error) {
	c, err := d.conn()
	if err != nil {
		return nil, err
	}
	answer, err := c.IntrospectionService().Plugins(d.scope(ctx))
	if err != nil {
		return nil, fmt.Errorf("cannot list plugins of containerd: %w", native(err))
	}
	var list []Plugin
	for _, p := range answer.Plugins {
		plugin := Plugin{Type: p.Type, ID: p.ID}
		if p.InitErr != nil {
			plugin.Error = p.InitErr.Message
		}
		list = append(list, plugin)
	}
	return list, nil
}
