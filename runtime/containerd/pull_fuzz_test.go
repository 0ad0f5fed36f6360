package containerd_test

import (
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

func FuzzPinnedName(f *testing.F) {
	sum := "@sha256:" + strings.Repeat("1", 64)
	for _, name := range []string{"line.example/prog", "prog", "line/prog:1", "127.0.0.1:5000/a/b", "[::1]:5000/a", "a@b", "x/../y", "me@x/y", "x:/y", ""} {
		f.Add(name + sum)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		repository, got, err := containerd.PinnedName(ref)
		if err != nil {
			if !errors.Is(err, edge.ErrInvalid) {
				t.Fatalf("got %v, want %v", err, edge.ErrInvalid)
			}
			return
		}
		if !strings.HasSuffix(ref, "@"+got.String()) {
			t.Errorf("got digest %s of %q", got, ref)
		}
		host, path, _ := strings.Cut(repository, "/")
		u, err := url.Parse("https://" + host + "/v2/" + path + "/manifests/" + got.String())
		if err != nil || u.Host != host || u.Path != "/v2/"+path+"/manifests/"+got.String() || u.RawQuery+u.Fragment != "" || u.User != nil || path == "" {
			t.Errorf("%q is asked for at %v, %v", ref, u, err)
		}
	})
}

func FuzzTokenAddress(f *testing.F) {
	for _, challenge := range []string{
		`Bearer realm="https://auth.example/token",service="line",scope="x"`, `bearer realm=https://a`, `Basic realm="x"`, `Bearer`, "",
		`Bearer realm="http://127.0.0.1/token"`, `Bearer realm="http://a.example"`, `Bearer realm="file:///etc/passwd"`, `Bearer realm="https://a?b=c"`,
	} {
		f.Add(challenge)
	}
	f.Fuzz(func(t *testing.T, challenge string) {
		where, err := containerd.TokenAddress(challenge)
		if err != nil {
			return
		}
		u, err := url.Parse(where)
		if err != nil || u.Host == "" || u.Query().Get("scope") != "repository:line/prog:pull" {
			t.Fatalf("got %q, %v", where, err)
		}
		if u.Scheme != "https" && u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback() {
			t.Errorf("got %q, which is not encrypted", where)
		}
	})
}
