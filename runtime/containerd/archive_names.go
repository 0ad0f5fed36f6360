package containerd

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"holdfast/edge"
)

// ArchiveNames lists what the images of an archive are called, by digest and by name,
// as its own table of contents says: nothing is held against anything. Of a plain tar
// that can be sought in, only the heads of its files are read.
func ArchiveNames(ctx context.Context, archive io.Reader) ([]string, error) {
	stream, err := sought(&contextReader{ctx: ctx, source: archive}, archive)
	if err != nil {
		return nil, fmt.Errorf("cannot look into archive: %w", err)
	}
	defer stream.Close()
	files := tar.NewReader(stream)
	var names []string
	for range maxEntries {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return names, fmt.Errorf("cannot look into archive: %w: %w", err, edge.ErrInvalid)
		}
		read := namesIn(path.Clean(header.Name))
		if read == nil || header.Size > maxKept {
			continue
		}
		text, err := io.ReadAll(files)
		if err != nil {
			return names, fmt.Errorf("cannot look into archive: %w: %w", err, edge.ErrInvalid)
		}
		names = append(names, read(text)...)
	}
	return names, nil
}

// sought is a stream that leaves out what nobody reads, where that can be.
func sought(read *contextReader, archive io.Reader) (io.ReadCloser, error) {
	seeker, can := archive.(io.ReadSeeker)
	if can {
		magic := make([]byte, 4)
		_, err := io.ReadFull(seeker, magic)
		if _, failed := seeker.Seek(0, io.SeekStart); failed != nil || err != nil {
			return decompress(read)
		}
		if !bytes.HasPrefix(magic, []byte{0x1f, 0x8b}) && !bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
			return struct {
				io.ReadSeeker
				io.Closer
			}{seeker, io.NopCloser(nil)}, nil
		}
	}
	return decompress(read)
}

// namesIn reads the table of contents of either kind of archive; nil: the file is none.
func namesIn(file string) func([]byte) []string {
	switch file {
	case ocispec.ImageIndexFile:
		return indexNames
	case "manifest.json":
		return dockerNames
	}
	return nil
}

func indexNames(text []byte) (names []string) {
	var index ocispec.Index
	if json.Unmarshal(text, &index) != nil {
		return nil
	}
	for _, desc := range index.Manifests {
		names = append(names, namesOf(desc)...)
	}
	return names
}

func dockerNames(text []byte) (names []string) {
	var manifests []struct{ RepoTags []string }
	if json.Unmarshal(text, &manifests) != nil {
		return nil
	}
	for _, manifest := range manifests {
		names = append(names, manifest.RepoTags...)
	}
	return names
}
