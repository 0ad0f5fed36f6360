package containerd_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	goruntime "runtime"
	"strings"
	"testing"
	"testing/iotest"

	"holdfast/edge"
)

// foreignArch is one this machine cannot run.
func foreignArch() string {
	if goruntime.GOARCH == "s390x" {
		return "ppc64le"
	}
	return "s390x"
}

func TestDriver_Import(t *testing.T) {
	shared.open(t)
	plain := testImage().archive(t)
	for name, source := range map[string]io.Reader{
		"Plain":  bytes.NewReader(plain),
		"Gzip":   bytes.NewReader(gzipped(t, plain)),
		"Zstd":   bytes.NewReader(zstandard(t, plain)),
		"Stream": io.MultiReader(bytes.NewReader(plain)),
		"Docker": bytes.NewReader(testImage().docker(t)),
	} {
		t.Run(name, func(t *testing.T) {
			n := newEmptyNode(t)
			images, err := n.Import(t.Context(), source)
			if err != nil {
				t.Fatal(err)
			}
			if len(images) != 1 || images[0].Name != imageName || images[0].Size < int64(len(shared.program)) {
				t.Errorf("got %+v, want %q with its size", images, imageName)
			}
			if exit, err := n.RunOnce(t.Context(), behave("exit", "5"), "once", nil); err != nil || exit.Code != 5 {
				t.Errorf("got %+v, %v from running it", exit, err)
			}
		})
	}
	t.Run("ManyPlatforms", func(t *testing.T) {
		n := newEmptyNode(t)
		p := testImage()
		p.platforms = []string{foreignArch(), goruntime.GOARCH}
		images := n.importImage(t, p)
		if len(images) != 1 || len(images[0].Platforms) == 0 {
			t.Fatalf("got %+v, want one image and its platforms", images)
		}
		n.start(t, behave("sleep"), "one")
	})
	t.Run("WithoutName", func(t *testing.T) {
		n := newEmptyNode(t)
		p := testImage()
		p.name = ""
		images := n.importImage(t, p)
		if len(images) != 1 || images[0].Name != images[0].Digest || !strings.HasPrefix(images[0].Digest, "sha256:") {
			t.Fatalf("got %+v, want its digest for a name", images)
		}
		w := behave("sleep")
		w.Image = images[0].Digest
		n.start(t, w, "one")
	})
	t.Run("SourceFails", func(t *testing.T) {
		n := newEmptyNode(t)
		source := io.MultiReader(bytes.NewReader(plain[:5000]), iotest.ErrReader(os.ErrPermission))
		if _, err := n.Import(t.Context(), source); !errors.Is(err, os.ErrPermission) || errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want the source's own error, and not the archive blamed", err)
		}
	})
	t.Run("ContextEnds", func(t *testing.T) {
		n := newEmptyNode(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := n.Import(ctx, bytes.NewReader(plain)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	})
}

func TestDriver_ImportAgain(t *testing.T) {
	n := newEmptyNode(t)
	first := n.importImage(t, testImage())[0]
	changed := testImage()
	changed.files = map[string]string{"new": "content"}
	second := n.importImage(t, changed)[0]
	if first.Digest == second.Digest {
		t.Fatal("both imports have one digest")
	}
	// What garbage collection can take, it takes now.
	n.ctr(t.Context(), "content", "prune", "references")
	list, err := n.Images(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatalf("got %+v, %v, want the tag and the old digest", list, err)
	}
	for name, image := range map[string]edge.Image{"old": first, "new": second} {
		w := behave("sleep")
		w.Image = image.Digest
		if got := n.start(t, w, name).Digest; got != image.Digest {
			t.Errorf("got digest %s for %s, want %s", got, name, image.Digest)
		}
		w.Image = imageName + "@" + image.Digest
		n.start(t, w, name+"-pinned")
	}
	if got := n.start(t, behave("sleep"), "tag").Digest; got != second.Digest {
		t.Errorf("got digest %s by tag, want the newer %s", got, second.Digest)
	}
}

// largest returns the name of the largest file, which is the layer.
func largest(files map[string][]byte) string {
	var found string
	for name, content := range files {
		if found == "" || len(content) > len(files[found]) {
			found = name
		}
	}
	return found
}

func TestDriver_ImportBad(t *testing.T) {
	shared.open(t)
	plain := testImage().archive(t)
	spoilt := func(spoil func(map[string][]byte)) []byte {
		p := testImage()
		p.spoil = spoil
		return p.archive(t)
	}
	elsewhere := testImage()
	elsewhere.platforms = []string{foreignArch()}
	compressed := gzipped(t, plain)
	flipped := bytes.Clone(compressed)
	flipped[len(flipped)-6] ^= 0xff // in the checksum
	for name, test := range map[string]struct {
		archive []byte
		want    error
		says    string
	}{
		"Empty":             {nil, edge.ErrInvalid, "empty"},
		"Foreign":           {[]byte(strings.Repeat("not an archive ", 100)), edge.ErrInvalid, "not an image archive"},
		"ShortForeign":      {[]byte("hi"), edge.ErrInvalid, "truncated"},
		"Truncated":         {plain[:len(plain)/2], edge.ErrInvalid, "truncated"},
		"TruncatedBetween":  {spoilt(func(f map[string][]byte) { delete(f, largest(f)) }), edge.ErrInvalid, "missing"},
		"TruncatedGzip":     {compressed[:len(compressed)/2], edge.ErrInvalid, "truncated"},
		"DamagedGzip":       {flipped, edge.ErrInvalid, "damaged"},
		"TruncatedZstd":     {zstandard(t, plain)[:1000], edge.ErrInvalid, "truncated"},
		"HugeWindow":        {farReaching(t, plain), edge.ErrInvalid, "memory"},
		"Bzip2":             {[]byte("BZh91AY&SY"), edge.ErrInvalid, "bzip2"},
		"OtherTar":          {writeTar(t, map[string][]byte{"readme": []byte("hi")}, 0o644), edge.ErrInvalid, "holds no image"},
		"OtherArchitecture": {elsewhere.archive(t), edge.ErrWrongPlatform, "linux/" + foreignArch()},
		"OtherArchDocker":   {elsewhere.docker(t), edge.ErrWrongPlatform, "linux/" + foreignArch()},
		"DamagedLayer":      {spoilt(func(f map[string][]byte) { f[largest(f)][600] ^= 0xff }), edge.ErrInvalid, "damaged"},
		"OtherLayout":       {spoilt(func(f map[string][]byte) { f["oci-layout"] = []byte(`{"imageLayoutVersion":"9"}`) }), edge.ErrInvalid, `version "9"`},
		"NoIndex":           {spoilt(func(f map[string][]byte) { delete(f, "index.json") }), edge.ErrInvalid, "missing"},
		"BadIndex":          {spoilt(func(f map[string][]byte) { f["index.json"] = []byte(`{"manifests":7}`) }), edge.ErrInvalid, "cannot decode"},
		"EmptyIndex":        {spoilt(func(f map[string][]byte) { f["index.json"] = []byte(`{}`) }), edge.ErrInvalid, "index is empty"},
		"BadDigest": {spoilt(func(f map[string][]byte) {
			f["index.json"] = []byte(`{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"../../x","size":1}]}`)
		}), edge.ErrInvalid, "names a blob"},
		"Artifact": {spoilt(func(f map[string][]byte) {
			f["index.json"] = []byte(`{"manifests":[{"mediaType":"application/vnd.thing","digest":"sha256:00","size":1}]}`)
		}), edge.ErrInvalid, "not a container image"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newEmptyNode(t)
			images, err := n.Import(t.Context(), bytes.NewReader(test.archive))
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %+v, %v, want %v that says %q", images, err, test.want, test.says)
			}
			for _, kind := range []string{"images", "content", "leases"} {
				if left := n.ctr(t.Context(), kind, "list", "--quiet"); strings.TrimSpace(left) != "" {
					t.Errorf("a bad archive left %s: %s", kind, left)
				}
			}
		})
	}
}

func TestDriver_ImportLayerThatIsNone(t *testing.T) {
	// Everything adds up, but the layer is no archive: only unpacking finds out.
	p := testImage()
	p.damageLayer = true
	n := newEmptyNode(t)
	if _, err := n.Import(t.Context(), bytes.NewReader(p.archive(t))); err == nil {
		t.Fatal("got no error for a layer that is no archive")
	}
	if left := n.ctr(t.Context(), "images", "list", "--quiet"); strings.TrimSpace(left) != "" {
		t.Errorf("a bad archive left images: %s", left)
	}
	n.importImage(t, testImage())
	n.start(t, behave("sleep"), "after")
}
