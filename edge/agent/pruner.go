package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"holdfast/edge"
)

// pruner removes the images that nothing on the node needs. No policy comes into force
// meanwhile, so that none finds the images gone which it was just seen to have.
type pruner struct {
	images   commandImages
	policies func(context.Context) ([]*edge.Policy, error) // that may come into force without being sent again; nil: none governs
	running  func() []edge.WorkloadView
	stocked  func(context.Context) ([]string, error) // what the folder of images holds, by name or digest; nil: there is none
	taking   turn
}

// pruned is what became of the images there were.
type pruned struct {
	Gone  []edge.Image
	Freed int64 // bytes, of content and unpacked layers together
	Kept  int
}

// Prune removes what is not needed, but for what spare wants kept; a nil spare wants
// nothing.
func (p *pruner) Prune(ctx context.Context, spare func(edge.Image) bool) (pruned, error) {
	if err := p.taking.enter(ctx); err != nil {
		return pruned{}, fmt.Errorf("cannot prune images: %w", err)
	}
	defer p.taking.leave()
	return p.inTurn(ctx, spare)
}

// inTurn is Prune for whoever has the turn.
func (p *pruner) inTurn(ctx context.Context, spare func(edge.Image) bool) (result pruned, err error) {
	needed, err := p.needed(ctx)
	if err != nil {
		return pruned{}, fmt.Errorf("cannot tell which images are needed: %w", err)
	}
	held, err := p.images.Images(ctx)
	if err != nil {
		return pruned{}, fmt.Errorf("cannot prune images: %w", err)
	}
	// One image may have several names. If any is needed, all stay.
	kept := map[string]bool{}
	for _, image := range held {
		kept[image.Digest] = kept[image.Digest] || needed.has(image) || spare != nil && spare(image)
	}
	var digests []string
	for _, image := range held {
		if kept[image.Digest] {
			result.Kept++
			continue
		}
		result.Gone = append(result.Gone, image)
		if !slices.Contains(digests, image.Digest) {
			digests = append(digests, image.Digest)
		}
	}
	result.Freed, err = p.images.RemoveImages(ctx, digests) // with none, what broken pulls have left
	return result, err
}

// references are images that are needed, by reference or digest.
type references []string

// needed gathers the images of every policy that may come into force without being
// sent again, of everything that is to run or may run again, of all instances there are, and what lies in
// the folder of images.
func (p *pruner) needed(ctx context.Context) (needed references, err error) {
	if needed, err = p.images.Used(ctx); err != nil {
		return nil, err
	}
	var policies []*edge.Policy
	if p.policies != nil {
		if policies, err = p.policies(ctx); err != nil {
			return nil, err
		}
	}
	for _, policy := range policies {
		for _, w := range policy.Workloads { // also those without replicas: a command may start them
			needed = append(needed, w.Image)
		}
	}
	for _, view := range p.running() {
		needed = append(needed, view.Workload.Image)
		if u := view.Update; u != nil { // what it may go back to, and what may be tried again
			needed = append(needed, u.Image, u.GoodImage)
		}
		for _, instance := range view.Instances {
			needed = append(needed, instance.Digest, instance.Image)
		}
	}
	if p.stocked != nil {
		stocked, err := p.stocked(ctx)
		if err != nil {
			return nil, err
		}
		needed = append(needed, stocked...)
	}
	return needed, nil
}

// has tells whether an image is needed. A name without a digest may be written shorter
// than the store has it: in doubt the image stays.
func (r references) has(image edge.Image) bool {
	return slices.ContainsFunc(r, func(ref string) bool {
		name, digest, pinned := strings.Cut(ref, "@")
		switch {
		case ref == "":
			return false
		case ref == image.Digest, ref == image.Name, pinned && digest == image.Digest:
			return true
		case pinned:
			return false
		}
		return strings.HasSuffix(image.Name, "/"+name) || strings.HasSuffix(image.Name, "/"+name+":latest") || image.Name == name+":latest"
	})
}

// newPruner makes one for whoever acts for the node itself.
func (a *Agent) newPruner() *pruner {
	p := &pruner{
		images: governedImages{a}, running: a.supervisor.Workloads, stocked: a.stock.Holds, taking: newTurn(),
	}
	if a.trust.Governs() {
		p.policies = a.policiesKept
	}
	if a.governor != nil {
		p.taking = a.governor.taking
	}
	return p
}

// tellGone makes events of images that were removed.
func (a *Agent) tellGone(cause string, gone []edge.Image) {
	for _, image := range gone {
		a.chronicle.Add(edge.Event{
			Kind: edge.EventImageRemoved, Subject: image.Name, Cause: cause,
			Facts: map[string]string{"digest": image.Digest},
		})
	}
}

// policiesKept are the policies that say what is needed. A node that is to be governed and
// knows none cannot tell.
func (a *Agent) policiesKept(ctx context.Context) ([]*edge.Policy, error) {
	if a.governor == nil || a.governor.store.Snapshot().Policy == nil {
		return nil, edge.WithHint(fmt.Errorf("no policy is in force that could say so: %w", edge.ErrUnavailable), "apply one first")
	}
	return a.governor.store.Policies(ctx)
}
