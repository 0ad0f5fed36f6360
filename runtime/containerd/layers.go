package containerd

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"

	"holdfast/edge"
)

// Bounds on what looking for a file in layers may take.
const (
	maxSmallFile  = 1 << 20  // bytes of one file: ten thousand users
	maxLayerBytes = 16 << 30 // bytes of all layers uncompressed, each time one is read
	maxHops       = 8        // links from one path to the next
	// readAhead is what one question to the daemon brings of a layer: it is asked
	// anew for every part.
	readAhead = 512 << 10
)

// layers are an image's, the lowest first.
type layers struct {
	count int
	open  func(number int) (io.ReadCloser, error)
	left  int64 // bytes that may still be read
}

// imageFiles reads small files of an image from the daemon's store of content. To
// mount the image instead would take the right to administer the machine, which the
// agent's service does not have. A file that is not there is nil.
func imageFiles(ctx context.Context, c *client.Client, img image, paths ...string) ([][]byte, error) {
	store := c.ContentStore()
	manifest, err := images.Manifest(ctx, store, img.target, platforms.Default())
	if err != nil {
		return nil, native(err)
	}
	l := &layers{count: len(manifest.Layers), left: maxLayerBytes, open: func(number int) (io.ReadCloser, error) {
		blob, err := store.ReaderAt(ctx, manifest.Layers[number])
		if err != nil {
			return nil, native(err)
		}
		return struct {
			io.Reader
			io.Closer
		}{bufio.NewReaderSize(content.NewReader(blob), readAhead), blob}, nil
	}}
	return l.files(ctx, paths...)
}

// files looks paths up as a container would see them, links followed. Each layer is
// read to its end, for what comes later in it replaces what came before.
func (l *layers) files(ctx context.Context, paths ...string) ([][]byte, error) {
	quests := make([]*quest, len(paths))
	for i, name := range paths {
		quests[i] = &quest{path: name, from: anyLayer}
	}
	for again := true; again; {
		for number := l.count - 1; number >= 0; number-- {
			if err := l.search(ctx, number, quests); err != nil {
				return nil, fmt.Errorf("cannot read layer %d of %d: %w", number+1, l.count, err)
			}
		}
		again = false
		for _, q := range quests {
			again = q.resume() || again
		}
	}
	texts := make([][]byte, len(quests))
	for i, q := range quests {
		if q.hops > maxHops {
			return nil, fmt.Errorf("/%s leads over more than %d links: %w", paths[i], maxHops, edge.ErrInvalid)
		}
		texts[i] = q.text
	}
	return texts, nil
}

// search looks through one layer for what is still sought.
func (l *layers) search(ctx context.Context, number int, quests []*quest) error {
	var sought []*quest
	for _, q := range quests {
		if !q.settled && !q.moved && number <= q.from {
			sought = append(sought, q)
		}
	}
	if len(sought) == 0 {
		return nil
	}
	blob, err := l.open(number)
	if err != nil {
		return err
	}
	defer blob.Close()
	stream, err := decompress(&contextReader{ctx: ctx, source: blob})
	if err != nil {
		return err
	}
	defer stream.Close()
	limited := &io.LimitedReader{R: stream, N: l.left}
	err = walk(limited, sought)
	if l.left = limited.N; l.left == 0 {
		return fmt.Errorf("the layers hold more than %d bytes: %w", int64(maxLayerBytes), edge.ErrInvalid)
	}
	if err != nil {
		return err
	}
	for _, q := range sought {
		q.settle(number)
	}
	return nil
}

// walk shows every entry of a layer to those who look for one.
func walk(stream io.Reader, sought []*quest) error {
	files := tar.NewReader(stream)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		// Rooted, so that nothing leads above the image's root.
		name := strings.TrimPrefix(path.Clean("/"+header.Name), "/")
		var text []byte
		for _, q := range sought {
			if q.path == name && header.Typeflag == tar.TypeReg && text == nil {
				if text, err = readSmall(files, header); err != nil {
					return err
				}
			}
			q.see(name, header, text)
		}
	}
}

func readSmall(file io.Reader, header *tar.Header) ([]byte, error) {
	if header.Size > maxSmallFile {
		return nil, fmt.Errorf("%q has %d bytes, more than the %d it may have: %w", header.Name, header.Size, maxSmallFile, edge.ErrInvalid)
	}
	text := make([]byte, header.Size)
	_, err := io.ReadFull(file, text)
	return text, err
}
