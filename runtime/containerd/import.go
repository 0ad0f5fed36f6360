package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"holdfast/edge"
)

// Import reads an OCI or docker archive. It is looked through from start to end
// before the daemon hears of it, so that a bad one costs no flash; a source that
// cannot be read twice is kept in a file for as long as it takes.
//
// Every image also gets its digest as a name. A tag that is imported again moves
// to the new content, and the old stays usable by digest.
func (d *Driver) Import(ctx context.Context, source io.Reader) ([]edge.Image, error) {
	imported, err := d.importArchive(d.scope(ctx), source)
	if err != nil {
		return nil, roomless(fmt.Errorf("cannot import image: %w", err))
	}
	return imported, nil
}

func (d *Driver) importArchive(ctx context.Context, source io.Reader) ([]edge.Image, error) {
	c, err := d.conn()
	if err != nil {
		return nil, err
	}
	twice, done, err := d.rereadable(ctx, source)
	if err != nil {
		return nil, err
	}
	defer done()
	found, err := survey(ctx, twice)
	if err != nil {
		return nil, err
	}
	foreign, err := found.checkImages()
	if err != nil {
		return nil, err
	}
	if len(foreign) > 0 {
		d.log.Debug("content for other platforms left out", "platforms", strings.Join(platformNames(foreign), ","))
	}
	if _, err := twice.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("cannot read archive again: %w", err)
	}
	// Stored, and unpacked not smaller than stored.
	if err := d.room(2 * found.bytes); err != nil {
		return nil, err
	}
	return d.take(ctx, c, twice)
}

// rereadable returns the source itself when it is a file, or a copy that is one.
func (d *Driver) rereadable(ctx context.Context, source io.Reader) (io.ReadSeeker, func(), error) {
	if seeker, ok := source.(io.ReadSeeker); ok {
		if _, err := seeker.Seek(0, io.SeekStart); err == nil {
			return seeker, func() {}, nil
		}
	}
	file, err := os.CreateTemp(d.spoolDir(), "archive-*")
	if err != nil {
		return nil, nil, fmt.Errorf("cannot keep archive: %w", err)
	}
	// Without a name it cannot outlive the agent.
	done := func() { file.Close() }
	err = os.Remove(file.Name())
	if err == nil {
		_, err = io.Copy(file, &roomyReader{source: &contextReader{ctx: ctx, source: source}, room: d.room})
	}
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		done()
		return nil, nil, fmt.Errorf("cannot keep archive: %w", err)
	}
	return file, done, nil
}

// importLease bounds how long content of an import that was cut off lies about.
const importLease = time.Hour

// take hands a checked archive to the daemon. All its content is held by a lease
// of the import's own, so that whatever comes to nothing is collected with it.
func (d *Driver) take(ctx context.Context, c *client.Client, source io.Reader) (_ []edge.Image, err error) {
	ours, err := ensureLease(ctx, c)
	if err != nil {
		return nil, err
	}
	lease, err := c.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(importLease))
	if err != nil {
		return nil, fmt.Errorf("cannot create lease: %w", native(err))
	}
	held := leases.WithLease(ctx, lease.ID)
	defer func() {
		if failed := release(ctx, c, lease); err == nil {
			err = failed
		}
	}()
	stream, err := decompress(&roomyReader{source: &contextReader{ctx: ctx, source: source}, room: d.room})
	if err != nil {
		return nil, fmt.Errorf("cannot read archive again: %w", err)
	}
	defer stream.Close()
	desc, err := archive.ImportIndex(held, c.ContentStore(), stream)
	if err != nil {
		return nil, fmt.Errorf("cannot store archive: %w", native(err))
	}
	var index ocispec.Index
	if err := readJSON(held, c.ContentStore(), desc, &index); err != nil {
		return nil, err
	}
	var imported []edge.Image
	for _, target := range index.Manifests {
		list, err := d.adopt(held, c, ours, target)
		if err != nil {
			return nil, err
		}
		imported = append(imported, list...)
	}
	return slices.CompactFunc(imported, func(a, b edge.Image) bool { return a.Name == b.Name }), nil
}

// adopt makes one image of an archive ours, unless it holds nothing for this
// platform: its layers unpacked, its content leased, and only then its names.
func (d *Driver) adopt(ctx context.Context, c *client.Client, ours leases.Lease, target ocispec.Descriptor) ([]edge.Image, error) {
	fits, err := linkContent(ctx, c, target)
	if err != nil || !fits {
		return nil, err
	}
	record := images.Image{Name: target.Digest.String(), Target: target}
	if err := client.NewImage(c, record).Unpack(ctx, d.opts.Snapshotter); err != nil {
		return nil, fmt.Errorf("cannot unpack image %s: %w", target.Digest, layerError(native(err)))
	}
	resource := leases.Resource{ID: target.Digest.String(), Type: "content"}
	if err := native(c.LeasesService().AddResource(ctx, ours, resource)); err != nil && !errors.Is(err, edge.ErrExists) {
		return nil, fmt.Errorf("cannot lease image %s: %w", target.Digest, err)
	}
	names := namesOf(target)
	var last images.Image
	for _, name := range names {
		if last, err = nameImage(ctx, c, name, target); err != nil {
			return nil, fmt.Errorf("cannot name image %q: %w", name, err)
		}
	}
	return []edge.Image{describeImage(ctx, c, last)}, nil
}

// linkContent tells the daemon's garbage collector which blobs an image's others
// need, for this platform alone.
func linkContent(ctx context.Context, c *client.Client, target ocispec.Descriptor) (fits bool, err error) {
	store := c.ContentStore()
	matcher := platforms.Default()
	if _, err := images.Manifest(ctx, store, target, matcher); err != nil {
		if errdefs.IsNotFound(err) {
			return false, nil // the survey found another image in the archive that fits
		}
		return false, native(err)
	}
	children := images.LimitManifests(onlyOurs(images.ChildrenHandler(store), matcher), matcher, 1)
	if err := images.Walk(ctx, images.SetChildrenLabels(store, children), target); err != nil {
		return false, fmt.Errorf("cannot link content of image %s: %w", target.Digest, native(err))
	}
	return true, nil
}

// onlyOurs leaves out children for other platforms. Those that do not say are kept
// only where none says that it is ours: they are told apart by their configuration,
// later and one by one.
func onlyOurs(children images.HandlerFunc, matcher platforms.Matcher) images.HandlerFunc {
	return func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		all, err := children(ctx, desc)
		if err != nil || !images.IsIndexType(desc.MediaType) {
			return all, err
		}
		stated := slices.DeleteFunc(slices.Clone(all), func(child ocispec.Descriptor) bool {
			return child.Platform == nil || !matcher.Match(*child.Platform)
		})
		if len(stated) > 0 {
			return stated, nil
		}
		return slices.DeleteFunc(all, func(child ocispec.Descriptor) bool { return child.Platform != nil }), nil
	}
}

// nameImage makes name point at target.
func nameImage(ctx context.Context, c *client.Client, name string, target ocispec.Descriptor) (images.Image, error) {
	record := images.Image{Name: name, Target: target}
	updated, err := c.ImageService().Update(ctx, record, "target")
	if err == nil {
		return updated, nil
	}
	if err = native(err); !errors.Is(err, edge.ErrNotFound) {
		return images.Image{}, err
	}
	created, err := c.ImageService().Create(ctx, record)
	return created, native(err)
}
