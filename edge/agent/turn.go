package agent

import (
	"context"
	"fmt"

	"holdfast/edge"
)

// turn lets one in at a time, and a few wait: whoever comes after these is told to
// come again, so that callers who pile up hold nothing.
type turn struct {
	inside  chan struct{} // capacity 1
	waiting chan struct{}
}

// maxWaiting is how many may stand in line.
const maxWaiting = 8

func newTurn() turn {
	return turn{inside: make(chan struct{}, 1), waiting: make(chan struct{}, maxWaiting)}
}

// enter stands in line for the turn; leave gives it back.
func (t turn) enter(ctx context.Context) error {
	select {
	case t.waiting <- struct{}{}:
	default:
		return fmt.Errorf("cannot begin: %d others wait already: %w", maxWaiting, edge.ErrUnavailable)
	}
	defer func() { <-t.waiting }()
	return t.wait(ctx)
}

// wait is enter for somebody who must not be sent away.
func (t turn) wait(ctx context.Context) error {
	select {
	case t.inside <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("cannot begin: another has not ended: %w: %w", edge.ErrUnavailable, context.Cause(ctx))
	}
}

func (t turn) leave() { <-t.inside }
