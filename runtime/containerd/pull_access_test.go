package containerd_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

// knowing opens a driver that is told about registries.
func (n *node) knowing(t *testing.T, say containerd.Registries) *containerd.Driver {
	t.Helper()
	n.opts.Registries = func() (containerd.Registries, error) { return say, nil }
	return n.again(t)
}

// host is the registry's own as references write it.
func (r *fakeRegistry) host() string {
	_, host, _ := strings.Cut(r.URL, "://")
	return host
}

func TestDriver_Pull_Login(t *testing.T) {
	const user, password = "node-7", "quite secret"
	mayIn := func(req *http.Request) bool {
		u, p, given := req.BasicAuth()
		return given && u == user && p == password
	}
	for name, guard := range map[string]func(r *fakeRegistry, w http.ResponseWriter, req *http.Request) bool{
		"Basic": func(_ *fakeRegistry, w http.ResponseWriter, req *http.Request) bool {
			if mayIn(req) {
				return false
			}
			w.Header().Set("WWW-Authenticate", `Basic realm="line"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		},
		"Token": func(r *fakeRegistry, w http.ResponseWriter, req *http.Request) bool {
			switch {
			case req.URL.Path == "/token" && mayIn(req):
				_, _ = w.Write([]byte(`{"token":"open"}`))
			case req.URL.Path == "/token":
				w.WriteHeader(http.StatusUnauthorized)
			case req.Header.Get("Authorization") == "Bearer open":
				return false
			default:
				w.Header().Set("WWW-Authenticate", `Bearer realm="`+r.URL+`/token",service="line"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, ref := serveImage(t, testImage())
			r.misbehave = func(w http.ResponseWriter, req *http.Request, _ []byte) bool { return guard(r, w, req) }
			n := newEmptyNode(t)
			_, _, err := n.Pull(t.Context(), ref, nil)
			if !errors.Is(err, edge.ErrInvalid) || !strings.Contains(edge.HintOf(err), "images.passwords") {
				t.Errorf("as nobody: got %v with hint %q", err, edge.HintOf(err))
			}
			wrong := containerd.Registries{Logins: map[string]containerd.Login{r.host(): {User: user, Password: "wrong secret"}}}
			_, _, err = n.knowing(t, wrong).Pull(t.Context(), ref, nil)
			if !errors.Is(err, edge.ErrInvalid) || !strings.Contains(err.Error(), user) || strings.Contains(err.Error(), "secret") {
				t.Errorf("with a wrong password: got %v, want the user named and the password not", err)
			}
			other := containerd.Registries{Logins: map[string]containerd.Login{"other.example": {User: user, Password: password}}}
			if _, _, err = n.knowing(t, other).Pull(t.Context(), ref, nil); !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("with another registry's password: got %v, want %v", err, edge.ErrInvalid)
			}
			right := containerd.Registries{Logins: map[string]containerd.Login{r.host(): {User: user, Password: password}}}
			if _, _, err = n.knowing(t, right).Pull(t.Context(), ref, nil); err != nil {
				t.Errorf("with the password: %v", err)
			}
		})
	}
}

// TestDriver_Pull_LoginElsewhere sends for content to a storage, which is to hear
// nothing of the password.
func TestDriver_Pull_LoginElsewhere(t *testing.T) {
	r, ref := serveImage(t, testImage())
	var heard []string
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		heard = append(heard, req.Header.Get("Authorization"))
		_, _ = w.Write(r.blobs[strings.TrimPrefix(req.URL.Path, "/")])
	}))
	t.Cleanup(storage.Close)
	r.misbehave = func(w http.ResponseWriter, req *http.Request, content []byte) bool {
		if _, _, given := req.BasicAuth(); !given {
			w.Header().Set("WWW-Authenticate", `Basic realm="line"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		if sum, layer := r.layer(); len(content) == len(layer) {
			http.Redirect(w, req, storage.URL+"/"+sum, http.StatusTemporaryRedirect)
			return true
		}
		return false
	}
	n := newEmptyNode(t)
	say := containerd.Registries{Logins: map[string]containerd.Login{r.host(): {User: "me", Password: "secret"}}}
	if _, _, err := n.knowing(t, say).Pull(t.Context(), ref, nil); err != nil {
		t.Fatal(err)
	}
	if len(heard) != 1 || heard[0] != "" {
		t.Errorf("the storage heard %q, want to be asked once, by nobody", heard)
	}
}

func TestDriver_Pull_Authorities(t *testing.T) {
	r, ref := serveImage(t, testImage())
	safe := httptest.NewUnstartedServer(r)
	safe.Config.ErrorLog = log.New(io.Discard, "", 0) // it is refused on purpose
	safe.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	safe.StartTLS()
	t.Cleanup(safe.Close)
	_, port, _ := strings.Cut(safe.Listener.Addr().String(), ":")
	// A name that is not the loopback's, so that it is asked by TLS, and leads there.
	_, rest, _ := strings.Cut(ref, "/")
	n := newEmptyNode(t)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: safe.Certificate().Raw})
	open := containerd.Through(n.again(t), safe.Listener.Addr().String())
	if _, _, err := open.Pull(t.Context(), "example.com:"+port+"/"+rest, nil); !errors.Is(err, edge.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("vouched for by nobody: got %v", err)
	}
	told := containerd.Through(n.knowing(t, containerd.Registries{CA: ca}), safe.Listener.Addr().String())
	if _, _, err := told.Pull(t.Context(), "example.com:"+port+"/"+rest, nil); err != nil {
		t.Errorf("vouched for: %v", err)
	}
	t.Run("NoCertificate", func(t *testing.T) {
		if _, _, err := n.knowing(t, containerd.Registries{CA: []byte("x")}).Pull(t.Context(), n.unheld(ref), nil); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want %v", err, edge.ErrInvalid)
		}
	})
	t.Run("WithoutTLS", func(t *testing.T) {
		host := "plain.example:" + strings.TrimPrefix(r.host(), "127.0.0.1:")
		name := host + "/" + rest
		n := newEmptyNode(t)
		if _, _, err := containerd.Through(n.again(t), r.host()).Pull(t.Context(), name, nil); !errors.Is(err, edge.ErrUnavailable) {
			t.Errorf("not said to be without: got %v, want %v", err, edge.ErrUnavailable)
		}
		said := containerd.Through(n.knowing(t, containerd.Registries{Insecure: []string{host}}), r.host())
		if _, _, err := said.Pull(t.Context(), name, nil); err != nil {
			t.Errorf("said to be without: %v", err)
		}
	})
}

// unheld is a reference to an image that nobody has.
func (n *node) unheld(ref string) string {
	name, _, _ := strings.Cut(ref, "@")
	return name + "@sha256:" + strings.Repeat("9", 64)
}

// mirrored serves an image at its origin and at a mirror, behind others that do not help.
func mirrored(t *testing.T) (origin, mirror *fakeRegistry, ref string, say containerd.Registries) {
	t.Helper()
	origin, ref = serveImage(t, wavering())
	mirror = &fakeRegistry{blobs: origin.blobs}
	mirror.Server = httptest.NewServer(mirror)
	t.Cleanup(mirror.Close)
	empty := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(empty.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, s := range []*httptest.Server{gone, empty, mirror.Server} {
		say.Mirrors = append(say.Mirrors, strings.TrimPrefix(s.URL, "http://"))
	}
	return origin, mirror, ref, say
}

func TestDriver_Pull_Mirrors(t *testing.T) {
	t.Run("First", func(t *testing.T) {
		origin, _, ref, say := mirrored(t)
		n := newEmptyNode(t)
		if _, _, err := n.knowing(t, say).Pull(t.Context(), ref, nil); err != nil {
			t.Fatal(err)
		}
		if asked := origin.requests(); len(asked) > 0 {
			t.Errorf("the origin was asked for %q, of what the mirror has", asked)
		}
	})
	t.Run("Lies", func(t *testing.T) {
		origin, mirror, ref, say := mirrored(t)
		_, layer := mirror.layer()
		mirror.misbehave = func(w http.ResponseWriter, _ *http.Request, content []byte) bool {
			if len(content) == len(layer) {
				_, _ = w.Write(make([]byte, len(layer)))
			}
			return len(content) == len(layer)
		}
		n := newEmptyNode(t)
		if _, _, err := n.knowing(t, say).Pull(t.Context(), ref, nil); err != nil {
			t.Errorf("got %v, want the origin asked for the layer", err)
		}
		if asked := origin.requests(); len(asked) != 1 {
			t.Errorf("the origin was asked for %q, want the layer alone", asked)
		}
	})
}

// TestDriver_Pull_Rate holds a pull against the rate it may take, and the rate against
// one that is not bounded.
func TestDriver_Pull_Rate(t *testing.T) {
	r, ref := serveImage(t, testImage())
	n := newEmptyNode(t)
	n.opts.PullStall = time.Second // much shorter than the pull takes
	rate := r.size() / 3
	begun := time.Now()
	if _, _, err := n.knowing(t, containerd.Registries{Rate: rate}).Pull(t.Context(), ref, nil); err != nil {
		t.Fatal(err)
	}
	bounded := time.Since(begun)
	if least := 2500 * time.Millisecond; bounded < least {
		t.Errorf("took %v, want at least %v at a third of it in a second", bounded, least)
	}
	_, ref = serveImage(t, testImage())
	begun = time.Now()
	if _, _, err := n.knowing(t, containerd.Registries{}).Pull(t.Context(), ref, nil); err != nil {
		t.Fatal(err)
	}
	if free := time.Since(begun); free > bounded/2 {
		t.Errorf("unbounded it took %v, bounded %v", free, bounded)
	}
}

func TestParseLogins(t *testing.T) {
	pair := base64.StdEncoding.EncodeToString([]byte("me:pass:word"))
	got, err := containerd.ParseLogins([]byte(`{"auths":{
		"line.example:5000":{"auth":"` + pair + `"},
		"https://index.docker.io/v1/":{"username":"a","password":"b"}},"credsStore":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]containerd.Login{"line.example:5000": {User: "me", Password: "pass:word"}, "docker.io": {User: "a", Password: "b"}}
	if len(got) != len(want) {
		t.Errorf("got %d logins, want %d", len(got), len(want))
	}
	for host, login := range want {
		if got[host] != login {
			t.Errorf("%s: got %+v, want %+v", host, got[host], login)
		}
	}
	for name, text := range map[string]string{
		"Text": "secret", "NoAuths": `{"me":"secret"}`, "NotBase64": `{"auths":{"a":{"auth":"secret!"}}}`,
		"NoColon": `{"auths":{"a":{"auth":"c2VjcmV0"}}}`, "InAHelper": `{"auths":{"a":{}},"credsStore":"secretservice"}`,
	} {
		if _, err := containerd.ParseLogins([]byte(text)); !errors.Is(err, edge.ErrInvalid) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %v that keeps the secret", name, err, edge.ErrInvalid)
		}
	}
}

// FuzzParseLogins: whatever the file holds, its words are not in an error, and what it
// gives is a login.
func FuzzParseLogins(f *testing.F) {
	f.Add([]byte(`{"auths":{"line.example":{"auth":"bWU6cGFzcw=="}}}`))
	f.Add([]byte(`{"auths":{"https://index.docker.io/v1/":{"username":"a","password":"b"}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		logins, err := containerd.ParseLogins(text)
		if err != nil && !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want %v", err, edge.ErrInvalid)
		}
		for host, login := range logins {
			if login.Password == "" || strings.Contains(host, "/") {
				t.Errorf("got %+v for %q", login, host)
			}
		}
	})
}
