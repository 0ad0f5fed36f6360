package containerd_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// countedFile counts what is read of it.
type countedFile struct {
	*os.File
	read int
}

func (c *countedFile) Read(p []byte) (int, error) {
	n, err := c.File.Read(p)
	c.read += n
	return n, err
}

func TestArchiveNames(t *testing.T) {
	shared.open(t)
	p := testImage()
	whole := p.archive(t)
	path := filepath.Join(t.TempDir(), "a.tar")
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	counted := &countedFile{File: file}
	n := newEmptyNode(t)
	digest := n.importImage(t, p)[0].Digest
	for name, archive := range map[string]io.Reader{
		"File": counted, "Stream": io.MultiReader(bytes.NewReader(whole)),
		"Gzip": bytes.NewReader(gzipped(t, whole)), "Zstd": bytes.NewReader(zstandard(t, whole)),
	} {
		names, err := containerd.ArchiveNames(t.Context(), archive)
		if err != nil || !slices.Contains(names, digest) || !slices.Contains(names, imageName) {
			t.Errorf("%s: got %q, %v, want %q and %q", name, names, err, digest, imageName)
		}
	}
	if counted.read > 100_000 {
		t.Errorf("got %d bytes read of a file of %d, want its heads", counted.read, len(whole))
	}
	if names, err := containerd.ArchiveNames(t.Context(), bytes.NewReader(p.docker(t))); err != nil || !slices.Contains(names, imageName) {
		t.Errorf("docker: got %q, %v, want %q", names, err, imageName)
	}
	for name, archive := range map[string]string{"Text": strings.Repeat("no archive", 100), "Short": "x", "Cut": string(whole[:len(whole)/2])} {
		if _, err := containerd.ArchiveNames(t.Context(), strings.NewReader(archive)); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", name, err, edge.ErrInvalid)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := containerd.ArchiveNames(ended, io.MultiReader(bytes.NewReader(whole))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
