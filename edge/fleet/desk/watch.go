package desk

import (
	"context"
	"errors"
	"slices"

	"holdfast/mqtt"
)

// UpKinds are what nodes say.
func UpKinds() []mqtt.Kind {
	return []mqtt.Kind{mqtt.UpPresence, mqtt.UpHello, mqtt.UpState, mqtt.UpDelta, mqtt.UpEvent, mqtt.UpReply}
}

// Watch calls line for everything a node says, or every node of the site when node is
// empty, until ctx ends or line fails. What the broker remembers comes first. Messages
// that come faster than line takes them are dropped by the broker or come again.
func (d *Desk) Watch(ctx context.Context, node string, kinds []mqtt.Kind, line func(Said) error) error {
	if len(kinds) == 0 {
		kinds = UpKinds()
	}
	failed := make(chan error, 1)
	broken := false
	hear := func(s Said) {
		if broken || !slices.Contains(kinds, s.Topic.Kind) {
			return
		}
		if err := line(s); err != nil {
			broken = true
			failed <- err
		}
	}
	err := d.visit(ctx, d.filters(node, kinds...), hear, func(ctx context.Context, v *visit) error { return v.watch(ctx, failed) })
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return nil // that is how watching ends
	}
	return err
}

// watch stays until ctx ends or a line has failed. A connection that is lost is made
// again; what was said meanwhile is missing, so it is told.
func (v *visit) watch(ctx context.Context, failed <-chan error) error {
	for {
		changed := v.session.Changed()
		if state := v.session.State(); state.Phase == mqtt.Waiting {
			v.desk.options.Log.Warn("connection lost, trying again", "err", state.Failure, "wait", state.Wait)
		}
		select {
		case err := <-failed:
			return err
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}
