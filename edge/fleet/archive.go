package fleet

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"holdfast/edge"
)

// Bounds of what is read of images. Layers are passed over.
const (
	maxIndex   = 4 << 20 // an index has a few hundred bytes an image
	maxImages  = 1000    // in one folder
	maxEntries = 100_000 // of one archive
)

// The annotations by which an image's name is told: containerd's, which is whole, and
// the specification's, which may be a tag only.
const (
	nameAnnotation = "io.containerd.image.name"
	refAnnotation  = "org.opencontainers.image.ref.name"
	indexFile      = "index.json"
)

// index is what is needed of an OCI index.
type index struct {
	Manifests []struct {
		Digest      string            `json:"digest"`
		Annotations map[string]string `json:"annotations"`
	} `json:"manifests"`
}

// AddFolder takes the digests of every image below a folder: OCI archives (.tar,
// .tar.gz, .tgz) and OCI layout folders. Of each, what the index points at must be
// there and be what its digest says.
func (p Pins) AddFolder(folder string) error {
	found := 0
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case found > maxImages:
			return fmt.Errorf("cannot read images in %q: more than %d: %w", folder, maxImages, edge.ErrInvalid)
		case entry.IsDir() && isLayout(name):
			found++
			if err := p.addLayout(name); err != nil {
				return err
			}
			return fs.SkipDir
		case entry.Type().IsRegular() && isArchive(name):
			found++
			return p.addArchive(name)
		}
		return nil
	})
	if err == nil && found == 0 {
		return edge.WithHint(fmt.Errorf("cannot find images in %q: %w", folder, edge.ErrInvalid),
			"it should hold OCI archives (.tar, .tar.gz) or OCI layout folders")
	}
	return err
}

func isLayout(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "oci-layout"))
	return err == nil
}

func isArchive(name string) bool {
	return strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz")
}

func (p Pins) addLayout(folder string) error {
	raw, err := readFile(filepath.Join(folder, indexFile), maxIndex)
	if err != nil {
		return fmt.Errorf("cannot read image: %w", err)
	}
	return p.addIndex(folder, raw, func(digest string) ([]byte, error) {
		return readFile(filepath.Join(folder, filepath.FromSlash(blob(digest))), maxIndex)
	})
}

// addArchive reads an archive once and keeps what is small: indexes and manifests.
func (p Pins) addArchive(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("cannot read image: %w", err)
	}
	defer file.Close()
	small, err := smallEntries(file, name)
	if err != nil {
		return fmt.Errorf("cannot read image archive %q: %w", name, err)
	}
	raw, found := small[indexFile]
	if !found {
		return edge.WithHint(fmt.Errorf("cannot read image archive %q: it has no index.json: %w", name, edge.ErrInvalid),
			"it should be an OCI archive, as `buildctl --output type=oci` or `skopeo copy … oci-archive:` write them")
	}
	return p.addIndex(name, raw, func(digest string) ([]byte, error) {
		content, found := small[blob(digest)]
		if !found {
			return nil, fs.ErrNotExist
		}
		return content, nil
	})
}

func smallEntries(file io.Reader, name string) (map[string][]byte, error) {
	const small = 256 << 10 // above any manifest; layers are mostly larger
	if !strings.HasSuffix(name, ".tar") {
		unpacked, err := gzip.NewReader(file)
		if err != nil {
			return nil, err
		}
		file = unpacked
	}
	entries := map[string][]byte{}
	archive := tar.NewReader(file)
	for left := maxIndex; len(entries) < maxEntries; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		inside := path.Clean(header.Name)
		isIndex := inside == indexFile
		if header.Typeflag != tar.TypeReg || header.Size > small && !isIndex || header.Size > int64(left) {
			continue
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			return nil, err
		}
		if isIndex || json.Valid(content) {
			entries[inside] = content
			left -= len(content)
		}
	}
	return nil, fmt.Errorf("more than %d entries: %w", maxEntries, edge.ErrInvalid)
}

func blob(digest string) string { return "blobs/sha256/" + strings.TrimPrefix(digest, digestPrefix) }

func (p Pins) addIndex(from string, raw []byte, read func(digest string) ([]byte, error)) error {
	var found index
	if err := json.Unmarshal(raw, &found); err != nil {
		return fmt.Errorf("cannot read image %q: index.json: %v: %w", from, err, edge.ErrInvalid)
	}
	for _, manifest := range found.Manifests {
		name := manifest.Annotations[nameAnnotation]
		if ref := manifest.Annotations[refAnnotation]; name == "" && strings.ContainsAny(ref, "/:") {
			name = ref
		}
		if name == "" {
			continue
		}
		if !isDigest(manifest.Digest) {
			return fmt.Errorf("cannot read image %q: %q is not a digest: %w", from, manifest.Digest, edge.ErrInvalid)
		}
		content, err := read(manifest.Digest)
		if err != nil {
			return fmt.Errorf("cannot read image %q: %s is not in it: %w", from, manifest.Digest, edge.ErrInvalid)
		}
		if sum := sha256.Sum256(content); digestPrefix+hex.EncodeToString(sum[:]) != manifest.Digest {
			return fmt.Errorf("cannot read image %q: its content is not what %s says: %w", from, manifest.Digest, edge.ErrInvalid)
		}
		if err := p.set(name, manifest.Digest); err != nil {
			return fmt.Errorf("cannot read image %q: %w", from, err)
		}
	}
	return nil
}

// readFile reads a regular file of bounded size; anything else could block or never
// end.
func readFile(name string, most int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file: %w", name, edge.ErrInvalid)
	}
	var content bytes.Buffer
	if n, err := io.Copy(&content, io.LimitReader(file, most+1)); err != nil {
		return nil, err
	} else if n > most {
		return nil, fmt.Errorf("%q is larger than %d bytes: %w", name, most, edge.ErrInvalid)
	}
	return content.Bytes(), nil
}
