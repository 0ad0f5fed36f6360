package desk

import (
	"context"
	"fmt"
	"slices"

	"holdfast/edge"
	"holdfast/mqtt"
)

// Forgotten is a node that was cleared from the broker's memory.
type Forgotten struct {
	Node  string `json:"node"`
	Known bool   `json:"known"` // the broker remembered something it had said
}

// Forget clears what the broker remembers of nodes that are gone: presence, state, and the
// policy that waits for them. A node that is there is edge.ErrExists unless forced, and
// then none is forgotten: it would be back with its next word.
func (d *Desk) Forget(ctx context.Context, force bool, names ...string) ([]Forgotten, error) {
	for _, name := range names {
		if !mqtt.IsNode(name) {
			return nil, fmt.Errorf("cannot forget node %.80q: it is no name: %w", name, edge.ErrInvalid)
		}
	}
	registry := NewRegistry()
	var all []Forgotten
	err := d.visit(ctx, d.filters("", aboutThemselves()...), d.into(registry), func(ctx context.Context, v *visit) (err error) {
		if err := v.settle(ctx); err != nil {
			return err
		}
		all, err = v.forget(ctx, registry, force, names)
		return err
	})
	return all, err
}

func (v *visit) forget(ctx context.Context, registry *Registry, force bool, names []string) (all []Forgotten, err error) {
	for _, name := range names {
		node, known := registry.Node(name)
		if known && node.Connection != Offline && !force {
			return nil, edge.WithHint(fmt.Errorf("cannot forget node %q: it is %s: %w", name, node.Connection, edge.ErrExists), "end its agent first; --force forgets it until it speaks again")
		}
		all = append(all, Forgotten{name, known})
	}
	var messages []mqtt.Message
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		for _, kind := range [...]mqtt.Kind{mqtt.UpPresence, mqtt.UpState, mqtt.DownPolicy} {
			messages = append(messages, mqtt.Message{Topic: v.desk.topic(name, kind), Retained: true})
		}
	}
	if err := v.publish(ctx, messages...); err != nil {
		return nil, fmt.Errorf("cannot forget nodes: %w", err)
	}
	return all, v.undelivered()
}
