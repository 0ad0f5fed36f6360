package page_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"holdfast/edge/page"
)

// maxWeight is what the whole page may weigh as it travels, in bytes: under a second on
// a line of 1.2 Mbit/s.
const maxWeight = 150 << 10

func ask(t testing.TB, h http.Handler, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t testing.TB, resp *http.Response) string {
	t.Helper()
	var from io.Reader = resp.Body
	if resp.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		from = unpacked
	}
	body, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestPage_Serve(t *testing.T) {
	h := page.New(`1.2-"x"`)
	t.Run("Document", func(t *testing.T) {
		resp := ask(t, h, "GET", "/")
		if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/html; charset=utf-8" {
			t.Errorf("got %s, %q", resp.Status, got)
		}
		if body := text(t, resp); !strings.Contains(body, `data-version="1.2-&#34;x&#34;"`) {
			t.Error("the document does not say the agent's version")
		}
	})
	t.Run("Policy", func(t *testing.T) {
		for _, path := range []string{"/", "/page/app.js", "/page/icon.svg"} {
			h := ask(t, h, "GET", path).Header
			if got := h.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'self';") || strings.Contains(got, "unsafe") {
				t.Errorf("%s: policy is %q", path, got)
			}
			if got := h.Get("X-Content-Type-Options"); got != "nosniff" {
				t.Errorf("%s: X-Content-Type-Options is %q", path, got)
			}
		}
	})
	t.Run("Compressed", func(t *testing.T) {
		plain := ask(t, h, "GET", "/page/app.js")
		packed := ask(t, h, "GET", "/page/app.js", "Accept-Encoding", "br, gzip;q=0.8")
		if packed.ContentLength >= plain.ContentLength || packed.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("compressed %d bytes (%s), plain %d", packed.ContentLength, packed.Header.Get("Content-Encoding"), plain.ContentLength)
		}
		if text(t, packed) != text(t, plain) {
			t.Error("what was compressed is not what was there")
		}
		if got := ask(t, h, "GET", "/page/app.js", "Accept-Encoding", "gzip; q=0").Header.Get("Content-Encoding"); got != "" {
			t.Errorf("encoded as %q for somebody who cannot read it", got)
		}
	})
	t.Run("Unchanged", func(t *testing.T) {
		tag := ask(t, h, "GET", "/page/app.js").Header.Get("ETag")
		for _, known := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
			if got := ask(t, h, "GET", "/page/app.js", "If-None-Match", known).StatusCode; got != http.StatusNotModified {
				t.Errorf("If-None-Match %s: got %d", known, got)
			}
		}
		if got := ask(t, h, "GET", "/page/app.js", "If-None-Match", `"other"`).StatusCode; got != http.StatusOK {
			t.Errorf("another tag: got %d", got)
		}
		if ask(t, page.New("2"), "GET", "/").Header.Get("ETag") == ask(t, h, "GET", "/").Header.Get("ETag") {
			t.Error("the document of another version has the same tag")
		}
	})
	t.Run("Others", func(t *testing.T) {
		for path, want := range map[string]int{"/page/": 404, "/page/none.js": 404, "/page/../page.go": 404, "/page/index.html": 404, "/other": 404} {
			if got := ask(t, h, "GET", path).StatusCode; got != want {
				t.Errorf("%s: got %d, want %d", path, got, want)
			}
		}
		if got := ask(t, h, "POST", "/"); got.StatusCode != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("POST: got %s, Allow %q", got.Status, got.Header.Get("Allow"))
		}
		head := ask(t, h, "HEAD", "/")
		if body := text(t, head); body != "" || head.ContentLength == 0 {
			t.Errorf("HEAD: %d bytes of body, length %d", len(body), head.ContentLength)
		}
	})
}

// load gets the document and everything it names, and what that names.
func load(t testing.TB, h http.Handler) map[string]*http.Response {
	t.Helper()
	all := map[string]*http.Response{}
	names := regexp.MustCompile(`(?:href|src)="(/[^"]*)"|from "(\.{1,2}/[^"]+)"`)
	var walk func(path string)
	walk = func(path string) {
		if all[path] != nil {
			return
		}
		resp := ask(t, h, "GET", path, "Accept-Encoding", "gzip")
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", path, resp.Status)
		}
		all[path] = resp
		for _, m := range names.FindAllStringSubmatch(text(t, resp), -1) {
			if m[1] != "" {
				walk(m[1])
				continue
			}
			walk(resolve(path, m[2]))
		}
	}
	walk("/")
	return all
}

// resolve is where a module's import leads.
func resolve(from, to string) string {
	r := httptest.NewRequest(http.MethodGet, from, nil)
	u, err := r.URL.Parse(to)
	if err != nil {
		return to
	}
	return u.Path
}

func TestPage_Weight(t *testing.T) {
	total := int64(0)
	all := load(t, page.New("1"))
	for _, resp := range all {
		total += resp.ContentLength
	}
	t.Logf("the page is %d files and %.1f KiB as it travels", len(all), float64(total)/1024)
	if len(all) < 10 || total > maxWeight {
		t.Errorf("%d files of %d bytes, want some and at most %d", len(all), total, maxWeight)
	}
}

// foreign finds what a page must not hold: an address elsewhere, a script or style
// inside the document, text taken for markup.
func foreign(path, body string) []string {
	body = strings.ReplaceAll(body, "http://www.w3.org/2000/svg", "") // a name, and nothing is loaded from it
	found := regexp.MustCompile(`https?://|["'(]//[a-z0-9.-]+|\.(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|new Function\(|@import`).FindAllString(body, -1)
	if path == "/" {
		found = append(found, regexp.MustCompile(`<style|\sstyle=|\son[a-z]+=|<script(?:>|[^>]*[^>c]>[^<])|javascript:`).FindAllString(body, -1)...)
	}
	return found
}

func TestPage_Foreign(t *testing.T) {
	h := page.New("1")
	for path, resp := range load(t, h) {
		again := ask(t, h, "GET", path)
		if found := foreign(path, text(t, again)); len(found) > 0 {
			t.Errorf("%s (%s) holds %q", path, resp.Status, found)
		}
	}
	t.Run("Control", func(t *testing.T) {
		for _, bad := range []string{`<link href="https://fonts.example/x.css">`, `<p style="color:red">`, `<script>go()</script>`, `<b onclick="x()">`, `el.innerHTML = name`, `<img src="//cdn.example.org/x.png">`} {
			if len(foreign("/", bad)) == 0 {
				t.Errorf("%s goes unseen", bad)
			}
		}
	})
}
