package containerd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/go-digest"
)

// RemoveImages takes images from the store and lets the daemon collect what nothing
// needs any more: not what another image shares, nor what an instance was made from.
// What pulls have left that broke off goes too.
func (d *Driver) RemoveImages(ctx context.Context, digests []string) (freed int64, err error) {
	freed, err = d.removeImages(d.scope(ctx), digests)
	if err != nil {
		return freed, fmt.Errorf("cannot remove images: %w", err)
	}
	return freed, nil
}

func (d *Driver) removeImages(ctx context.Context, digests []string) (freed int64, err error) {
	c, err := d.conn()
	if err != nil {
		return 0, err
	}
	before, err := d.stored(ctx, c)
	if err != nil {
		return 0, err
	}
	records, err := c.ImageService().List(ctx)
	if err != nil {
		return 0, fmt.Errorf("cannot list images: %w", native(err))
	}
	var failed []error
	for _, record := range records {
		if slices.Contains(digests, record.Target.Digest.String()) {
			if err := unlessGone(native(c.ImageService().Delete(ctx, record.Name))); err != nil {
				failed = append(failed, fmt.Errorf("cannot delete name %q: %w", record.Name, err))
			}
		}
	}
	for _, sum := range digests {
		resource := leases.Resource{ID: sum, Type: "content"}
		if err := unlessGone(native(c.LeasesService().DeleteResource(ctx, leases.Lease{ID: leaseID}, resource))); err != nil {
			failed = append(failed, fmt.Errorf("cannot release %q: %w", sum, err))
		}
		d.images.forgetImage(digest.Digest(sum))
	}
	if err := d.pulls.dropBroken(ctx, c); err != nil {
		failed = append(failed, err)
	}
	if err := collect(ctx, c); err != nil {
		return 0, errors.Join(append(failed, err)...)
	}
	after, err := d.stored(ctx, c)
	if err != nil {
		return 0, errors.Join(append(failed, err)...)
	}
	return max(0, before-after), errors.Join(failed...)
}

// collect has the daemon look for what nothing needs, and waits until it has. It does
// when a lease is deleted.
func collect(ctx context.Context, c *client.Client) error {
	lease, err := c.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(importLease))
	if err == nil {
		err = c.LeasesService().Delete(ctx, lease, leases.SynchronousDelete)
	}
	if err != nil {
		return fmt.Errorf("cannot collect what is not needed: %w", native(err))
	}
	return nil
}

// stored is how many bytes content and layers take.
func (d *Driver) stored(ctx context.Context, c *client.Client) (size int64, err error) {
	err = c.ContentStore().Walk(ctx, func(info content.Info) error {
		size += info.Size
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("cannot measure content: %w", native(err))
	}
	snapshotter := c.SnapshotService(d.opts.Snapshotter)
	err = snapshotter.Walk(ctx, func(ctx context.Context, info snapshots.Info) error {
		if info.Kind != snapshots.KindCommitted {
			return nil // an instance's own
		}
		usage, err := snapshotter.Usage(ctx, info.Name)
		size += usage.Size
		return unlessGone(native(err))
	})
	if err != nil {
		return 0, fmt.Errorf("cannot measure layers: %w", native(err))
	}
	return size, nil
}
