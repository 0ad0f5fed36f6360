package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/runtime/containerd"
)

// Cleared is what Clear has taken from the machine.
type Cleared struct {
	Instances []string `json:"instances"` // by their ids, those made for one task among them
	Images    []string `json:"images"`    // by their names
	Freed     int64    `json:"freed"`     // bytes of images
}

const (
	// clearGrace is how long an instance may take to end by itself. A package manager
	// waits meanwhile, and a person in front of it.
	clearGrace = 10 * time.Second
	// clearAtOnce bounds how many are ended side by side: each has containerd write.
	clearAtOnce = 4
)

// Clear ends all instances of this node's and, if asked to, lets go of its images: for
// when no agent is to come after. It is refused with edge.ErrLocked while an agent runs,
// which would start them again. Volumes and all else in the state folder stay. What could
// not be cleared is an error beside what was.
func Clear(ctx context.Context, c config.Config, alsoImages bool) (Cleared, error) {
	lock, err := lockState(c.Paths.State)
	if err != nil {
		return Cleared{}, edge.WithHint(fmt.Errorf("cannot clear node: %w", err), "an agent would start them again; stop it first: systemctl stop holdfast")
	}
	// An agent may have another state folder, or one that cannot be locked.
	claim, err := claimNamespace(c.Containerd.Address, c.Containerd.Namespace)
	if err != nil {
		return Cleared{}, errors.Join(fmt.Errorf("cannot clear node: %w", err), lock.Close())
	}
	cleared, err := clearAll(ctx, c, alsoImages)
	return cleared, errors.Join(err, claim.Close(), lock.Close())
}

// clearAll is Clear once nobody else is there.
func clearAll(ctx context.Context, c config.Config, alsoImages bool) (cleared Cleared, err error) {
	driver, err := containerd.New(containerd.Options{
		Address: c.Containerd.Address, Namespace: c.Containerd.Namespace, CgroupParent: c.Containerd.CgroupParent,
		StateDir: c.Paths.State, RunDir: c.Paths.Run,
	})
	if err != nil {
		return Cleared{}, err
	}
	if err = driver.Open(); err == nil {
		cleared.Instances, err = clearInstances(ctx, driver)
	}
	if err == nil && alsoImages { // while something runs, its image is needed
		cleared.Images, cleared.Freed, err = clearImages(ctx, driver)
	}
	return cleared, errors.Join(err, driver.Close())
}

// clearInstances ends and removes all there are, and tells which those were.
func clearInstances(ctx context.Context, driver *containerd.Driver) ([]string, error) {
	instances, err := driver.Instances(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot clear instances: %w", err)
	}
	ids, err := driver.Remnants(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot clear instances: %w", err)
	}
	for _, instance := range instances {
		ids = append(ids, instance.ID)
	}
	slices.Sort(ids)
	failed := make([]error, len(ids))
	var ending errgroup.Group
	ending.SetLimit(clearAtOnce)
	for i, id := range ids {
		ending.Go(func() error {
			if failed[i] = driver.Stop(ctx, id, clearGrace); failed[i] == nil {
				failed[i] = driver.Remove(ctx, id)
			}
			return nil
		})
	}
	_ = ending.Wait() // each has its own place for an error
	var gone []string
	for i, id := range ids {
		if failed[i] == nil {
			gone = append(gone, id)
		}
	}
	return gone, errors.Join(failed...)
}

// clearImages removes every image of the namespace.
func clearImages(ctx context.Context, driver *containerd.Driver) (names []string, freed int64, err error) {
	images, err := driver.Images(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot clear images: %w", err)
	}
	var digests []string
	for _, image := range images {
		names, digests = append(names, image.Name), append(digests, image.Digest)
	}
	if freed, err = driver.RemoveImages(ctx, digests); err != nil {
		return nil, 0, err
	}
	return names, freed, nil
}
