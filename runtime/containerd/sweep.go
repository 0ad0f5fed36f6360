package containerd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/client"

	"holdfast/edge"
)

// sweeps is how often, after the daemon came back, it is looked for what nobody knows
// of: a minute long, as AskEvery is 5 s. What a dead agent left settles within the
// first seconds.
const sweeps = 12

// sweep looks for what remains of instances without a container, and ends it once it
// was seen twice.
func (d *Driver) sweep(ctx context.Context, c *client.Client) {
	ticker := time.NewTicker(d.opts.AskEvery)
	defer ticker.Stop()
	var before []string
	failing := map[string]struct{}{}
	d.introduced(ctx, c) // what came and went while it was away
	d.offered(ctx, c)
	d.mended()
	for look := 0; look < sweeps || len(before) > 0; look++ {
		strays, err := d.strays(ctx, c)
		err = errors.Join(err, d.retireUnused())
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			d.log.Debug("cannot look for leftovers", "error", err)
		}
		for _, id := range condemned(before, strays) {
			err := d.sweepAway(ctx, c, id)
			if _, told := failing[id]; err != nil && !told && ctx.Err() == nil {
				failing[id] = struct{}{}
				d.log.Warn("cannot end leftovers", "instance", id, "error", err)
			}
		}
		before = strays
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// strays lists the instances of which something remains and that have no container.
// The containers are listed last: one that was made meanwhile counts.
func (d *Driver) strays(ctx context.Context, c *client.Client) ([]string, error) {
	traces, err := d.traces()
	if err != nil || len(traces) == 0 {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.opts.AnswerWithin)
	defer cancel()
	held, err := c.ContainerService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list containers: %w", native(err))
	}
	known := make([]string, 0, len(held))
	for _, container := range held {
		known = append(known, container.ID)
	}
	return without(traces, known), nil
}

func without(ids, known []string) []string {
	return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(known, id) })
}

// condemned are those that were strays at two looks on end. It is pure.
func condemned(before, now []string) []string {
	return slices.DeleteFunc(slices.Clone(now), func(id string) bool { return !slices.Contains(before, id) })
}

// sweepAway ends one stray, unless it has become an instance.
func (d *Driver) sweepAway(ctx context.Context, c *client.Client, id string) error {
	if !d.hands.sweep(id) {
		return nil
	}
	defer d.hands.swept(id)
	ctx, cancel := context.WithTimeout(ctx, stepWithin)
	defer cancel()
	_, err := c.ContainerService().Get(ctx, id)
	if err = native(err); !errors.Is(err, edge.ErrNotFound) {
		return err
	}
	const why = "it has no container"
	if err := d.settle(ctx, id, why, 0); err != nil {
		return err
	}
	d.freezers.forget(id)
	d.leavePorts(ctx, c, id)
	if err := errors.Join(d.leaveNetworks(ctx, c, id), d.removeFiles(id)); err != nil {
		return err
	}
	d.leaveTenants()
	d.log.Info("leftovers removed", "instance", id, "reason", why)
	return nil
}
