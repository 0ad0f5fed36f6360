package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/edge"
	"holdfast/edge/config"
)

// supply gets the images of a policy, from the folder on the node and then, if that is
// allowed, from their registries, and says what is missing then. It is called while
// nobody else brings a policy, or for the policy in force.
func (a *Agent) supply(ctx context.Context, policy *edge.Policy) error {
	err := a.stock.Supply(ctx, policy)
	if a.makeRoomFor(ctx, policy, err) {
		err = a.stock.Supply(ctx, policy)
	}
	if !errors.Is(err, edge.ErrNotFound) || a.config.Load().Images.Fetch != config.FetchForPolicy {
		return err
	}
	held, listed := a.listImages(ctx)
	if listed != nil {
		return listed
	}
	var failed []string
	for _, ref := range wantedImages(policy, held) {
		if err := a.fetch(ctx, policy, ref); err != nil {
			failed = append(failed, err.Error())
		}
	}
	if held, listed = a.listImages(ctx); listed != nil {
		return listed
	}
	if missing := missingImages(policy, held); missing != nil && len(failed) > 0 {
		// Not as what they are: a registry that is away is no reason to wait with a policy.
		return edge.WithHint(fmt.Errorf("%w; %s", missing, strings.Join(failed, "; ")), edge.HintOf(missing))
	} else if missing != nil {
		return missing
	}
	return nil
}

// fetch gets one image of a policy from its registry.
func (a *Agent) fetch(ctx context.Context, policy *edge.Policy, ref string) error {
	if !policy.Security.Images.Allows(ref) {
		return fmt.Errorf("cannot fetch image %q: it is none of security.images.allow", ref)
	}
	image, _, err := a.driver.Pull(ctx, ref, nil)
	if a.makeRoomFor(ctx, policy, err) {
		image, _, err = a.driver.Pull(ctx, ref, nil)
	}
	if err == nil {
		images{agent: a, cause: "policy"}.tell([]edge.Image{image})
	}
	return err
}

// makeRoomFor removes images for the sake of a policy that is about to come into force,
// and of which no image goes. It tells whether another try is worth it.
func (a *Agent) makeRoomFor(ctx context.Context, policy *edge.Policy, err error) bool {
	if !errors.Is(err, edge.ErrNoRoom) {
		return false
	}
	var own references
	for _, w := range policy.Workloads {
		own = append(own, w.Image)
	}
	done, err := a.newPruner().inTurn(ctx, func(i edge.Image) bool { return own.has(i) || isFresh(i) })
	if err != nil {
		a.options.Log.Warn("images-not-pruned", "error", err.Error())
	}
	a.tellGone("disk pressure", done.Gone)
	return done.Freed > 0
}

// wantedImages lists what a policy wants to run and the node does not have, each once.
func wantedImages(policy *edge.Policy, held []edge.Image) (refs []string) {
	for _, w := range policy.Workloads {
		_, digest, _ := strings.Cut(w.Image, "@")
		there := slices.ContainsFunc(held, func(i edge.Image) bool { return i.Digest == digest })
		if w.Replicas > 0 && !there && !slices.Contains(refs, w.Image) {
			refs = append(refs, w.Image)
		}
	}
	return refs
}
