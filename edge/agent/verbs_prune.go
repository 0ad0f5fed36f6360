package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"holdfast/edge"
)

// pruneResult lists the images that went.
type pruneResult struct {
	imagesResult
	Freed int64 `json:"freed"` // bytes, of content and unpacked layers together
	Kept  int   `json:"kept"`  // images that something needs
}

// prune removes the images that nothing on the node needs. No policy comes into force
// meanwhile, so that none finds the images gone which it was just seen to have.
func (v *verbs) prune(ctx context.Context, o order) (any, error) {
	if _, err := argsOf[noArgs](o.Command); err != nil {
		return nil, err
	}
	if err := v.governor.taking.enter(ctx); err != nil {
		return nil, fmt.Errorf("cannot prune images: %w", err)
	}
	defer v.governor.taking.leave()
	needed, err := v.needed(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot tell which images are needed: %w", err)
	}
	held, err := v.images.Images(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot prune images: %w", err)
	}
	// One image may have several names. If any is needed, all stay.
	kept := map[string]bool{}
	for _, image := range held {
		kept[image.Digest] = kept[image.Digest] || needed.has(image)
	}
	result := &pruneResult{imagesResult: imagesResult{Images: []edge.Image{}}}
	var digests []string
	for _, image := range held {
		if kept[image.Digest] {
			result.Kept++
			continue
		}
		result.Images = append(result.Images, image)
		if !slices.Contains(digests, image.Digest) {
			digests = append(digests, image.Digest)
		}
	}
	if len(digests) == 0 {
		return result, nil
	}
	o.progress(edge.Progress{Total: int64(len(digests)), Unit: "images"})
	if result.Freed, err = v.images.RemoveImages(ctx, digests); err != nil {
		return nil, err
	}
	return result, fitting(result, result.shorten)
}

// references are images that are needed, by reference or digest.
type references []string

// needed gathers the images of every policy that may come into force without being
// sent again, of everything that is to run, and of all instances there are.
func (v *verbs) needed(ctx context.Context) (references, error) {
	policies, err := v.governor.store.Policies(ctx)
	if err != nil {
		return nil, err
	}
	needed, err := v.images.Used(ctx)
	if err != nil {
		return nil, err
	}
	for _, policy := range policies {
		for _, w := range policy.Workloads { // also those without replicas: a command may start them
			needed = append(needed, w.Image)
		}
	}
	for _, view := range v.supervisor.Workloads() {
		needed = append(needed, view.Workload.Image)
		for _, instance := range view.Instances {
			needed = append(needed, instance.Digest, instance.Image)
		}
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
