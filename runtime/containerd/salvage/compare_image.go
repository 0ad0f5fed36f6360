package salvage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"go.etcd.io/bbolt"
)

// What follows runs in the child.

// image wants the content that a name stands for to be recorded, and each part of it held
// by a label of what needs it: what is not held is collected when containerd starts.
func (c comparison) image(_ string, record *bbolt.Bucket) error {
	target := record.Bucket([]byte("target"))
	if target == nil {
		return errors.New("has no target")
	}
	if _, err := readVarint(target.Get([]byte("size"))); err != nil {
		return fmt.Errorf("its size is %w", err)
	}
	if kind := target.Get([]byte("mediatype")); len(kind) == 0 || !utf8.Valid(kind) {
		return errors.New("has no media type")
	}
	if err := checkTimes(record); err != nil {
		return err
	}
	return c.held(string(target.Get([]byte("digest"))), deepest)
}

// deepest is how far an index may lead: to another one, and to its manifests.
const deepest = 3

// held follows a digest down to what it needs.
func (c comparison) held(digest string, depth int) error {
	record := c.record(digest)
	if record == nil {
		return fmt.Errorf("its content %q is not recorded", digest)
	}
	text, err := os.ReadFile(filepath.Join(c.Blobs, strings.TrimPrefix(digest, "sha256:")))
	if err != nil {
		return err
	}
	if sumOf(text) != digest {
		return fmt.Errorf("its content %q is something else", digest)
	}
	doc, err := parseDocument(text)
	if err != nil || depth == 0 {
		return err
	}
	held := map[string]bool{}
	for key, value := range labelsOf(record) {
		if strings.HasPrefix(key, refLabel) {
			held[value] = true
		}
	}
	return c.children(doc, held, depth)
}

// children: a manifest needs all of its own, an index at least one.
func (c comparison) children(doc document, held map[string]bool, depth int) error {
	for _, part := range doc.parts() {
		if !held[part.Digest] {
			return fmt.Errorf("nothing holds %q, which it needs", part.Digest)
		}
		if c.record(part.Digest) == nil {
			return fmt.Errorf("%q, which it needs, is not recorded", part.Digest)
		}
	}
	if len(doc.Manifests) == 0 {
		return nil
	}
	any := false
	for _, child := range doc.Manifests {
		if !held[child.Digest] || c.record(child.Digest) == nil {
			continue // for another platform
		}
		any = true
		if err := c.held(child.Digest, depth-1); err != nil {
			return err
		}
	}
	if !any {
		return errors.New("it holds nothing of what it lists")
	}
	return nil
}

func (c comparison) record(digest string) *bbolt.Bucket {
	content := c.ours.Bucket([]byte("content"))
	if content == nil {
		return nil
	}
	blobs := content.Bucket([]byte("blob"))
	if blobs == nil || digest == "" {
		return nil
	}
	return blobs.Bucket([]byte(digest))
}

// The labels that the driver puts on each of its containers.
const (
	ourLabels     = "holdfast."
	labelWorkload = "holdfast.workload"
	labelSpecHash = "holdfast.spec-hash"
	labelDigest   = "holdfast.digest"
)

// container wants a record that containerd can read, for one that it cannot keeps it
// from listing any; and of an agent's container, the labels by which the agent finds it
// again.
func (c comparison) container(_ string, record *bbolt.Bucket) error {
	if err := checkTimes(record); err != nil {
		return err
	}
	if err := checkAny(record.Get([]byte("spec"))); err != nil {
		return fmt.Errorf("its spec: %w", err)
	}
	for _, key := range []string{"image", "snapshotter", "snapshotKey"} {
		if !utf8.Valid(record.Get([]byte(key))) {
			return fmt.Errorf("its %s is no text", key)
		}
	}
	if name := string(record.Get([]byte("snapshotter"))); name != "" && name != c.Kind {
		if _, err := os.Stat(filepath.Join(filepath.Dir(filepath.Dir(c.Trees)), snapshotterFolder+name)); err != nil {
			return fmt.Errorf("there is no snapshotter %q", name)
		}
	}
	if err := checkRuntime(record.Bucket([]byte("runtime"))); err != nil {
		return err
	}
	labels, ours := labelsOf(record), false
	for key := range labels {
		ours = ours || strings.HasPrefix(key, ourLabels)
	}
	for _, key := range []string{labelWorkload, labelSpecHash, labelDigest} {
		if ours && labels[key] == "" {
			return fmt.Errorf("it has no label %s", key)
		}
	}
	return nil
}

func checkRuntime(record *bbolt.Bucket) error {
	if record == nil {
		return errors.New("it has no runtime")
	}
	if name := record.Get([]byte("name")); !strings.HasPrefix(string(name), "io.containerd.") || !utf8.Valid(name) {
		return fmt.Errorf("there is no runtime %q", name)
	}
	if err := checkAny(record.Get([]byte("options"))); err != nil {
		return fmt.Errorf("its runtime's options: %w", err)
	}
	return nil
}

// checkAny wants a protobuf message of two fields: the name of a type, and bytes.
func checkAny(text []byte) error {
	for len(text) > 0 {
		tag := text[0]
		length, width := uvarint(text[1:])
		if (tag != 0x0a && tag != 0x12) || width <= 0 || length > uint64(len(text)-1-width) {
			return errors.New("is not what containerd writes")
		}
		value := text[1+width : 1+width+int(length)]
		if tag == 0x0a && !utf8.Valid(value) {
			return errors.New("its type is no text")
		}
		text = text[1+width+int(length):]
	}
	return nil
}
