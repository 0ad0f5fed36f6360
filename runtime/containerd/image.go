package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"holdfast/edge"
)

// image is what a start must know of an image: all of it follows from the digest
// and never changes.
type image struct {
	name   string
	digest digest.Digest // of what the name points at
	target ocispec.Descriptor
	config ocispec.ImageConfig
	parent string // the snapshot its layers make
}

// imageCache spares a start reading the same small blobs again. It is emptied
// when full: a node runs a handful of images.
type imageCache struct {
	mu    sync.Mutex // guards what follows
	known map[digest.Digest]image
	users map[userKey]account
}

const maxCached = 64

func (i *imageCache) image(target digest.Digest) (image, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	img, ok := i.known[target]
	return img, ok
}

func (i *imageCache) keepImage(img image) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.known == nil || len(i.known) >= maxCached {
		i.known = make(map[digest.Digest]image)
	}
	i.known[img.digest] = img
}

func (i *imageCache) forgetImage(target digest.Digest) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.known, target)
}

// resolve finds an image on the node by name or digest.
func (d *Driver) resolve(ctx context.Context, c *client.Client, ref string) (image, error) {
	record, err := findImage(ctx, c, ref)
	if err != nil {
		return image{}, err
	}
	if img, ok := d.images.image(record.Target.Digest); ok {
		img.name = record.Name
		return img, nil
	}
	img, err := readImage(ctx, c, record)
	if err != nil {
		return image{}, fmt.Errorf("cannot read image %q: %w", ref, err)
	}
	d.images.keepImage(img)
	return img, nil
}

// findImage looks the reference up as it stands, and then as docker would have
// written it out.
func findImage(ctx context.Context, c *client.Client, ref string) (images.Image, error) {
	for _, name := range spellings(ref) {
		record, err := c.ImageService().Get(ctx, name)
		if err == nil {
			return record, nil
		}
		if err = native(err); !errors.Is(err, edge.ErrNotFound) {
			return images.Image{}, fmt.Errorf("cannot look up image %q: %w", ref, err)
		}
	}
	return images.Image{}, edge.WithHint(
		fmt.Errorf("image %q is not on this node: %w", ref, edge.ErrNotFound),
		"import it with: holdfast images import FILE")
}

// spellings lists the names under which a reference may be stored, the exact one
// first. What is stored by digest bears the digest as its name.
func spellings(ref string) []string {
	if _, sum, found := strings.Cut(ref, "@"); found {
		return []string{ref, sum}
	}
	names := []string{ref}
	if last := ref[strings.LastIndex(ref, "/")+1:]; !strings.Contains(last, ":") {
		names = append(names, ref+":latest")
	}
	first, _, hasPath := strings.Cut(ref, "/")
	for _, name := range slices.Clone(names) {
		switch {
		case !hasPath:
			names = append(names, "docker.io/library/"+name)
		case !strings.ContainsAny(first, ".:") && first != "localhost":
			names = append(names, "docker.io/"+name)
		}
	}
	return names
}

// readImage follows a record to the configuration for this platform.
func readImage(ctx context.Context, c *client.Client, record images.Image) (image, error) {
	store := c.ContentStore()
	manifest, err := images.Manifest(ctx, store, record.Target, platforms.Default())
	if err != nil {
		return image{}, missingPlatform(ctx, store, record.Target, err)
	}
	var config ocispec.Image
	if err := readJSON(ctx, store, manifest.Config, &config); err != nil {
		return image{}, err
	}
	return image{
		name:   record.Name,
		digest: record.Target.Digest,
		target: record.Target,
		config: config.Config,
		parent: identity.ChainID(config.RootFS.DiffIDs).String(),
	}, nil
}

// missingPlatform says what an image holds when it holds nothing for us.
func missingPlatform(ctx context.Context, store content.Store, target ocispec.Descriptor, cause error) error {
	if cause = native(cause); !errors.Is(cause, edge.ErrNotFound) {
		return cause
	}
	held, err := images.Platforms(ctx, store, target)
	if err != nil || len(held) == 0 || slices.ContainsFunc(held, platforms.Default().Match) {
		return cause // its content is incomplete, which is another matter
	}
	return wrongPlatform(held)
}

func wrongPlatform(held []ocispec.Platform) error {
	return fmt.Errorf("holds %s, this machine needs %s: %w",
		strings.Join(platformNames(held), ", "), platforms.Format(platforms.DefaultSpec()), edge.ErrWrongPlatform)
}

func platformNames(held []ocispec.Platform) []string {
	var names []string
	for _, platform := range held {
		names = append(names, platforms.Format(platforms.Normalize(platform)))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// maxDocument bounds what is read of a manifest or configuration into memory:
// the same as registries allow.
const maxDocument = 4 << 20

// readJSON decodes a small blob.
func readJSON(ctx context.Context, store content.Provider, desc ocispec.Descriptor, into any) error {
	if desc.Size > maxDocument {
		return fmt.Errorf("blob %s has %d bytes, more than the %d of a document: %w", desc.Digest, desc.Size, maxDocument, edge.ErrInvalid)
	}
	text, err := content.ReadBlob(ctx, store, desc)
	if err != nil {
		return native(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("cannot decode blob %s: %w: %w", desc.Digest, err, edge.ErrInvalid)
	}
	return nil
}

// Images lists what the node holds, each name once.
func (d *Driver) Images(ctx context.Context) ([]edge.Image, error) {
	c, err := d.conn()
	if err != nil {
		return nil, err
	}
	ctx = d.scope(ctx)
	records, err := c.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list images: %w", native(err))
	}
	named := make(map[digest.Digest]bool)
	for _, record := range records {
		if record.Name != record.Target.Digest.String() {
			named[record.Target.Digest] = true
		}
	}
	var list []edge.Image
	for _, record := range records {
		if record.Name == record.Target.Digest.String() && named[record.Target.Digest] {
			continue // the second name that keeps a digest usable
		}
		list = append(list, describeImage(ctx, c, record))
	}
	return list, nil
}

// describeImage sums an image up; a size that cannot be told is 0.
func describeImage(ctx context.Context, c *client.Client, record images.Image) edge.Image {
	described := edge.Image{Name: record.Name, Digest: record.Target.Digest.String(), Imported: record.UpdatedAt}
	if held, err := images.Platforms(ctx, c.ContentStore(), record.Target); err == nil {
		described.Platforms = platformNames(held)
	}
	manifest, err := images.Manifest(ctx, c.ContentStore(), record.Target, platforms.Default())
	if err != nil {
		return described
	}
	described.Size = manifest.Config.Size
	for _, layer := range manifest.Layers {
		described.Size += layer.Size
	}
	return described
}

// unpack makes the image's layers a snapshot unless they are one: an image that
// somebody else imported need not be.
func (d *Driver) unpack(ctx context.Context, c *client.Client, img image) error {
	_, err := c.SnapshotService(d.opts.Snapshotter).Stat(ctx, img.parent)
	if err = native(err); !errors.Is(err, edge.ErrNotFound) {
		return err
	}
	record := images.Image{Name: img.name, Target: img.target}
	if err := client.NewImage(c, record).Unpack(ctx, d.opts.Snapshotter); err != nil {
		return fmt.Errorf("cannot unpack image %q: %w", img.name, native(err))
	}
	return nil
}
