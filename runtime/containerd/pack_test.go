package containerd_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	goruntime "runtime"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	specsgo "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const imageName = "test.local/prog:1"

// pack is an image archive in the making, with knobs for what can be wrong.
type pack struct {
	name      string // annotated; empty: none
	platforms []string
	user      string
	files     map[string]string // beside the program
	// below are the files of further layers, the lowest first: compressed by gzip and
	// by zstd in turns.
	below []map[string]string
	spoil func(files map[string][]byte)
	// damageLayer makes the layer bytes that are no archive, under a digest that fits.
	damageLayer bool
	// otherDiff makes the configuration name another layer.
	otherDiff bool
}

// testImage is the image nearly every test runs.
func testImage() pack {
	return pack{name: imageName, platforms: []string{goruntime.GOARCH}}
}

// blobs collects an OCI layout's files.
type blobs map[string][]byte

func (b blobs) add(mediaType string, content []byte) ocispec.Descriptor {
	sum := digest.FromBytes(content)
	b["blobs/sha256/"+sum.Encoded()] = content
	return ocispec.Descriptor{MediaType: mediaType, Digest: sum, Size: int64(len(content))}
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// layout makes the files of an OCI layout.
func (p pack) layout(t testing.TB) map[string][]byte {
	t.Helper()
	files := blobs{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	var manifests []ocispec.Descriptor
	for _, arch := range p.platforms {
		manifests = append(manifests, p.manifest(t, files, arch))
	}
	target := manifests[0]
	if len(manifests) > 1 {
		target = files.add(ocispec.MediaTypeImageIndex, encode(t, ocispec.Index{
			Versioned: specsgo.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests,
		}))
	}
	if p.name != "" {
		target.Annotations = map[string]string{"io.containerd.image.name": p.name}
	}
	files["index.json"] = encode(t, ocispec.Index{Versioned: specsgo.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{target}})
	if p.spoil != nil {
		p.spoil(files)
	}
	return files
}

func (p pack) manifest(t testing.TB, files blobs, arch string) ocispec.Descriptor {
	t.Helper()
	layer := p.layer(t)
	settings := p.config(layer, arch)
	descs := []ocispec.Descriptor{files.add(ocispec.MediaTypeImageLayer, layer)}
	for i, held := range slices.Backward(p.below) {
		desc, diff := lowerLayer(t, files, held, i%2 == 1)
		descs = append([]ocispec.Descriptor{desc}, descs...)
		settings.RootFS.DiffIDs = append([]digest.Digest{diff}, settings.RootFS.DiffIDs...)
	}
	if p.otherDiff {
		settings.RootFS.DiffIDs[0] = digest.FromString("another")
	}
	config := files.add(ocispec.MediaTypeImageConfig, encode(t, settings))
	desc := files.add(ocispec.MediaTypeImageManifest, encode(t, ocispec.Manifest{
		Versioned: specsgo.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: config, Layers: descs,
	}))
	desc.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
	return desc
}

// lowerLayer adds a compressed layer and tells its digest uncompressed as well.
func lowerLayer(t testing.TB, into blobs, held map[string]string, zstd bool) (ocispec.Descriptor, digest.Digest) {
	t.Helper()
	files := make(map[string][]byte)
	for name, text := range held {
		files[name] = []byte(text)
	}
	plain := writeTar(t, files, 0o644)
	if zstd {
		return into.add(ocispec.MediaTypeImageLayerZstd, zstandard(t, plain)), digest.FromBytes(plain)
	}
	return into.add(ocispec.MediaTypeImageLayerGzip, gzipped(t, plain)), digest.FromBytes(plain)
}

func (p pack) config(layer []byte, arch string) ocispec.Image {
	return ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: arch},
		Config:   ocispec.ImageConfig{User: p.user, Entrypoint: []string{"/testprog"}, Env: []string{"FROM_IMAGE=yes"}},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}},
	}
}

// layer holds the program and what else the image needs.
func (p pack) layer(t testing.TB) []byte {
	t.Helper()
	if p.damageLayer {
		return bytes.Repeat([]byte("no archive "), 1000)
	}
	files := map[string][]byte{"testprog": shared.program}
	for name, text := range p.files {
		files[name] = []byte(text)
	}
	return writeTar(t, files, 0o755)
}

func writeTar(t testing.TB, files map[string][]byte, mode int64) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		header := &tar.Header{Name: name, Mode: mode, Size: int64(len(files[name])), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// archive is the layout as one tar.
func (p pack) archive(t testing.TB) []byte {
	t.Helper()
	return writeTar(t, p.layout(t), 0o644)
}

// docker is the image as "docker save" writes it.
func (p pack) docker(t testing.TB) []byte {
	t.Helper()
	layer := p.layer(t)
	config := encode(t, p.config(layer, p.platforms[0]))
	sum := sha256.Sum256(config)
	name := hex.EncodeToString(sum[:]) + ".json"
	return writeTar(t, map[string][]byte{
		name: config, "1/layer.tar": layer,
		"manifest.json": encode(t, []map[string]any{{"Config": name, "RepoTags": []string{p.name}, "Layers": []string{"1/layer.tar"}}}),
	}, 0o644)
}

func gzipped(t testing.TB, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstandard(t testing.TB, content []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(content, nil)
}

// farReaching compresses so that reading it takes more memory than a gateway has.
func farReaching(t testing.TB, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(128<<20))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range [][]byte{content, content} { // in parts, so that its size is not known ahead
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
