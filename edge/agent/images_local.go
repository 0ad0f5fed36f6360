package agent

import (
	"cmp"
	"context"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// Pull gets an image from its registry for somebody on the machine, by the same rules as
// for the fleet.
func (i admitImages) Pull(ctx context.Context, ref string, told func(done, total int64)) (edge.Image, int64, error) {
	if i.agent.trust.Governs() {
		if err := allowsImage(i.agent.policy(), ref); err != nil {
			return edge.Image{}, 0, err
		}
	}
	return governedImages{i.agent}.Pull(ctx, cmp.Or(edge.CallerOf(ctx), i.cause), ref, told)
}

// Prune removes the images that nothing on the node needs.
func (i admitImages) Prune(ctx context.Context) (localapi.Pruned, error) {
	done, err := i.agent.newPruner().Prune(ctx, nil)
	i.agent.tellGone(cmp.Or(edge.CallerOf(ctx), i.cause), done.Gone)
	return localapi.Pruned{Gone: done.Gone, Freed: done.Freed, Kept: done.Kept}, err
}

// furnish imports from the folder of images what a node wants that no policy governs, each
// time containerd is back or something else is wanted, until ctx ends.
func (a *Agent) furnish(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wanting:
		}
		var wanted []string
		for _, view := range a.supervisor.Workloads() {
			if view.Workload.Replicas > 0 {
				wanted = append(wanted, view.Workload.Image)
			}
		}
		if err := a.stock.Furnish(ctx, wanted); err != nil && ctx.Err() == nil {
			a.options.Log.Warn("images-missing", "error", err.Error())
		}
	}
}

// want has the folder of images looked through on a node that no policy governs.
func (a *Agent) want() {
	select {
	case a.wanting <- struct{}{}:
	default: // it is about to be
	}
}
