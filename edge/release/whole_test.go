package release_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/release"
)

func TestWhole_Fetch(t *testing.T) {
	content := bytes.Repeat([]byte("a system, or most of it. "), 20_000)
	sum := sha256.Sum256(content)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	serve := func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "b", time.Time{}, bytes.NewReader(content))
	}
	for _, c := range []struct {
		name   string
		there  []byte
		serve  http.HandlerFunc
		room   error
		want   string // empty: it is brought
		kept   int    // of what did not come whole
		ranges string
	}{
		{name: "Whole", serve: serve},
		{name: "GoesOn", there: content[:1000], serve: serve, ranges: "bytes=1000-"},
		{name: "IsThere", there: content, serve: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }},
		{name: "OtherBeginning", there: []byte("another system"), serve: serve, ranges: "bytes=14-,"},
		{name: "LongerThanIt", there: bytes.Repeat(content, 2), serve: serve, ranges: fmt.Sprintf("bytes=%d-,", 2*len(content))},
		{name: "NoRanges", there: content[:1000], ranges: "bytes=1000-", serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			_, _ = w.Write(content)
		}},
		{name: "Other", want: "it has the digest", serve: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("another")) }},
		{name: "EndsTooSoon", want: "ends after 100000 bytes", kept: 1 << 16, serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			_, _ = w.Write(content[:100_000])
		}},
		{name: "NotThere", want: "no such file", serve: http.NotFound},
		{name: "Elsewhere", want: "leads elsewhere", serve: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.2/b", http.StatusFound)
		}},
		{name: "NoLength", want: "says that it has -1 bytes", serve: func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
			_, _ = w.Write(content)
		}},
		{name: "OtherRange", there: content[:10], kept: 10, want: "not the rest from 10 on", ranges: "bytes=10-", serve: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-9/100")
			w.WriteHeader(http.StatusPartialContent)
		}},
		{name: "NoRoom", room: edge.ErrNoRoom, want: "no room", serve: serve},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ranges []string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ranges = append(ranges, r.Header.Get("Range"))
				c.serve(w, r)
			}))
			defer server.Close()
			path := filepath.Join(t.TempDir(), "b")
			if c.there != nil {
				if err := os.WriteFile(path, c.there, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			told := int64(0)
			err := release.Whole{
				URL: server.URL + "/b", Digest: digest, Client: release.NewClient(time.Now),
				Room: func(int64) error { return c.room }, Told: func(done, _ int64) { told = done },
			}.Fetch(t.Context(), path)
			there, _ := os.ReadFile(path)
			switch {
			case c.want == "" && (err != nil || !bytes.Equal(there, content)):
				t.Errorf("got %v, and %d bytes", err, len(there))
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, edge.ErrUnavailable) || len(there) != c.kept):
				t.Errorf("got %v, and %d bytes; want %q, to be tried again, and %d bytes", err, len(there), c.want, c.kept)
			}
			if got := strings.Join(ranges, ","); c.ranges != "" && got != c.ranges {
				t.Errorf("asked for %q, want %q", got, c.ranges)
			}
			if c.name == "Whole" && told != int64(len(content)) {
				t.Errorf("told of %d bytes, want %d", told, len(content))
			}
		})
	}
}
