package oci_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"holdfast/build/image/oci"
)

const name = "example.local/holdfast/thing:1"

// program writes the head of a static binary for a machine, which is all of a
// binary that is looked at.
func program(t testing.TB, machine elf.Machine, segments ...elf.ProgType) string {
	t.Helper()
	header := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Ehsize: 64, Phoff: 64, Phentsize: 56, Phnum: uint16(len(segments)),
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
	}
	var content bytes.Buffer
	if err := binary.Write(&content, binary.LittleEndian, header); err != nil {
		t.Fatal(err)
	}
	for _, kind := range segments {
		if err := binary.Write(&content, binary.LittleEndian, elf.Prog64{Type: uint32(kind)}); err != nil {
			t.Fatal(err)
		}
	}
	return write(t, filepath.Join(t.TempDir(), "program"), content.String(), 0o700)
}

// write makes a file and the folders above it.
func write(t testing.TB, file, content string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return file
}

// spec is one of everything.
func spec(t testing.TB) oci.Spec {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "data", "b.txt"), "b", 0o600)
	write(t, filepath.Join(dir, "run.sh"), "#!", 0o711)
	if err := os.Symlink("data/b.txt", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	return oci.Spec{
		Name:     name,
		Binaries: map[string]string{"linux/amd64": program(t, elf.EM_X86_64), "linux/arm64": program(t, elf.EM_AARCH64), "linux/arm/v7": program(t, elf.EM_ARM)},
		Entry:    []string{"/bin/thing", "-v"}, User: "65532:7",
		Env: []string{"A=b"}, Labels: map[string]string{"one": "1", "two": "2", "three": "3"},
		Dirs: map[string]string{dir: "/opt/thing"}, Mkdirs: []string{"/run/thing"},
	}
}

// build makes an index or fails.
func build(t testing.TB, s oci.Spec) v1.ImageIndex {
	t.Helper()
	index, err := oci.Build(s)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// image is the one for a platform.
func image(t testing.TB, index v1.ImageIndex, platform string) v1.Image {
	t.Helper()
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range manifest.Manifests {
		if m.Platform.String() == platform {
			found, err := index.Image(m.Digest)
			if err != nil {
				t.Fatal(err)
			}
			return found
		}
	}
	t.Fatalf("no image for %s", platform)
	return nil
}

func TestBuild_SameBytesTwice(t *testing.T) {
	s := spec(t)
	var archives [][]byte
	for _, when := range []time.Time{time.Unix(1, 0), time.Now()} {
		for _, file := range s.Binaries {
			if err := os.Chtimes(file, when, when); err != nil {
				t.Fatal(err)
			}
		}
		file := filepath.Join(t.TempDir(), "deep", "thing.tar")
		if _, err := oci.WriteArchive(file, name, build(t, s)); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := os.ReadDir(filepath.Dir(file)); err != nil || len(list) != 1 {
			t.Errorf("left beside the archive: %v %v", list, err)
		}
		archives = append(archives, content)
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two builds from the same files differ")
	}
	write(t, s.Binaries["linux/amd64"], readString(t, s.Binaries["linux/amd64"])+"!", 0o700)
	if first, second := digestOf(t, spec(t)), digestOf(t, s); first == second {
		t.Error("another binary has the same digest")
	}
}

// readString reads a file.
func readString(t testing.TB, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// digestOf builds and returns the digest.
func digestOf(t testing.TB, s oci.Spec) v1.Hash {
	t.Helper()
	digest, err := build(t, s).Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestBuild_Layer(t *testing.T) {
	layers, err := image(t, build(t, spec(t)), "linux/arm/v7").Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, %v", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var got []string
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.ModTime.Unix() != 0 {
			t.Errorf("%s is dated %v", header.Name, header.ModTime)
		}
		got = append(got, strings.TrimSpace(header.FileInfo().Mode().String()+" "+header.Name+" "+header.Linkname))
		if owned := header.Uid == 65532 && header.Gid == 7; owned != (header.Name == "run/thing/") {
			t.Errorf("%s belongs to %d:%d", header.Name, header.Uid, header.Gid)
		}
	}
	want := []string{
		"drwxr-xr-x bin/", "-rwxr-xr-x bin/thing", "drwxr-xr-x opt/", "drwxr-xr-x opt/thing/", "drwxr-xr-x opt/thing/data/",
		"-rw-r--r-- opt/thing/data/b.txt", "Lrwxrwxrwx opt/thing/link data/b.txt", "-rwxr-xr-x opt/thing/run.sh",
		"drwxr-xr-x run/", "drwxr-xr-x run/thing/",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("layer holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestBuild_Config(t *testing.T) {
	config, err := image(t, build(t, spec(t)), "linux/arm/v7").ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || config.Architecture != "arm" || config.Variant != "v7" {
		t.Errorf("platform %s/%s/%s", config.OS, config.Architecture, config.Variant)
	}
	got, err := json.Marshal(config.Config)
	if err != nil {
		t.Fatal(err)
	}
	want := `"Entrypoint":["/bin/thing","-v"],"Env":["A=b"],"Labels":{"one":"1","three":"3","two":"2"},"User":"65532:7","WorkingDir":"/"`
	if !strings.Contains(string(got), want) {
		t.Errorf("config %s, want %s", got, want)
	}
}

// checkBlobs holds the number of blobs, and each against its name.
func checkBlobs(t *testing.T, dir string, want int) {
	t.Helper()
	blobs, err := os.ReadDir(dir)
	if err != nil || len(blobs) != want {
		t.Fatalf("%d blobs, want %d: %v", len(blobs), want, err)
	}
	for _, blob := range blobs {
		if got := fmt.Sprintf("%x", sha256.Sum256([]byte(readString(t, filepath.Join(dir, blob.Name()))))); got != blob.Name() {
			t.Errorf("blob %s has digest %s", blob.Name(), got)
		}
	}
}

func TestWriteLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	digest, err := oci.WriteLayout(dir, name, build(t, spec(t)))
	if err != nil {
		t.Fatal(err)
	}
	read, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	checkBlobs(t, filepath.Join(dir, "blobs", "sha256"), 1+3*3) // the index; manifest, config and layer of each platform
	manifest, err := read.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("%+v %v", manifest, err)
	}
	entry := manifest.Manifests[0]
	if entry.Digest != digest || entry.Annotations["io.containerd.image.name"] != name || entry.Annotations["org.opencontainers.image.ref.name"] != "1" {
		t.Errorf("index names %+v, want %s", entry, digest)
	}
	if _, err := oci.WriteLayout(dir, name, build(t, spec(t))); err == nil {
		t.Error("a second image was written over the first")
	}
}

func TestBuild_Refuses(t *testing.T) {
	for label, test := range map[string]struct {
		change func(*oci.Spec)
		want   string
	}{
		"NoBinary":      {func(s *oci.Spec) { s.Binaries = nil }, "at least one"},
		"RelativeEntry": {func(s *oci.Spec) { s.Entry = []string{"thing"} }, "absolute"},
		"NoEntry":       {func(s *oci.Spec) { s.Entry = nil }, "absolute"},
		"NoTag":         {func(s *oci.Spec) { s.Name = "example.local/thing" }, "name"},
		"OnlyPort":      {func(s *oci.Spec) { s.Name = "example.local:5000/thing" }, "name"},
		"EmptyTag":      {func(s *oci.Spec) { s.Name = "example.local/thing:" }, "name"},
		"NamedUser":     {func(s *oci.Spec) { s.User = "nobody" }, "number"},
		"NamedGroup":    {func(s *oci.Spec) { s.User = "1:users" }, "number"},
		"RelativeMkdir": {func(s *oci.Spec) { s.Mkdirs = []string{"tmp"} }, "absolute"},
		"BadPlatform":   {func(s *oci.Spec) { s.Binaries["amd64"] = s.Binaries["linux/amd64"] }, "platform"},
		"OtherMachine":  {func(s *oci.Spec) { s.Binaries["linux/riscv64"] = s.Binaries["linux/amd64"] }, "not for linux/riscv64"},
		"NoProgram": {func(s *oci.Spec) {
			s.Binaries["linux/amd64"] = write(t, filepath.Join(t.TempDir(), "x"), "#!/bin/sh", 0o755)
		}, "cannot read binary"},
		"NoSuchDir": {func(s *oci.Spec) { s.Dirs["/no/such/folder"] = "/x" }, "no such file"},
		"Dynamic":   {func(s *oci.Spec) { s.Binaries["linux/amd64"] = program(t, elf.EM_X86_64, elf.PT_INTERP) }, "linked dynamically"},
	} {
		t.Run(label, func(t *testing.T) {
			s := spec(t)
			test.change(&s)
			if _, err := oci.Build(s); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}
