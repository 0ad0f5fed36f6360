package localapi_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	goruntime "runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"holdfast/edge/localapi"
)

const secret = "0123456789abcdef0123456789abcdef"

// ask sends a request to the port; header is name and value, in turn.
func (r *rig) ask(t testing.TB, method, path string, header ...string) reply {
	t.Helper()
	got, _ := r.askPort(t, method, path, header...)
	return got
}

func (r *rig) askPort(t testing.TB, method, path string, header ...string) (reply, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.server.Addr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return readReply(t, resp), resp.Header
}

// use puts a token in force.
func (r *rig) use(t testing.TB, token string) {
	t.Helper()
	if err := r.server.UseToken(token); err != nil {
		t.Fatal(err)
	}
}

func TestServer_UseToken(t *testing.T) {
	r := start(t, newNode())
	t.Run("Unsound", func(t *testing.T) {
		for _, bad := range []string{"short", strings.Repeat("x", localapi.MinToken-1), "sixteen letters and", strings.Repeat("é", 20)} {
			if err := r.server.UseToken(bad); err == nil || strings.Contains(err.Error(), bad) {
				t.Errorf("%q: got %v, want an error that does not show it", bad, err)
			}
		}
	})
	r.use(t, secret)
	t.Run("Right", func(t *testing.T) {
		for _, scheme := range []string{"Bearer ", "bearer "} {
			if got := r.ask(t, "POST", "/v1/undrain", "Authorization", scheme+secret); got.status != http.StatusOK {
				t.Errorf("%s: got %d %s", scheme, got.status, got.body)
			}
		}
		if got := r.ask(t, "POST", "/v1/restart?target=a/b", "Authorization", "Bearer "+secret); got.status != http.StatusOK {
			t.Errorf("got %d %s", got.status, got.body)
		}
		if got := r.deeds(); got != "undrain, undrain, restart a/b" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("Wrong", func(t *testing.T) {
		before := r.deeds()
		for name, header := range map[string][]string{
			"Missing":  nil,
			"Password": {"Authorization", "Basic " + secret},
			"Another":  {"Authorization", "Bearer " + secret + "x"},
		} {
			got, head := r.askPort(t, "POST", "/v1/drain", header...)
			got.want(t, http.StatusUnauthorized, "unauthorized", "", "token")
			if head.Get("WWW-Authenticate") != `Bearer realm="holdfast"` {
				t.Errorf("%s: got %q", name, head.Get("WWW-Authenticate"))
			}
		}
		if got := r.deeds(); got != before {
			t.Errorf("got %s done", got)
		}
	})
	t.Run("SocketOnlyAllTheSame", func(t *testing.T) {
		for _, verb := range []string{
			"GET /v1/policy", "POST /v1/policy", "POST /v1/images", "POST /v1/images/pull?image=x", "POST /v1/images/prune", "DELETE /v1/volumes/line/old",
		} {
			method, path, _ := strings.Cut(verb, " ")
			got := r.ask(t, method, path, "Authorization", "Bearer "+secret)
			got.want(t, http.StatusForbidden, "forbidden", "", "unix socket only")
		}
	})
	t.Run("AnotherOne", func(t *testing.T) {
		r.use(t, "another-of-sixteen")
		r.ask(t, "POST", "/v1/undrain", "Authorization", "Bearer "+secret).want(t, http.StatusUnauthorized, "unauthorized", "", "")
		if got := r.ask(t, "POST", "/v1/undrain", "Authorization", "Bearer another-of-sixteen"); got.status != http.StatusOK {
			t.Errorf("got %d", got.status)
		}
	})
	t.Run("NoneAnyMore", func(t *testing.T) {
		r.use(t, "")
		got := r.ask(t, "POST", "/v1/undrain", "Authorization", "Bearer another-of-sixteen")
		got.want(t, http.StatusForbidden, "forbidden", "", "unix socket only")
		if !strings.Contains(got.Hint, r.socket) || !strings.Contains(got.Hint, "api.tokenFile") {
			t.Errorf("hint: got %q", got.Hint)
		}
	})
}

// TestClient_WithToken: to whom a token is sent, and who takes it.
func TestClient_WithToken(t *testing.T) {
	for address, want := range map[string]bool{
		"http://127.0.0.1:7433": true, "http://127.0.0.1:7433/": true, "http://[::1]:7433": true, "http://localhost:7433": true,
		"/run/holdfast.sock": false, "unix:///run/holdfast.sock": false,
		"http://192.0.2.1:7433": false, "http://127.0.0.1.example:7433": false, "http://127.0.0.1@192.0.2.1:7433": false, "http://127.0.0.1:1@192.0.2.1:7433": false, "http://example/127.0.0.1": false,
	} {
		if got := localapi.Dial(address).WithToken(secret).Token() == secret; got != want {
			t.Errorf("%s: sent %v, want %v", address, got, want)
		}
	}
	r := start(t, newNode())
	r.use(t, secret)
	port := localapi.Dial("http://" + r.server.Addr())
	if err := port.Undrain(t.Context()); err == nil {
		t.Error("without a token the node was changed")
	}
	if err := port.WithToken(secret).Undrain(t.Context()); err != nil || r.deeds() != "undrain" {
		t.Errorf("got %v, done %q", err, r.deeds())
	}
}

func TestServer_Port_RefusesPages(t *testing.T) {
	r := start(t, newNode(), func(o *localapi.Options) {
		o.Page = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "the page") })
	})
	own := "http://" + r.server.Addr()
	cases := map[string]struct {
		method, path string
		header       []string
		want         int
	}{
		"PageByHand":      {"GET", "/", []string{"Sec-Fetch-Site", "none"}, 200},
		"PageByLink":      {"GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		"PageInFrame":     {"GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403},
		"PageItself":      {"GET", "/v1/status", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		"PageAsks":        {"POST", "/v2/models/digits/infer", []string{"Sec-Fetch-Site", "same-origin", "Origin", own, "Content-Type", "application/json"}, 400},
		"ImageElsewhere":  {"GET", "/v1/status", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		"StreamElsewhere": {"GET", "/v1/live", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"}, 403},
		"PostByLink":      {"POST", "/v2/models/digits/infer", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 403},
		"OriginElsewhere": {"POST", "/v2/models/digits/infer", []string{"Origin", "http://evil.example"}, 403},
		"OriginNull":      {"POST", "/v2/models/digits/infer", []string{"Origin", "null"}, 403},
		"FormOfOldPage":   {"POST", "/v1/explain", []string{"Content-Type", "application/x-www-form-urlencoded", "User-Agent", "Mozilla/5.0"}, 415},
		"FormWithReferer": {"POST", "/v1/explain", []string{"Content-Type", "application/x-www-form-urlencoded", "Referer", "http://evil.example/"}, 415},
		"FormAsText":      {"POST", "/v1/explain", []string{"Content-Type", "text/plain;charset=UTF-8"}, 415},
		"FormWithFiles":   {"POST", "/v1/explain", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415},
		"Curl":            {"POST", "/v1/explain", []string{"Content-Type", "application/x-www-form-urlencoded", "User-Agent", "curl/8"}, 400},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, head := r.askPort(t, c.method, c.path, c.header...)
			if got.status != c.want {
				t.Errorf("got %d %s, want %d", got.status, got.body, c.want)
			}
			for key, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
			} {
				if head.Get(key) != want {
					t.Errorf("%s: got %q, want %q", key, head.Get(key), want)
				}
			}
		})
	}
	if len(r.submitted()) > 0 {
		t.Errorf("got tasks %v", r.submitted())
	}
	t.Run("NoPage", func(t *testing.T) {
		start(t, newNode()).ask(t, "GET", "/").want(t, http.StatusNotFound, "not_found", "", "")
	})
}

// as does something on a thread of another user, which ends with it.
func as(t testing.TB, uid, gid int, groups []uint32, do func()) {
	t.Helper()
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		goruntime.LockOSThread() // and never unlocked: the thread is of no use to anybody else
		var list *uint32
		if len(groups) > 0 {
			list = &groups[0]
		}
		for _, call := range [][3]uintptr{
			{syscall.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(list))},
			{syscall.SYS_SETGID, uintptr(gid), 0},
			{syscall.SYS_SETUID, uintptr(uid), 0},
		} {
			if _, _, errno := syscall.RawSyscall(call[0], call[1], call[2], 0); errno != 0 {
				failed <- errno
				return
			}
		}
		do()
	}()
	if err := <-failed; err != nil {
		t.Fatalf("cannot become user %d: %v", uid, err)
	}
}

// raw asks at the socket on one connection, on the thread it is called on.
func raw(socket, path string) (status int, text string) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err.Error()
	}
	file := os.NewFile(uintptr(fd), socket)
	defer file.Close()
	if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: socket}); err != nil {
		return 0, err.Error()
	}
	fmt.Fprintf(file, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", path)
	resp, err := http.ReadResponse(bufio.NewReader(file), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body := make([]byte, 4096)
	n, _ := resp.Body.Read(body)
	return resp.StatusCode, string(body[:n])
}

// TestServer_Socket_KnowsWhoAsks has others connect to a socket that somebody has opened
// to all.
func TestServer_Socket_KnowsWhoAsks(t *testing.T) {
	const group = 4711
	var asked []string
	r := start(t, newNode(), func(o *localapi.Options) {
		o.Group = group
		o.Asked = func(what, who string) { asked = append(asked, what+" by "+who) }
	})
	info, err := os.Stat(r.socket)
	if err != nil || info.Sys().(*syscall.Stat_t).Gid != group || info.Mode().Perm() != 0o660 {
		t.Errorf("socket: got %v, %v", info, err)
	}
	if err := os.Chmod(r.socket, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(r.socket)), 0o755); err != nil {
		t.Fatal(err)
	}
	many := make([]uint32, 0, 301) // more than are first asked for
	for i := range 300 {
		many = append(many, uint32(5000+i))
	}
	if testing.Short() { // as on an emulated processor, where the kernel's answer has room for one
		many = nil
	}
	cases := map[string]struct {
		uid, gid int
		groups   []uint32
		want     int
	}{
		"Root":        {0, 0, nil, 200},
		"Member":      {65534, 65534, []uint32{group}, 200},
		"OneOfMany":   {65534, 65534, append(many, group), 200},
		"ByFirst":     {65534, group, nil, 200},
		"Stranger":    {65534, 65534, nil, 403},
		"StrangeMany": {65534, 65534, many, 403},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			asked = nil
			var status int
			var text string
			as(t, c.uid, c.gid, c.groups, func() { status, text = raw(r.socket, "/v1/undrain") })
			if status != c.want {
				t.Fatalf("got %d %s, want %d", status, text, c.want)
			}
			if c.want == http.StatusOK {
				want := fmt.Sprintf("POST /v1/undrain by local API, uid %d, pid %d", c.uid, os.Getpid())
				if len(asked) != 1 || asked[0] != want {
					t.Errorf("told %q, want %q", asked, want)
				}
			} else if !strings.Contains(text, "user 65534 may not use this socket") || len(asked) > 0 {
				t.Errorf("got %s, told %q", text, asked)
			}
		})
	}
}

// TestServer_Socket_TurnsAwayOnTheShortWay: who may not use the socket does not get an
// inference answered either, which is not net/http's work.
func TestServer_Socket_TurnsAwayOnTheShortWay(t *testing.T) {
	r := start(t, newNode())
	for _, name := range []string{r.socket, filepath.Dir(filepath.Dir(r.socket))} {
		if err := os.Chmod(name, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	as(t, 65534, 65534, nil, func() {
		for range 3 {
			if status, text := raw(r.socket, "/v2/models/digits/infer"); status != http.StatusForbidden {
				t.Errorf("got %d %s", status, text)
			}
		}
	})
	if got := r.submitted(); len(got) > 0 {
		t.Errorf("got tasks %v", got)
	}
	if err := r.client(t).Ready(t.Context()); err != nil {
		t.Errorf("root: got %v", err)
	}
}
