package containerd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// firstDigest is what the first entry of an index names.
func firstDigest(t testing.TB, text []byte) digest.Digest {
	t.Helper()
	var index ocispec.Index
	if err := json.Unmarshal(text, &index); err != nil {
		t.Fatal(err)
	}
	return index.Manifests[0].Digest
}

func TestDriver_Pull(t *testing.T) {
	p := testImage()
	p.below = []map[string]string{{"etc/a": "1"}, {"etc/b": "2"}}
	r, ref := serveImage(t, p)
	n := newEmptyNode(t)
	var told [][2]int64
	image, fetched, err := n.Pull(t.Context(), ref, func(done, total int64) { told = append(told, [2]int64{done, total}) })
	if err != nil {
		t.Fatal(err)
	}
	_, sum, _ := strings.Cut(ref, "@")
	if image.Digest != sum || image.Name != sum || image.Size == 0 || len(image.Platforms) == 0 {
		t.Errorf("got %+v, want it named by its digest", image)
	}
	var size int64
	for _, content := range r.blobs {
		size += int64(len(content))
	}
	if fetched != size {
		t.Errorf("got %d bytes fetched, want all %d, once", fetched, size)
	}
	if !slices.IsSortedFunc(told, func(a, b [2]int64) int { return int(a[0] - b[0]) }) || len(told) < 3 {
		t.Errorf("got progress %v", told)
	}
	if last := told[len(told)-1]; last[0] != last[1] || last[1] < int64(len(shared.program)) {
		t.Errorf("got %v told at last, want all of it", last)
	}
	w := behave("sleep")
	w.Image = ref
	n.start(t, w, "one")
	r.requests()
	t.Run("Again", func(t *testing.T) {
		again, fetched, err := n.Pull(t.Context(), ref, nil)
		if err != nil || fetched != 0 || again.Digest != image.Digest {
			t.Errorf("got %+v, %d bytes fetched, %v", again, fetched, err)
		}
		if asked := r.requests(); len(asked) > 0 {
			t.Errorf("the registry was asked for %q, of what the node has", asked)
		}
	})
	t.Run("NothingElseIsKept", func(t *testing.T) {
		if left := strings.Fields(n.ctr(t.Context(), "leases", "list", "--quiet")); !slices.Equal(left, []string{"holdfast"}) {
			t.Errorf("got leases %q, want ours alone", left)
		}
		n.ctr(t.Context(), "content", "prune", "references")
		n.start(t, w, "two")
	})
	t.Run("TagBesideTheDigest", func(t *testing.T) {
		if _, fetched, err := n.Pull(t.Context(), strings.Replace(ref, "@", ":1.2@", 1), nil); err != nil || fetched != 0 {
			t.Errorf("got %d bytes fetched, %v", fetched, err)
		}
	})
}

func TestDriver_Pull_Platforms(t *testing.T) {
	p := testImage()
	p.platforms = []string{foreignArch(), goruntime.GOARCH}
	_, ref := serveImage(t, p)
	n := newEmptyNode(t)
	if _, _, err := n.Pull(t.Context(), ref, nil); err != nil {
		t.Fatal(err)
	}
	w := behave("sleep")
	w.Image = ref
	n.start(t, w, "one")
	p.platforms = []string{foreignArch(), foreignArch()}
	r, ref := serveImage(t, p)
	_, _, err := n.Pull(t.Context(), ref, nil)
	if !errors.Is(err, edge.ErrWrongPlatform) || !strings.Contains(err.Error(), foreignArch()) {
		t.Errorf("got %v, want %v", err, edge.ErrWrongPlatform)
	}
	if asked := r.requests(); len(asked) != 1 {
		t.Errorf("the registry was asked for %q, want the index alone", asked)
	}
}

func TestDriver_Pull_Reference(t *testing.T) {
	n := newEmptyNode(t)
	sum := "@sha256:" + strings.Repeat("1", 64)
	for _, ref := range []string{
		"", "line.example/prog", "line.example/prog:1", "line.example/prog@sha256:12", "@sha256:" + strings.Repeat("1", 64),
		"line.example/prog@sha512:" + strings.Repeat("1", 128), "https://line.example/prog" + sum, "line.example/../x" + sum,
		"line.example/a b" + sum, "line.example/a?x" + sum, "me:secret@line.example/prog" + sum, "line.example/Prog" + sum, "line.example//x" + sum,
	} {
		if _, _, err := n.Pull(t.Context(), ref, nil); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("%q: got %v, want %v", ref, err, edge.ErrInvalid)
		}
	}
}

// TestDriver_Pull_Bad asks registries that fail or lie.
func TestDriver_Pull_Bad(t *testing.T) {
	isLayer := func(r *fakeRegistry, content []byte) bool {
		_, layer := r.layer()
		return bytes.Equal(content, layer)
	}
	isManifest := func(req *http.Request) bool { return strings.Contains(req.URL.Path, "/manifests/") }
	for name, test := range map[string]struct {
		misbehave func(r *fakeRegistry, w http.ResponseWriter, req *http.Request, content []byte) bool
		want      error
		says      string
	}{
		"Unknown": {func(_ *fakeRegistry, w http.ResponseWriter, req *http.Request, _ []byte) bool {
			http.NotFound(w, req)
			return true
		}, edge.ErrNotFound, "no such image"},
		"Broken": {func(_ *fakeRegistry, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}, edge.ErrUnavailable, "502"},
		"Private": {func(_ *fakeRegistry, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			w.Header().Set("WWW-Authenticate", `Basic realm="line"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}, edge.ErrInvalid, "no password for it"},
		"TokenElsewhere": {func(_ *fakeRegistry, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://other.example/token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}, edge.ErrInvalid, "not encrypted"},
		"ManifestLies": {func(_ *fakeRegistry, w http.ResponseWriter, req *http.Request, content []byte) bool {
			if isManifest(req) {
				_, _ = w.Write(append([]byte(" "), content...))
			}
			return isManifest(req)
		}, edge.ErrInvalid, "not what its name says"},
		"ManifestEndless": {func(_ *fakeRegistry, w http.ResponseWriter, req *http.Request, _ []byte) bool {
			for isManifest(req) {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return true
				}
			}
			return false
		}, edge.ErrInvalid, "longer than it may be"},
		"LayerLies": {func(r *fakeRegistry, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			if isLayer(r, content) {
				lie := bytes.Clone(content)
				lie[600] ^= 0xff
				_, _ = w.Write(lie)
			}
			return isLayer(r, content)
		}, edge.ErrInvalid, "not what its name says"},
		"LayerEndless": {func(r *fakeRegistry, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			if !isLayer(r, content) {
				return false
			}
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return true
				}
			}
		}, edge.ErrInvalid, "longer than it may be"},
		"LayerShort": {func(r *fakeRegistry, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			if isLayer(r, content) {
				_, _ = w.Write(content[:5000])
			}
			return isLayer(r, content)
		}, edge.ErrUnavailable, "broke off"},
		"LayerCutOff": {func(r *fakeRegistry, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			if isLayer(r, content) {
				w.Header().Set("Content-Length", fmt.Sprint(len(content)))
				_, _ = w.Write(content[:len(content)/2])
				panic(http.ErrAbortHandler)
			}
			return false
		}, edge.ErrUnavailable, "broke off"},
		"OtherRange": {func(r *fakeRegistry, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			if isLayer(r, content) {
				w.Header().Set("Content-Range", "bytes 7-8/9")
				w.WriteHeader(http.StatusPartialContent)
			}
			return isLayer(r, content)
		}, edge.ErrInvalid, "asked for what follows byte 0"},
		"WebPage": {func(_ *fakeRegistry, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte("<html>please log in"))
			return true
		}, edge.ErrInvalid, "web page"},
		"WebPageForALayer": {func(r *fakeRegistry, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			if isLayer(r, content) {
				w.Header().Set("Content-Type", "text/html")
			}
			return isLayer(r, content)
		}, edge.ErrInvalid, "web page"},
		"RoundInCircles": {func(_ *fakeRegistry, w http.ResponseWriter, req *http.Request, _ []byte) bool {
			http.Redirect(w, req, req.URL.Path, http.StatusTemporaryRedirect)
			return true
		}, edge.ErrInvalid, "on and on"},
		"ElsewhereInTheOpen": {func(_ *fakeRegistry, w http.ResponseWriter, req *http.Request, _ []byte) bool {
			http.Redirect(w, req, "http://other.example/x", http.StatusTemporaryRedirect)
			return true
		}, edge.ErrInvalid, "not encrypted"},
		"OtherLength": {func(r *fakeRegistry, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			if isLayer(r, content) {
				w.Header().Set("Content-Length", fmt.Sprint(len(content)+1))
				_, _ = w.Write(content)
			}
			return isLayer(r, content)
		}, edge.ErrInvalid, "announces"},
		"Busy": {func(_ *fakeRegistry, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}, edge.ErrUnavailable, "429"},
		"BusyForAnHour": {func(_ *fakeRegistry, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}, edge.ErrUnavailable, "1h0m0s"},
		"Stalls": {func(r *fakeRegistry, w http.ResponseWriter, req *http.Request, content []byte) bool {
			if isLayer(r, content) {
				w.Header().Set("Content-Length", fmt.Sprint(len(content)))
				_, _ = w.Write(content[:5000])
				_ = http.NewResponseController(w).Flush()
				<-req.Context().Done()
			}
			return isLayer(r, content)
		}, edge.ErrUnavailable, "nothing came"},
		"SaysNothing": {func(_ *fakeRegistry, _ http.ResponseWriter, req *http.Request, _ []byte) bool {
			<-req.Context().Done()
			return true
		}, edge.ErrUnavailable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, ref := serveImage(t, testImage())
			r.misbehave = func(w http.ResponseWriter, req *http.Request, content []byte) bool {
				return test.misbehave(r, w, req, content)
			}
			n := newEmptyNode(t)
			n.opts.PullStall, n.opts.PullPause = 200*time.Millisecond, time.Millisecond
			driver := n.again(t)
			_, _, err := driver.Pull(t.Context(), ref, nil)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got %v, want %v that says %q", err, test.want, test.says)
			}
			if left := n.ctr(t.Context(), "images", "list", "--quiet"); strings.TrimSpace(left) != "" {
				t.Errorf("a bad pull left images: %s", left)
			}
			if errors.Is(test.want, edge.ErrInvalid) || strings.HasPrefix(name, "Unknown") || name == "SaysNothing" {
				for _, kind := range []string{"content", "leases"} {
					left := strings.TrimSpace(n.ctr(t.Context(), kind, "list", "--quiet"))
					if left != "" && left != "holdfast" {
						t.Errorf("what is of no use was kept, %s: %s", kind, left)
					}
				}
			}
			r.misbehave = nil
			if _, _, err := driver.Pull(t.Context(), ref, nil); err != nil {
				t.Errorf("once it behaves: %v", err)
			}
		})
	}
}

func TestDriver_Pull_Cancelled(t *testing.T) {
	r, ref := serveImage(t, testImage())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, layer := r.layer()
	r.misbehave = func(_ http.ResponseWriter, req *http.Request, content []byte) bool {
		if bytes.Equal(content, layer) {
			cancel()
			<-req.Context().Done()
		}
		return bytes.Equal(content, layer)
	}
	n := newEmptyNode(t)
	if _, _, err := n.Pull(ctx, ref, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestDriver_Pull_Token(t *testing.T) {
	r, ref := serveImage(t, testImage())
	r.misbehave = func(w http.ResponseWriter, req *http.Request, _ []byte) bool {
		switch {
		case req.URL.Path == "/token":
			if scope := req.URL.Query().Get("scope"); scope == "repository:"+repository+":pull" && req.URL.Query().Get("service") == "line" {
				_, _ = w.Write([]byte(`{"access_token":"open"}`))
			}
			return true
		case req.Header.Get("Authorization") == "Bearer open":
			return false
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+r.URL+`/token",service="line"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	n := newEmptyNode(t)
	if _, _, err := n.Pull(t.Context(), ref, nil); err != nil {
		t.Error(err)
	}
}

func TestDriver_Pull_Unreachable(t *testing.T) {
	r, ref := serveImage(t, testImage())
	r.Close()
	n := newEmptyNode(t)
	if _, _, err := n.Pull(t.Context(), ref, nil); !errors.Is(err, edge.ErrUnavailable) || edge.HintOf(err) == "" {
		t.Errorf("got %v with hint %q", err, edge.HintOf(err))
	}
	away, err := containerd.New(containerd.Options{Address: "/run/hft-none.sock", StateDir: t.TempDir(), RunDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	if _, _, err := away.Pull(t.Context(), ref, nil); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("without containerd: got %v", err)
	}
	if _, err := away.RemoveImages(t.Context(), nil); !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("without containerd: got %v", err)
	}
}

func TestDriver_RemoveImages(t *testing.T) {
	n := newEmptyNode(t)
	elsewhere := newNode(t) // another namespace with the same content
	kept := testImage()
	kept.below = []map[string]string{{"etc/shared": strings.Repeat("x", 100_000)}}
	keptImage := n.importImage(t, kept)[0]
	gone := kept
	gone.name, gone.files = "test.local/gone:1", map[string]string{"big": strings.Repeat("y", 3_000_000)}
	goneImage := n.importImage(t, gone)[0]
	running := testImage()
	running.name, running.files = "test.local/running:1", map[string]string{"more": "z"}
	runningImage := n.importImage(t, running)[0]
	w := behave("sleep")
	w.Image = runningImage.Digest
	n.start(t, w, "one")

	freed, err := n.RemoveImages(t.Context(), []string{goneImage.Digest, "sha256:" + strings.Repeat("0", 64)})
	if err != nil {
		t.Fatal(err)
	}
	if freed < 6_000_000 || freed > 60_000_000 { // as content and as layer
		t.Errorf("got %d bytes freed, want what the image alone took", freed)
	}
	list, err := n.Images(t.Context())
	if err != nil || len(list) != 2 {
		t.Errorf("got %+v, %v, want two left", list, err)
	}
	w.Image = goneImage.Digest
	if _, err := n.Start(t.Context(), w, "gone"); !errors.Is(err, edge.ErrNotFound) {
		t.Errorf("got %v from starting what was removed, want %v", err, edge.ErrNotFound)
	}
	w.Image = keptImage.Digest
	n.start(t, w, "kept")
	t.Run("InUse", func(t *testing.T) {
		if _, err := n.RemoveImages(t.Context(), []string{runningImage.Digest}); err != nil {
			t.Fatal(err)
		}
		if exit, err := n.Exec(t.Context(), "one", []string{"/testprog", "exit", "3"}, nil, nil, nil); err != nil || exit.Code != 3 {
			t.Errorf("got %+v, %v, want the instance to go on with all it has", exit, err)
		}
	})
	t.Run("Elsewhere", func(t *testing.T) {
		elsewhere.start(t, behave("sleep"), "other")
	})
	t.Run("AndPulledAgain", func(t *testing.T) {
		_, ref := serveImage(t, gone)
		if _, fetched, err := n.Pull(t.Context(), ref, nil); err != nil || fetched == 0 {
			t.Errorf("got %d bytes fetched, %v", fetched, err)
		}
	})
}
