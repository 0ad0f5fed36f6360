package containerd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"holdfast/edge"
)

// Pull fetches an image by its digest, over HTTPS unless the registry is on the loopback
// or was said to do without (Registries). The image bears its digest for a name, under
// which the same reference is started.
//
// Where the way to the registry breaks off it is tried again, as long as that brings
// something. Where the disk has no room for the image nothing of it is kept.
func (d *Driver) Pull(ctx context.Context, ref string, told func(done, total int64)) (edge.Image, int64, error) {
	if told == nil {
		told = func(int64, int64) {}
	}
	image, fetched, err := d.pull(d.scope(ctx), ref, told)
	if err != nil {
		return edge.Image{}, fetched, roomless(fmt.Errorf("cannot pull image %q: %w", ref, err))
	}
	return image, fetched, nil
}

func (d *Driver) pull(ctx context.Context, ref string, told func(done, total int64)) (edge.Image, int64, error) {
	name, sum, err := pinnedName(ref)
	if err != nil {
		return edge.Image{}, 0, err
	}
	c, err := d.conn()
	if err != nil {
		return edge.Image{}, 0, err
	}
	end, err := d.pulls.begin(ctx, sum)
	if err != nil {
		return edge.Image{}, 0, err
	}
	defer end()
	if held, err := d.held(ctx, c, sum); err != nil || held != nil {
		if err != nil {
			return edge.Image{}, 0, err
		}
		return *held, 0, nil
	}
	sources, err := d.reach(name)
	if err != nil {
		return edge.Image{}, 0, err
	}
	if err := d.room(0); err != nil {
		return edge.Image{}, 0, err
	}
	ours, err := ensureLease(ctx, c)
	if err != nil {
		return edge.Image{}, 0, err
	}
	leased, err := pullLease(ctx, c, sum)
	if err != nil {
		return edge.Image{}, 0, err
	}
	p := &pulling{client: c, sources: sources, told: told, room: d.room, pause: d.opts.PullPause}
	image, err := d.receive(leased, p, ours, sum)
	return image, p.fetched, errors.Join(err, p.end(ctx, sum, roomless(err)))
}

// pinnedName is the repository and the digest of a reference, the host of its registry
// written out.
func pinnedName(ref string) (repository string, sum digest.Digest, err error) {
	repository, pin, found := strings.Cut(ref, "@")
	sum = digest.Digest(pin)
	if !found || sum.Validate() != nil || sum.Algorithm() != digest.Canonical {
		return "", "", edge.WithHint(fmt.Errorf("it is not named by a sha256 digest: %w", edge.ErrInvalid),
			"name it as registry.example/path@sha256:…")
	}
	// The digest alone counts. A tag beside it is for people.
	if colon := strings.LastIndexByte(repository, ':'); colon > strings.LastIndexByte(repository, '/') {
		repository = repository[:colon]
	}
	host, _, hasPath := strings.Cut(repository, "/")
	switch {
	case !hasPath:
		repository = "docker.io/library/" + repository
	case !strings.ContainsAny(host, ".:") && host != "localhost":
		repository = "docker.io/" + repository
	}
	if !soundRepository(repository) {
		return "", "", fmt.Errorf("it names no repository of a registry: %w", edge.ErrInvalid)
	}
	return repository, sum, nil
}

// soundRepository tells whether a name is what registries have: a host, and lower-case
// words between slashes.
func soundRepository(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789.-_"
	host, path, _ := strings.Cut(name, "/")
	if u, err := url.Parse("//" + host); err != nil || u.Hostname() == "" || u.User != nil || u.Host != host {
		return false
	}
	for word := range strings.SplitSeq(path, "/") {
		if strings.Trim(word, letters) != "" || strings.Trim(word, ".") == "" {
			return false
		}
	}
	return true
}

// held is the image when all of it is on the node; nil when it is not.
func (d *Driver) held(ctx context.Context, c *client.Client, sum digest.Digest) (*edge.Image, error) {
	record, err := c.ImageService().Get(ctx, sum.String())
	if err = native(err); errors.Is(err, edge.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot look up image %s: %w", sum, err)
	}
	found, err := readImage(ctx, c, record)
	if err == nil {
		err = d.unpack(ctx, c, found)
	}
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, edge.ErrUnavailable):
		return nil, err
	case err != nil:
		return nil, nil // something of it is lost, and is fetched again
	}
	described := describeImage(ctx, c, record)
	return &described, nil
}

// pullLeaseWithin is how long what a broken pull has fetched lies about.
const pullLeaseWithin = 24 * time.Hour

func pullLeaseID(encoded string) string { return leaseID + "-pull-" + encoded }

// pullLease holds the content of one pull, and what an earlier one has fetched of it.
func pullLease(ctx context.Context, c *client.Client, sum digest.Digest) (context.Context, error) {
	_, err := c.LeasesService().Create(ctx, leases.WithID(pullLeaseID(sum.Encoded())), leases.WithExpiration(pullLeaseWithin))
	if err = native(err); err != nil && !errors.Is(err, edge.ErrExists) {
		return nil, fmt.Errorf("cannot create lease: %w", err)
	}
	return leases.WithLease(ctx, pullLeaseID(sum.Encoded())), nil
}

// pulling is one pull under way.
type pulling struct {
	client   *client.Client
	sources  []*registry // the origin is the last
	registry *registry   // that is asked now
	told     func(done, total int64)
	room     func(need int64) error
	pause    time.Duration

	fetched     int64 // from the network
	gained      int64 // of that, what a next try need not fetch
	done, total int64 // of the layers
	shown       int64 // the most of done that was told
}

// end lets go of what a pull has fetched, unless that is of use to the next.
func (p *pulling) end(ctx context.Context, sum digest.Digest, failed error) error {
	useless := errors.Is(failed, edge.ErrInvalid) || errors.Is(failed, edge.ErrWrongPlatform) || errors.Is(failed, edge.ErrNoRoom)
	if failed != nil && !useless && p.fetched > 0 {
		return nil
	}
	return release(ctx, p.client, leases.Lease{ID: pullLeaseID(sum.Encoded())})
}

// release deletes a lease and waits until what it alone held is gone.
func release(ctx context.Context, c *client.Client, lease leases.Lease) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepWithin)
	defer cancel()
	if err := unlessGone(native(c.LeasesService().Delete(ctx, lease, leases.SynchronousDelete))); err != nil {
		return fmt.Errorf("cannot delete lease: %w", err)
	}
	return nil
}

// receive fetches the documents of an image, looks whether they are for this machine,
// then its layers, and makes it ours.
func (d *Driver) receive(ctx context.Context, p *pulling, ours leases.Lease, sum digest.Digest) (edge.Image, error) {
	defer p.sources[0].close() // they share their connections
	target, err := p.insist(ctx, sum)
	if err != nil {
		return edge.Image{}, err
	}
	adopted, err := d.adopt(ctx, p.client, ours, target)
	if err != nil {
		return edge.Image{}, err
	}
	if len(adopted) == 0 {
		return edge.Image{}, fmt.Errorf("it holds nothing for this machine: %w", edge.ErrWrongPlatform)
	}
	return adopted[0], nil
}

func (p *pulling) fetch(ctx context.Context, sum digest.Digest) (target ocispec.Descriptor, err error) {
	p.done, p.total = 0, 0
	target = ocispec.Descriptor{Digest: sum}
	manifest, err := p.documents(ctx, &target, 0)
	if err != nil {
		return target, err
	}
	for _, layer := range manifest.Layers {
		p.total += max(layer.Size, 0)
	}
	if err := p.fits(ctx, manifest.Layers); err != nil {
		return target, err
	}
	for _, layer := range manifest.Layers {
		before := p.done
		if err := p.blob(ctx, layer, p.tell); err != nil {
			return target, err
		}
		p.done = before + layer.Size // also where it was there already
		p.tell(0)
	}
	return target, nil
}

// fits tells whether there is room for layers, before any is fetched. Unpacked they are
// not smaller than packed, which is as much as can be known.
func (p *pulling) fits(ctx context.Context, layers []ocispec.Descriptor) error {
	var need int64
	for _, layer := range layers {
		need += max(layer.Size, 0)
		if _, err := p.client.ContentStore().Info(ctx, layer.Digest); err != nil {
			need += max(layer.Size, 0)
		}
	}
	return p.room(need)
}

// tell shows what there is. After a try that broke off it is silent until there is more
// than there was.
func (p *pulling) tell(n int64) {
	p.done += n
	if p.done >= p.shown {
		p.shown = p.done
		p.told(p.done, p.total)
	}
}

// documents fetches what describes an image, down to the manifest for this machine. It
// fills in what kind of document desc is.
func (p *pulling) documents(ctx context.Context, desc *ocispec.Descriptor, depth int) (manifest ocispec.Manifest, err error) {
	const deepest = 4 // as in an archive
	if depth > deepest {
		return manifest, fmt.Errorf("it nests indexes more than %d deep: %w", deepest, edge.ErrInvalid)
	}
	text, err := p.document(ctx, desc)
	if err != nil {
		return manifest, err
	}
	if !images.IsIndexType(desc.MediaType) {
		if err := decodeDocument(text, *desc, &manifest); err != nil {
			return manifest, err
		}
		return manifest, p.config(ctx, manifest)
	}
	var index ocispec.Index
	if err := decodeDocument(text, *desc, &index); err != nil {
		return manifest, err
	}
	child, err := fittest(index.Manifests)
	if err != nil {
		return manifest, err
	}
	return p.documents(ctx, &child, depth+1)
}

// config fetches the configuration, and holds the manifest and the machine against it.
func (p *pulling) config(ctx context.Context, manifest ocispec.Manifest) error {
	if !images.IsConfigType(manifest.Config.MediaType) {
		return fmt.Errorf("it is an artifact of type %.80q, which is not a container image: %w", manifest.Config.MediaType, edge.ErrInvalid)
	}
	if manifest.Config.Size > maxDocument {
		return fmt.Errorf("its configuration has %d bytes, more than %d: %w", manifest.Config.Size, maxDocument, edge.ErrInvalid)
	}
	if err := p.blob(ctx, manifest.Config, func(int64) {}); err != nil {
		return err
	}
	var config ocispec.Image
	if err := readJSON(ctx, p.client.ContentStore(), manifest.Config, &config); err != nil {
		return err
	}
	if platform := platforms.Normalize(config.Platform); !platforms.Default().Match(platform) {
		return wrongPlatform([]ocispec.Platform{platform})
	}
	if len(manifest.Layers) != len(config.RootFS.DiffIDs) {
		return fmt.Errorf("it has %d layers but tells of %d: %w", len(manifest.Layers), len(config.RootFS.DiffIDs), edge.ErrInvalid)
	}
	return nil
}

// fittest picks what an index has for this machine.
func fittest(children []ocispec.Descriptor) (ocispec.Descriptor, error) {
	matcher := platforms.Default()
	var others []ocispec.Platform
	var fit, unstated []ocispec.Descriptor
	for _, child := range children {
		switch {
		case isAttestation(child):
		case child.Platform == nil:
			unstated = append(unstated, child)
		case matcher.Match(*child.Platform):
			fit = append(fit, child)
		default:
			others = append(others, *child.Platform)
		}
	}
	if len(fit) == 0 && len(unstated) > 0 {
		return unstated[0], nil // its configuration will say
	}
	if len(fit) == 0 {
		return ocispec.Descriptor{}, wrongPlatform(others)
	}
	return slices.MinFunc(fit, func(a, b ocispec.Descriptor) int {
		if matcher.Less(*a.Platform, *b.Platform) {
			return -1
		}
		return 1
	}), nil
}
