package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed static
var files embed.FS

// Root is where the page is served, and Folder where the files are that it loads.
const (
	Root   = "/"
	Folder = "/page/"
)

// policy lets the page use what comes from where it came from itself, and nothing
// else: no script or style inside the HTML, no other host, no frame around it.
const policy = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

// versionMark stands in the HTML where the agent's version belongs.
const versionMark = "{{version}}"

// contentTypes are those of the files there are. The machine's own table is not
// asked: a gateway may have none.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// file is one thing that is served.
type file struct {
	kind string
	etag string
	text []byte
	thin func() []byte // the text, compressed; made when it is first wanted
}

// New returns what answers GET / and everything below /page/. The version is the
// agent's: the page tells by it that the agent was replaced by another one.
func New(version string) http.Handler {
	all := map[string]*file{}
	// The tree is part of the binary: it cannot fail to be read.
	_ = fs.WalkDir(files, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		short := strings.TrimPrefix(name, "static/")
		if short == "index.html" {
			all[Root] = newFile(name, bytes.ReplaceAll(text, []byte(versionMark), []byte(html.EscapeString(version))))
			return nil
		}
		all[Folder+short] = newFile(name, text)
		return nil
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(all, w, r) })
}

func newFile(name string, text []byte) *file {
	sum := sha256.Sum256(text)
	return &file{
		kind: contentTypes[path.Ext(name)],
		etag: `"` + hex.EncodeToString(sum[:12]) + `"`,
		text: text,
		thin: sync.OnceValue(func() []byte { return compress(text) }),
	}
}

func compress(text []byte) []byte {
	var out bytes.Buffer
	// Neither can fail: the level is a valid one, and memory takes what is written.
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression)
	_, _ = w.Write(text)
	_ = w.Close()
	return out.Bytes()
}

// serve answers with one of the files.
func serve(all map[string]*file, w http.ResponseWriter, r *http.Request) {
	f, ok := all[r.URL.Path]
	switch {
	case !ok:
		http.Error(w, "the page has no such file", http.StatusNotFound)
		return
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the page can only be read", http.StatusMethodNotAllowed)
		return
	}
	secure(w.Header())
	w.Header().Set("ETag", f.etag)
	w.Header().Set("Vary", "Accept-Encoding")
	// The names say no version, so a browser asks each time whether its copy is still
	// the right one, and hears so in a few bytes.
	w.Header().Set("Cache-Control", "no-cache")
	if matches(r.Header.Get("If-None-Match"), f.etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	f.send(w, r)
}

func (f *file) send(w http.ResponseWriter, r *http.Request) {
	body := f.text
	if takesGzip(r.Header.Get("Accept-Encoding")) {
		body = f.thin()
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	// Nobody is left to tell when the browser has gone.
	_, _ = w.Write(body)
}

func secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// matches tells whether a list of tags holds one. A weak tag is as good as any: the
// bytes are the same or they are not.
func matches(list, tag string) bool {
	for one := range strings.SplitSeq(list, ",") {
		one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
		if one == tag || one == "*" {
			return true
		}
	}
	return false
}

// takesGzip reads the encodings a browser names; a quality of 0 is a no.
func takesGzip(accept string) bool {
	for one := range strings.SplitSeq(accept, ",") {
		name, params, _ := strings.Cut(one, ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			quality, named := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
			q, err := strconv.ParseFloat(quality, 64)
			return !named || err == nil && q > 0
		}
	}
	return false
}
