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
	Import(ctx context.Context, cause string, archive io.Reader) ([]edge.Image, error)
}

// governedImages lets images in only while the policy lets new ones in.
type governedImages struct{ agent *Agent }

var _ commandImages = governedImages{}

// Import reads an archive into the store.
func (g governedImages) Import(ctx context.Context, cause string, archive io.Reader) ([]edge.Image, error) {
	return admitImages{images{g.agent.driver, g.agent, cause}}.Import(ctx, archive)
}

// imageFolder holds the images that came with the node or were put there since.
func (a *Agent) imageFolder() string { return filepath.Join(a.config.Load().Paths.State, "images") }

// imagesResult lists images, and what they take.
type imagesResult struct {
	Images    []edge.Image `json:"images"`
	Truncated bool         `json:"truncated,omitempty"`
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
	err = fitting(result, func() bool {
		result.Truncated = true
		result.Images = result.Images[:len(result.Images)*7/8]
		return len(result.Images) > 0
	})
	return result, err
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
