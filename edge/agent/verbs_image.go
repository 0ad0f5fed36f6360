package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"holdfast/edge"
)

// commandImages is the image store as commands reach it, cause being who asks.
type commandImages interface {
	Images(ctx context.Context) ([]edge.Image, error)
	Import(ctx context.Context, cause string, archive io.Reader) ([]edge.Image, error)
	Pull(ctx context.Context, cause, ref string, told func(done, total int64)) (image edge.Image, fetched int64, err error)
	RemoveImages(ctx context.Context, digests []string) (freed int64, err error)
	// Used lists the digests of the images that instances were made from.
	Used(ctx context.Context) ([]string, error)
}

// governedImages lets images in only while the policy lets new ones in.
type governedImages struct{ agent *Agent }

var _ commandImages = governedImages{}

// Images lists what the node holds.
func (g governedImages) Images(ctx context.Context) ([]edge.Image, error) {
	return g.agent.listImages(ctx)
}

// Import reads an archive into the store.
func (g governedImages) Import(ctx context.Context, cause string, archive io.Reader) ([]edge.Image, error) {
	return admitImages{images{g.agent.driver, g.agent, cause}}.Import(ctx, archive)
}

// Pull fetches an image from its registry, if the node has not got it.
func (g governedImages) Pull(ctx context.Context, cause, ref string, told func(done, total int64)) (edge.Image, int64, error) {
	if err := g.agent.mayImport(); err != nil {
		return edge.Image{}, 0, err
	}
	image, fetched, err := g.agent.driver.Pull(ctx, ref, told)
	if g.agent.pressure.makeRoom(ctx, err) {
		image, fetched, err = g.agent.driver.Pull(ctx, ref, told)
	}
	if err == nil && fetched > 0 {
		images{agent: g.agent, cause: cause}.tell([]edge.Image{image})
	}
	return image, fetched, err
}

// RemoveImages takes images from the store.
func (g governedImages) RemoveImages(ctx context.Context, digests []string) (int64, error) {
	return g.agent.driver.RemoveImages(ctx, digests)
}

// Used lists the digests of the images that instances were made from.
func (g governedImages) Used(ctx context.Context) (digests []string, err error) {
	instances, err := g.agent.driver.Instances(ctx)
	for _, instance := range instances {
		digests = append(digests, instance.Digest)
	}
	return digests, err
}

// imageFolder holds the images that came with the node or were put there since.
func (a *Agent) imageFolder() string { return filepath.Join(a.config.Load().Paths.State, "images") }

// imagesResult lists images.
type imagesResult struct {
	Images    []edge.Image `json:"images"`
	Truncated bool         `json:"truncated,omitempty"`
}

// shorten leaves the last images out.
func (r *imagesResult) shorten() bool {
	r.Truncated = true
	r.Images = r.Images[:len(r.Images)*7/8]
	return len(r.Images) > 0
}

// pullResult is an image, and how much of it came from the network.
type pullResult struct {
	Image   edge.Image `json:"image"`
	Fetched int64      `json:"fetched"` // bytes; 0: the node had it
}

// pull gets an image by its digest from its registry.
func (v *verbs) pull(ctx context.Context, o order) (any, error) {
	args, err := argsOf[pullArgs](o.Command)
	if err != nil {
		return nil, err
	}
	if err := allowsImage(v.governor.store.Snapshot().Policy, args.Image); err != nil {
		return nil, err
	}
	image, fetched, err := v.images.Pull(ctx, o.cause(), args.Image, func(done, total int64) {
		o.progress(edge.Progress{Done: done, Total: total, Unit: "bytes"})
	})
	if err != nil {
		return nil, err
	}
	return pullResult{image, fetched}, nil
}

// allowsImage refuses to fetch what the policy in force would not let run.
func allowsImage(policy *edge.Policy, ref string) error {
	if policy == nil {
		return noPolicy("pull image " + ref)
	}
	if !policy.Security.Images.Allows(ref) {
		return &edge.Refusal{Reason: edge.ReasonDenied, Detail: fmt.Sprintf("image %.200q is none of security.images.allow of the policy", ref)}
	}
	return nil
}

// importArchive reads an archive that lies on the node into the image store.
func (v *verbs) importArchive(ctx context.Context, o order) (any, error) {
	args, err := argsOf[importArgs](o.Command)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(v.folder, args.Name)
	source, err := OpenImage(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, edge.WithHint(fmt.Errorf("cannot import %q: it is not in the images folder: %w", args.Name, edge.ErrNotFound),
			"put it into "+v.folder)
	}
	if err != nil {
		return nil, err
	}
	imported, err := v.images.Import(ctx, o.cause(), counted(source, o.progress))
	if err = errors.Join(err, source.Close()); err != nil {
		return nil, fmt.Errorf("cannot import %q: %w", args.Name, err)
	}
	result := &imagesResult{Images: imported}
	return result, fitting(result, result.shorten)
}

// counted tells how much of an archive has been read. A file is read twice: looked
// through before it is stored.
func counted(source io.ReadCloser, progress func(edge.Progress)) io.Reader {
	file, is := source.(*os.File)
	if !is {
		return &countedStream{source: source, told: edge.Progress{Unit: "bytes"}, progress: progress}
	}
	stream := countedStream{source: file, told: edge.Progress{Unit: "bytes", Note: "looking through"}, progress: progress}
	if info, err := file.Stat(); err == nil {
		stream.told.Total = info.Size()
	}
	return &countedFile{countedStream: stream, file: file}
}

type countedStream struct {
	source   io.Reader
	told     edge.Progress
	progress func(edge.Progress)
}

func (c *countedStream) Read(p []byte) (int, error) {
	n, err := c.source.Read(p)
	c.told.Done += int64(n)
	c.progress(c.told)
	return n, err
}

type countedFile struct {
	countedStream
	file *os.File
}

func (c *countedFile) Seek(offset int64, whence int) (int64, error) {
	at, err := c.file.Seek(offset, whence)
	if c.told.Done > 0 && at == 0 {
		c.told.Note = "storing"
	}
	c.told.Done = at
	return at, err
}
