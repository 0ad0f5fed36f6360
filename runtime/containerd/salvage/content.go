package salvage

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/edge"
)

// entry is a name of an image.
type entry struct {
	Name      string
	Digest    string
	MediaType string
	Size      int64
}

// blob is a record of content, with the labels that hold what it needs.
type blob struct {
	Digest string
	Size   int64
	Labels map[string]string
}

// refLabel is the beginning of the labels by which one blob holds another.
const refLabel = "containerd.io/gc.ref.content"

// snapshotterFolder is the beginning of the names of snapshotters' folders.
const snapshotterFolder = "io.containerd.snapshotter.v1."

// maxDocument bounds a manifest or an index: the same as registries allow.
const maxDocument = 4 << 20

// document is what an image's manifest, or an index of some, says.
type document struct {
	MediaType string       `json:"mediaType"`
	Config    descriptor   `json:"config"`
	Layers    []descriptor `json:"layers"`
	Manifests []descriptor `json:"manifests"`
}

type descriptor struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// parseDocument reads a blob that is one; of any other it is empty.
func parseDocument(text []byte) (document, error) {
	var doc document
	if len(text) == 0 || text[0] != '{' {
		return doc, nil
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return document{}, fmt.Errorf("cannot decode document: %w", err)
	}
	if doc.Config.Digest == "" {
		doc.Layers = nil // a configuration of an image may have a key of that name
	}
	return doc, nil
}

// parts are what a manifest needs.
func (d document) parts() []descriptor {
	if d.Config.Digest == "" {
		return nil
	}
	return append([]descriptor{d.Config}, d.Layers...)
}

// kind is its media type. Documents that came over docker's old ways name it always.
func (d document) kind() string {
	switch {
	case d.MediaType != "":
		return d.MediaType
	case len(d.Manifests) > 0:
		return "application/vnd.oci.image.index.v1+json"
	}
	return "application/vnd.oci.image.manifest.v1+json"
}

func sumOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func isSum(text string) bool {
	_, err := hex.DecodeString(text)
	return err == nil && len(text) == 2*sha256.Size && strings.ToLower(text) == text
}

func uvarint(text []byte) (uint64, int) { return binary.Uvarint(text) }

// inventory is what lies whole in the store.
type inventory struct {
	sizes  map[string]int64 // by digest
	docs   map[string]document
	forged []string // files that are not what they are named after
}

// takeStock hashes everything in the store.
func takeStock(ctx context.Context, folder string) (inventory, error) {
	stock := inventory{sizes: map[string]int64{}, docs: map[string]document{}}
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return stock, nil
	}
	if err != nil {
		return stock, fmt.Errorf("cannot list content: %w", err)
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return stock, ctx.Err()
		}
		if !isSum(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		if err := stock.take(filepath.Join(folder, e.Name())); err != nil {
			return stock, err
		}
	}
	return stock, nil
}

// take hashes one file. What the disk does not give back is as good as forged.
func (i *inventory) take(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot read content: %w", err)
	}
	defer file.Close()
	digest := "sha256:" + filepath.Base(path)
	hash := sha256.New()
	head := &head{most: maxDocument}
	size, err := io.Copy(io.MultiWriter(hash, head), file)
	if err != nil || hex.EncodeToString(hash.Sum(nil)) != filepath.Base(path) {
		i.forged = append(i.forged, path)
		return nil
	}
	i.sizes[digest] = size
	if size <= maxDocument {
		if doc, err := parseDocument(head.text); err == nil && (len(doc.parts())+len(doc.Manifests) > 0) {
			i.docs[digest] = doc
		}
	}
	return nil
}

// head keeps the beginning of a text that may be a document.
type head struct {
	most int
	text []byte
	not  bool
}

// Write never fails.
func (h *head) Write(p []byte) (int, error) {
	if len(h.text) == 0 && len(p) > 0 {
		h.not = p[0] != '{'
	}
	if !h.not && len(h.text) < h.most {
		h.text = append(h.text, p[:min(len(p), h.most-len(h.text))]...)
	}
	return len(p), nil
}

// whole tells whether everything is there that a digest needs: all of a manifest, and of
// an index at least one manifest.
func (i *inventory) whole(digest string, depth int) bool {
	doc, known := i.docs[digest]
	if !known || depth == 0 {
		return false
	}
	for _, part := range doc.parts() {
		if size, held := i.sizes[part.Digest]; !held || size != part.Size {
			return false
		}
	}
	return len(doc.Manifests) == 0 || len(i.wholeBelow(doc, depth)) > 0
}

func (i *inventory) wholeBelow(doc document, depth int) []string {
	var found []string
	for _, child := range doc.Manifests {
		if i.whole(child.Digest, depth-1) {
			found = append(found, child.Digest)
		}
	}
	return found
}

// images lists what the store has images of: each that no other one holds, under its
// digest, those that are wanted, and under the names that were read out of the damaged
// file.
func (i *inventory) images(hints []entry, wanted []string) []entry {
	below := map[string]bool{}
	for digest, doc := range i.docs {
		if i.whole(digest, deepest) {
			for _, child := range i.wholeBelow(doc, deepest) {
				below[child] = true
			}
		}
	}
	var found []entry
	for digest := range i.docs {
		if !below[digest] && i.whole(digest, deepest) {
			found = append(found, i.entry(digest, digest))
		}
	}
	for _, digest := range wanted {
		if i.whole(digest, deepest) {
			found = append(found, i.entry(digest, digest))
		}
	}
	for _, hint := range hints {
		if i.whole(hint.Digest, deepest) && isName(hint.Name) {
			found = append(found, i.entry(hint.Name, hint.Digest))
		}
	}
	edge.SortStable(found, func(a, b entry) int { return strings.Compare(a.Name, b.Name) })
	return slices.CompactFunc(found, func(a, b entry) bool { return a.Name == b.Name })
}

// isName tells whether a name that was read out of a damaged file can be one.
func isName(name string) bool {
	return name != "" && len(name) < 512 && !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
}

func (i *inventory) entry(name, digest string) entry {
	return entry{Name: name, Digest: digest, MediaType: i.docs[digest].kind(), Size: i.sizes[digest]}
}

// records are what containerd has to know of the content of images.
func (i *inventory) records(images []entry) []blob {
	done := map[string]bool{}
	var found []blob
	var add func(digest string, depth int)
	add = func(digest string, depth int) {
		if done[digest] {
			return
		}
		done[digest] = true
		record := blob{Digest: digest, Size: i.sizes[digest], Labels: map[string]string{}}
		doc := i.docs[digest]
		for n, part := range doc.parts() {
			name := refLabel + ".config"
			if n > 0 {
				name = fmt.Sprintf("%s.l.%d", refLabel, n-1)
			}
			record.Labels[name] = part.Digest
			add(part.Digest, 0)
		}
		if depth > 0 {
			for n, child := range i.wholeBelow(doc, depth) {
				record.Labels[fmt.Sprintf("%s.m.%d", refLabel, n)] = child
				add(child, depth-1)
			}
		}
		found = append(found, record)
	}
	for _, image := range images {
		add(image.Digest, deepest)
	}
	return found
}
