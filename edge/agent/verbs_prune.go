package agent

import (
	"context"

	"holdfast/edge"
)

// pruneResult lists the images that went.
type pruneResult struct {
	imagesResult
	Freed int64 `json:"freed"` // bytes, of content and unpacked layers together
	Kept  int   `json:"kept"`  // images that something needs
}

// prune removes the images that nothing on the node needs.
func (v *verbs) prune(ctx context.Context, o order) (any, error) {
	if _, err := argsOf[noArgs](o.Command); err != nil {
		return nil, err
	}
	done, err := v.pruner().Prune(ctx, nil)
	if err != nil {
		return nil, err
	}
	if v.gone != nil {
		v.gone(o.cause(), done.Gone)
	}
	result := &pruneResult{imagesResult: imagesResult{Images: done.Gone}, Freed: done.Freed, Kept: done.Kept}
	if result.Images == nil {
		result.Images = []edge.Image{}
	}
	return result, fitting(result, result.shorten)
}

func (v *verbs) pruner() *pruner {
	return &pruner{
		images: v.images, policies: v.governor.store.Policies, running: v.supervisor.Workloads,
		stocked: v.stocked, taking: v.governor.taking,
	}
}
