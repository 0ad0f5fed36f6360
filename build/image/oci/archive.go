package oci

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// The annotations by which importers find an image's name: the specification's
// holds the tag, containerd's the whole name.
const (
	refNameAnnotation   = "org.opencontainers.image.ref.name"
	imageNameAnnotation = "io.containerd.image.name"
)

// WriteLayout writes an image under its name as an OCI image layout into a folder
// that does not hold one yet, and returns the digest of its index.
func WriteLayout(dir, name string, index v1.ImageIndex) (v1.Hash, error) {
	digest, err := writeLayout(dir, name, index)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("cannot write image layout %q: %w", dir, err)
	}
	return digest, nil
}

func writeLayout(dir, name string, index v1.ImageIndex) (v1.Hash, error) {
	tag, err := tagOf(name)
	if err != nil {
		return v1.Hash{}, err
	}
	if _, err := os.Stat(filepath.Join(dir, "index.json")); !errors.Is(err, fs.ErrNotExist) {
		return v1.Hash{}, errors.Join(errors.New("there is one already"), err)
	}
	target, err := layout.Write(dir, empty.Index)
	if err != nil {
		return v1.Hash{}, err
	}
	annotations := map[string]string{refNameAnnotation: tag, imageNameAnnotation: name}
	if err := target.AppendIndex(index, layout.WithAnnotations(annotations)); err != nil {
		return v1.Hash{}, err
	}
	return index.Digest()
}

// WriteArchive writes an image under its name as an uncompressed tar of an OCI
// image layout, replacing the file that is there.
func WriteArchive(file, name string, index v1.ImageIndex) (v1.Hash, error) {
	digest, err := writeArchive(file, name, index)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("cannot write image archive %q: %w", file, err)
	}
	return digest, nil
}

func writeArchive(file, name string, index v1.ImageIndex) (digest v1.Hash, err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return v1.Hash{}, err
	}
	work, err := os.MkdirTemp(filepath.Dir(file), ".image-")
	if err != nil {
		return v1.Hash{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	dir, part := filepath.Join(work, "layout"), filepath.Join(work, "archive")
	if digest, err = writeLayout(dir, name, index); err != nil {
		return v1.Hash{}, err
	}
	if err := pack(part, dir); err != nil {
		return v1.Hash{}, err
	}
	return digest, os.Rename(part, file)
}

// pack archives a layout. Its files come in the order of their names, which puts
// blobs first; importers read the whole archive before they look anything up.
func pack(file, dir string) (err error) {
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	entries := map[string]entry{}
	if err := addDir(entries, dir, "/"); err != nil {
		return err
	}
	for name, e := range entries {
		if e.header.Typeflag == tar.TypeReg {
			e.header.Mode = 0o644
			entries[name] = e
		}
	}
	return writeEntries(out, entries)
}
