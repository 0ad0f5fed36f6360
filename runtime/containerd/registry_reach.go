package containerd

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"holdfast/edge"
)

// Registries say how registries are reached and who the node is there. Every host is
// written as references write it, with its port if it has one.
type Registries struct {
	Mirrors  []string         // asked first, whatever registry an image names
	Insecure []string         // asked without TLS, as those of the loopback are
	CA       []byte           // PEM: who else vouches for a registry's certificate
	Logins   map[string]Login // by host
	// Rate bounds what all pulls take from the network together, in bytes a second;
	// 0 is no bound.
	Rate int64
}

// Login is who the node is at one registry.
type Login struct{ User, Password string }

// reach makes the registries to ask for a repository, in their order. The origin is the
// last of them.
func (d *Driver) reach(repository string) ([]*registry, error) {
	var say Registries
	if d.opts.Registries != nil {
		var err error
		if say, err = d.opts.Registries(); err != nil {
			return nil, err
		}
	}
	d.pace.set(say.Rate)
	transport, err := newTransport(say.CA, d.opts.PullStall)
	if err != nil {
		return nil, err
	}
	if d.dial != nil {
		d.dial(transport)
	}
	origin, path, _ := strings.Cut(repository, "/")
	var list []*registry
	for _, host := range append(slices.Clone(say.Mirrors), origin) {
		r := &registry{host: host, repository: path, stall: d.opts.PullStall, pace: &d.pace, insecure: say.Insecure}
		if host != origin {
			r.origin = origin
		}
		r.base = url.URL{Scheme: "https", Host: host}
		if host == "docker.io" {
			r.base.Host = "registry-1.docker.io"
		}
		if r.isOpen(host) {
			r.base.Scheme = "http"
		}
		if login, known := say.Logins[host]; known {
			r.login = &login
		}
		r.client = &http.Client{Transport: transport, CheckRedirect: r.follow}
		list = append(list, r)
	}
	return list, nil
}

// newTransport makes what a pull's connections are made by. They end with it.
func newTransport(ca []byte, stall time.Duration) (*http.Transport, error) {
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool() // a node without a store of its own
		}
		if !pool.AppendCertsFromPEM(ca) {
			return nil, edge.WithHint(fmt.Errorf("the file of registries' authorities holds no certificate: %w", edge.ErrInvalid),
				"images.ca names a file of certificates in PEM")
		}
		settings.RootCAs = pool
	}
	dialer := net.Dialer{Timeout: stall}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext,
		TLSClientConfig: settings, TLSHandshakeTimeout: stall,
		ResponseHeaderTimeout: stall, DisableCompression: true,
		MaxResponseHeaderBytes: maxHeader,
	}, nil
}

// maxHeader bounds the head of an answer; the longest are those of signed redirects.
const maxHeader = 64 << 10

// isOpen tells whether a host with or without a port is asked without TLS.
func (r *registry) isOpen(host string) bool {
	return isLoopback(host) || slices.Contains(r.insecure, host)
}

// isLoopback tells whether a host with or without a port is this machine.
func isLoopback(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	return name == "localhost" || net.ParseIP(name).IsLoopback()
}

// maxRedirects is more than any storage behind a registry takes.
const maxRedirects = 5

// follow lets a registry send for content elsewhere, but not in circles, not out of
// encryption, and not to what only this machine can reach.
func (r *registry) follow(to *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return edge.WithHint(fmt.Errorf("it sends on and on, %d times: %w", len(via), edge.ErrInvalid),
			"something between the node and the registry redirects to itself: a proxy, or the registry's own storage")
	case isLoopback(to.URL.Host) && !isLoopback(r.base.Host):
		return fmt.Errorf("it sends to %.80q, which is this machine: %w", to.URL.Redacted(), edge.ErrInvalid)
	case to.URL.Scheme == "https", to.URL.Scheme == "http" && r.isOpen(to.URL.Host):
	default:
		return fmt.Errorf("it sends to %.80q, which is not encrypted: %w", to.URL.Redacted(), edge.ErrInvalid)
	}
	if to.URL.Host != via[0].URL.Host {
		to.Header.Del("Authorization") // what was said to the registry is for it alone
	}
	return nil
}
