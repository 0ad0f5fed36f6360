package containerd_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// fakeRegistry serves the content of images on the loopback, by digest, as the OCI
// distribution specification has it, and notes what it was asked for.
type fakeRegistry struct {
	*httptest.Server
	blobs map[string][]byte
	// misbehave, when it returns true, has answered in place of the registry.
	misbehave func(w http.ResponseWriter, r *http.Request, content []byte) bool

	mu    sync.Mutex // guards what follows
	asked []string
}

const repository = "line/prog"

// serveImage starts a registry that has an image, and names it by its digest. It is one
// that no namespace has: what another has, the daemon does not fetch.
func serveImage(t testing.TB, p pack) (r *fakeRegistry, ref string) {
	t.Helper()
	shared.open(t)
	p.name = ""
	p.files = maps.Clone(p.files)
	if p.files == nil {
		p.files = map[string]string{}
	}
	p.files["serial"] = fmt.Sprint(shared.next.Add(1))
	r = &fakeRegistry{blobs: map[string][]byte{}}
	var target digest.Digest
	for name, content := range p.layout(t) {
		if sum, is := strings.CutPrefix(name, "blobs/sha256/"); is {
			r.blobs["sha256:"+sum] = content
		}
		if name == "index.json" {
			target = firstDigest(t, content)
		}
	}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	ref = r.name(target.String())
	return r, ref
}

// name is a reference to content of the registry.
func (r *fakeRegistry) name(sum string) string {
	return strings.TrimPrefix(r.URL, "http://") + "/" + repository + "@" + sum
}

func (r *fakeRegistry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.asked = append(r.asked, req.URL.Path+" "+req.Header.Get("Range"))
	r.mu.Unlock()
	at := strings.LastIndexByte(req.URL.Path, '/')
	content, known := r.blobs[req.URL.Path[at+1:]]
	if r.misbehave != nil && r.misbehave(w, req, content) {
		return
	}
	folder := "/v2/" + repository
	if !known || req.URL.Path[:at] != folder+"/manifests" && req.URL.Path[:at] != folder+"/blobs" {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if offset, is := strings.CutPrefix(req.Header.Get("Range"), "bytes="); is {
		from, err := strconv.Atoi(strings.TrimSuffix(offset, "-"))
		if err != nil || from > len(content) {
			http.Error(w, "no such range", http.StatusRequestedRangeNotSatisfiable)
			return
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		content = content[from:]
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(content)
}

// requests is what was asked for since the last time.
func (r *fakeRegistry) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	return asked
}

// layer is the largest content there is.
func (r *fakeRegistry) layer() (sum string, content []byte) {
	sum = largest(r.blobs)
	return sum, r.blobs[sum]
}

// size is how many bytes there are of everything.
func (r *fakeRegistry) size() (size int64) {
	for _, content := range r.blobs {
		size += int64(len(content))
	}
	return size
}
