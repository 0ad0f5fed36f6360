package fleet_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/fleet"
)

// image is an OCI image as far as its index goes.
type image struct {
	name, annotation string
	manifest         []byte
	damaged, missing bool
}

func (i image) digest() string {
	sum := sha256.Sum256(i.manifest)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (i image) files() map[string][]byte {
	if i.annotation == "" {
		i.annotation = "io.containerd.image.name"
	}
	files := map[string][]byte{
		"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`),
		"index.json": fmt.Appendf(nil, `{"schemaVersion":2,"manifests":[{"digest":%q,"size":1,"annotations":{%q:%q}}]}`, i.digest(), i.annotation, i.name),
		// A layer, which is passed over.
		"blobs/sha256/00": bytes.Repeat([]byte{0}, 300<<10),
	}
	blob := "blobs/sha256/" + strings.TrimPrefix(i.digest(), "sha256:")
	if !i.missing {
		files[blob] = i.manifest
	}
	if i.damaged {
		files[blob] = bytes.Replace(i.manifest, []byte("{"), []byte("{ "), 1)
	}
	return files
}

func (i image) writeLayout(t *testing.T, folder string) {
	t.Helper()
	for name, content := range i.files() {
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func (i image) writeArchive(t *testing.T, path string) {
	t.Helper()
	var archive bytes.Buffer
	var out io.Writer = &archive
	var packed *gzip.Writer
	if !strings.HasSuffix(path, ".tar") {
		packed = gzip.NewWriter(&archive)
		out = packed
	}
	writer := tar.NewWriter(out)
	for name, content := range i.files() {
		if err := writer.WriteHeader(&tar.Header{Name: "./" + name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	err := writer.Close()
	if packed != nil {
		err = errors.Join(err, packed.Close())
	}
	if err := errors.Join(err, os.WriteFile(path, archive.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestPins_AddFolder(t *testing.T) {
	digits := image{name: "holdfast.example/digits:1", manifest: []byte(`{"schemaVersion":2}`)}
	for name, write := range map[string]func(t *testing.T, folder string, i image){
		"Layout":  func(t *testing.T, folder string, i image) { i.writeLayout(t, filepath.Join(folder, "digits")) },
		"Archive": func(t *testing.T, folder string, i image) { i.writeArchive(t, filepath.Join(folder, "digits.tar")) },
		"Packed":  func(t *testing.T, folder string, i image) { i.writeArchive(t, filepath.Join(folder, "digits.tar.gz")) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, tt := range []struct {
				name string
				i    image
				want string // of the error; empty: none
			}{
				{"Whole", digits, ""},
				{"OtherAnnotation", image{name: digits.name, annotation: "org.opencontainers.image.ref.name", manifest: digits.manifest}, ""},
				{"Damaged", image{name: digits.name, manifest: digits.manifest, damaged: true}, "is not what sha256:"},
				{"Missing", image{name: digits.name, manifest: digits.manifest, missing: true}, "is not in it"},
			} {
				t.Run(tt.name, func(t *testing.T) {
					folder := t.TempDir()
					write(t, folder, tt.i)
					pins := fleet.Pins{}
					err := pins.AddFolder(folder)
					if tt.want != "" {
						if !errors.Is(err, edge.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
							t.Errorf("got %v, want an error with %q", err, tt.want)
						}
						return
					}
					if err != nil || pins[digits.name] != digits.digest() || len(pins) != 1 {
						t.Errorf("got %v, %v, want %s", pins, err, digits.digest())
					}
				})
			}
		})
	}
}

func TestPins_AddFolder_Refuses(t *testing.T) {
	t.Run("NoImages", func(t *testing.T) {
		if err := (fleet.Pins{}).AddFolder(t.TempDir()); !errors.Is(err, edge.ErrInvalid) || edge.HintOf(err) == "" {
			t.Errorf("got %v, want edge.ErrInvalid with a hint", err)
		}
	})
	t.Run("NoFolder", func(t *testing.T) {
		if err := (fleet.Pins{}).AddFolder(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want os.ErrNotExist", err)
		}
	})
	t.Run("NoArchive", func(t *testing.T) {
		folder := t.TempDir()
		for name, content := range map[string]string{"a.tar": "text", "b.tgz": "text"} {
			path := filepath.Join(folder, name)
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := (fleet.Pins{}).AddFolder(folder); err == nil {
				t.Errorf("%s: got no error", name)
			}
			os.Remove(path)
		}
	})
	t.Run("TwoOfOneName", func(t *testing.T) {
		folder := t.TempDir()
		image{name: "a:1", manifest: []byte(`{"a":1}`)}.writeArchive(t, filepath.Join(folder, "one.tar"))
		image{name: "a:1", manifest: []byte(`{"a":2}`)}.writeArchive(t, filepath.Join(folder, "two.tar"))
		if err := (fleet.Pins{}).AddFolder(folder); !errors.Is(err, edge.ErrInvalid) || !strings.Contains(err.Error(), "in another") {
			t.Errorf("got %v, want both digests named", err)
		}
	})
}

func TestPins_Add(t *testing.T) {
	digest := "sha256:" + strings.Repeat("ab", 32)
	for _, pin := range []string{"", "a", "=" + digest, "a=" + digest[:70], "a=" + strings.ToUpper(digest), "a@b=" + digest, "a b=" + digest, "a=sha256:" + strings.Repeat("xy", 32)} {
		if err := (fleet.Pins{}).Add(pin); !errors.Is(err, edge.ErrInvalid) || edge.HintOf(err) == "" {
			t.Errorf("%q: got %v, want edge.ErrInvalid with a hint", pin, err)
		}
	}
	// Every way to write one name is one name.
	pins := fleet.Pins{}
	for _, name := range []string{"busybox", "busybox:latest", "docker.io/library/busybox", "docker.io/library/busybox:latest"} {
		if err := pins.Add(name + "=" + digest); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"me/busybox", "localhost/busybox", "registry:5000/busybox", "busybox:1"} {
		if err := pins.Add(name + "=" + digest); err != nil {
			t.Fatal(err)
		}
	}
	if len(pins) != 5 {
		t.Errorf("got %v, want five names", pins)
	}
}
