package containerd

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"holdfast/edge"
)

// Bounds on what looking through an archive may take. Real archives hold some
// dozens of files; their documents are a few KiB each.
const (
	maxEntries    = 16_384
	maxKept       = 256 << 10 // bytes of one document
	maxKeptTotal  = 4 << 20   // bytes of all documents
	maxZstdMemory = 16 << 20  // bytes of window; zstd -19 needs 8 MiB, --long 128
)

// contents is what one look through an archive has found.
type contents struct {
	entries map[string]entry
	docs    map[string][]byte // small JSON files
	bytes   int64             // of all files
}

// entry is one file of an archive.
type entry struct {
	size   int64
	digest digest.Digest
	link   string // a symbolic link's target instead of content
}

// survey reads an archive from start to end and remembers what lies in it. It
// keeps only small documents in memory.
func survey(ctx context.Context, archive io.Reader) (*contents, error) {
	source := &contextReader{ctx: ctx, source: archive}
	found := &contents{entries: make(map[string]entry), docs: make(map[string][]byte)}
	stream, err := decompress(source)
	if err != nil {
		return nil, found.explain(source, err)
	}
	defer stream.Close()
	files := tar.NewReader(stream)
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = found.add(header, files)
		}
		if err != nil {
			return nil, found.explain(source, err)
		}
	}
	if len(found.entries) == 0 {
		return nil, fmt.Errorf("archive is empty: %w", edge.ErrInvalid)
	}
	// What follows the archive belongs to its compression, whose checksum comes last.
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return nil, found.explain(source, err)
	}
	return found, nil
}

func (f *contents) add(header *tar.Header, body io.Reader) error {
	name := path.Clean(header.Name)
	if len(f.entries) >= maxEntries {
		return fmt.Errorf("archive holds more than %d files: %w", maxEntries, edge.ErrInvalid)
	}
	switch header.Typeflag {
	case tar.TypeReg:
	case tar.TypeSymlink:
		f.entries[name] = entry{link: path.Join(path.Dir(name), header.Linkname)}
		return nil
	default:
		return nil
	}
	start := bufio.NewReader(body)
	var kept *bytes.Buffer
	digester := digest.Canonical.Digester()
	sink := io.Writer(digester.Hash())
	if f.worthKeeping(header.Size, start) {
		kept = new(bytes.Buffer)
		sink = io.MultiWriter(sink, kept)
	}
	size, err := io.Copy(sink, start)
	if err != nil {
		return err
	}
	if kept != nil {
		f.docs[name] = kept.Bytes()
	}
	f.bytes += size
	f.entries[name] = entry{size: size, digest: digester.Digest()}
	return nil
}

// worthKeeping tells a document from a layer by its size and first byte.
func (f *contents) worthKeeping(size int64, body *bufio.Reader) bool {
	var total int64
	for _, doc := range f.docs {
		total += int64(len(doc))
	}
	first, err := body.Peek(1)
	return err == nil && (first[0] == '{' || first[0] == '[') && size <= maxKept && total+size <= maxKeptTotal
}

// explain says in words what a failed look means. What the source did not fail at
// is the archive's own fault.
func (f *contents) explain(source *contextReader, err error) error {
	switch {
	case source.failed != nil:
		return fmt.Errorf("cannot read archive: %w", source.failed)
	case errors.Is(err, edge.ErrInvalid):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("archive is truncated, it ends within a file after %d whole ones: %w", len(f.entries), edge.ErrInvalid)
	case errors.Is(err, tar.ErrHeader) && len(f.entries) == 0:
		return fmt.Errorf("file is not an image archive: neither tar nor a tar compressed by gzip or zstd: %w", edge.ErrInvalid)
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return fmt.Errorf("archive needs more than %d MiB of memory to decompress, compress it without --long: %w", maxZstdMemory>>20, edge.ErrInvalid)
	default:
		return fmt.Errorf("archive is damaged after %d files: %w: %w", len(f.entries), err, edge.ErrInvalid)
	}
}

// decompress looks at the first bytes to tell what a stream is.
func decompress(source io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReader(source)
	magic, err := buffered.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case len(magic) == 0:
		return nil, fmt.Errorf("archive is empty: %w", edge.ErrInvalid)
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(buffered)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// One block at a time: a gateway has more time than memory.
		stream, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxZstdMemory))
		if err != nil {
			return nil, err
		}
		return stream.IOReadCloser(), nil
	case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X'}), bytes.HasPrefix(magic, []byte("BZh")):
		return nil, fmt.Errorf("archive is compressed by xz or bzip2; only gzip and zstd can be read: %w", edge.ErrInvalid)
	default:
		return io.NopCloser(buffered), nil
	}
}

// at finds a file by name, through the symbolic links of old docker archives.
func (f *contents) at(name string) (entry, bool) {
	found, ok := f.entries[path.Clean(name)]
	if ok && found.link != "" {
		found, ok = f.entries[found.link]
		ok = ok && found.link == ""
	}
	return found, ok
}

// blobName is where an OCI layout keeps a blob.
func blobName(sum digest.Digest) string {
	return path.Join("blobs", strings.Replace(sum.String(), ":", "/", 1))
}

// contextReader ends a long read when its context does, and remembers why it could
// not go on.
type contextReader struct {
	ctx    context.Context
	source io.Reader
	failed error
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.failed = r.ctx.Err(); r.failed != nil {
		return 0, r.failed
	}
	n, err := r.source.Read(p)
	if err != nil && err != io.EOF {
		r.failed = err
	}
	return n, err
}
