package containerd

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"holdfast/edge"
)

// registry is where one pull fetches from, by the pull half of the OCI distribution
// specification. It need not be honest: what it sends is bounded, held against digests,
// and given up when it ceases to come.
//
// The client library's own way to a registry weighs half a MiB more in the binary, and
// gives a registry that compresses its answers as much memory as that asks for.
type registry struct {
	host       string // in words and addresses
	base       url.URL
	repository string
	stall      time.Duration
	client     *http.Client
	token      string // that it gave to whoever asked
	pulse      *time.Timer
}

// newRegistry takes the name of a repository, its host first.
func newRegistry(name string, stall time.Duration) *registry {
	host, repository, _ := strings.Cut(name, "/")
	if host == "docker.io" {
		host = "registry-1.docker.io"
	}
	scheme := "https"
	if isLoopback(host) {
		scheme = "http"
	}
	dialer := net.Dialer{Timeout: stall}
	return &registry{
		host: host, repository: repository, stall: stall,
		base: url.URL{Scheme: scheme, Host: host},
		client: &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: stall,
			ResponseHeaderTimeout: stall, DisableCompression: true,
		}},
	}
}

// isLoopback tells whether a host with or without a port is this machine.
func isLoopback(host string) bool {
	name := (&url.URL{Host: host}).Hostname()
	return name == "localhost" || net.ParseIP(name).IsLoopback()
}

// close ends the connections.
func (r *registry) close() { r.client.CloseIdleConnections() }

var (
	errStalled = errors.New("nothing came from the registry")
	errTooMuch = errors.New("it is longer than it may be")
)

// watch gives a context that ends when nothing comes for too long.
func (r *registry) watch(ctx context.Context) (watched context.Context, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	r.pulse = time.AfterFunc(r.stall, func() { cancel(errStalled) })
	return watched, func() {
		r.pulse.Stop()
		cancel(nil)
	}
}

// manifestTypes are the documents that stand at the top of an image.
const manifestTypes = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, " +
	"application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"

// manifest opens an index or manifest; its media type is the answer's.
func (r *registry) manifest(ctx context.Context, sum string) (*http.Response, error) {
	return r.open(ctx, "manifests", sum, 0)
}

// blob opens other content from an offset on. A registry may ignore that and send all.
func (r *registry) blob(ctx context.Context, sum string, offset int64) (body io.ReadCloser, from int64, err error) {
	resp, err := r.open(ctx, "blobs", sum, offset)
	if err != nil {
		return nil, 0, err
	}
	if resp.StatusCode != http.StatusPartialContent {
		return resp.Body, 0, nil
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset)) {
		resp.Body.Close()
		return nil, 0, fmt.Errorf("asked for what follows byte %d it sends %.60q: %w", offset, resp.Header.Get("Content-Range"), edge.ErrInvalid)
	}
	return resp.Body, offset, nil
}

// open asks for something, with the token that the registry wants to see.
func (r *registry) open(ctx context.Context, kind, sum string, offset int64) (*http.Response, error) {
	resp, err := r.ask(ctx, kind, sum, offset)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		challenge := resp.Header.Get("WWW-Authenticate")
		resp.Body.Close()
		if r.token, err = r.fetchToken(ctx, challenge); err != nil {
			return nil, err
		}
		resp, err = r.ask(ctx, kind, sum, offset)
	}
	if err != nil {
		return nil, err
	}
	if err := statusError(resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

func (r *registry) ask(ctx context.Context, kind, sum string, offset int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base.JoinPath("v2", r.repository, kind, sum).String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if kind == "manifests" {
		req.Header.Set("Accept", manifestTypes)
	}
	if offset > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
	}
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token) // and not to where it redirects to
	}
	return r.do(req)
}

func (r *registry) do(req *http.Request) (*http.Response, error) {
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	r.pulse.Reset(r.stall)
	resp.Body = &watchedBody{resp.Body, r}
	return resp, nil
}

// watchedBody tells that something comes.
type watchedBody struct {
	io.ReadCloser
	registry *registry
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.registry.pulse.Reset(b.registry.stall)
	}
	return n, err
}

// statusError says what an answer means that is not what was asked for.
func statusError(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code == http.StatusOK, code == http.StatusPartialContent:
		return nil
	case code == http.StatusNotFound:
		return edge.WithHint(fmt.Errorf("it has no such image or no part of it: %w", edge.ErrNotFound), "push it there under this digest")
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return edge.WithHint(fmt.Errorf("it does not give the image to everybody (%s), and the node has no password: %w", resp.Status, edge.ErrInvalid),
			"let the node import the image as an archive")
	case code >= http.StatusInternalServerError, code == http.StatusTooManyRequests:
		return fmt.Errorf("it answers %q: %w", resp.Status, edge.ErrUnavailable)
	}
	return fmt.Errorf("it answers %q: %w", resp.Status, edge.ErrInvalid)
}

// maxToken bounds what a registry may have its callers carry.
const maxToken = 64 << 10

// fetchToken gets what a registry gives to anybody who asks for it first.
func (r *registry) fetchToken(ctx context.Context, challenge string) (string, error) {
	where, err := r.tokenAddress(challenge)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := r.do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if err := statusError(resp); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxToken))
	if err != nil {
		return "", err
	}
	var given struct {
		Token  string `json:"token"`
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal(text, &given); err != nil || given.Token+given.Access == "" {
		return "", fmt.Errorf("what should be a token is none: %w", edge.ErrInvalid)
	}
	if given.Token == "" {
		return given.Access, nil
	}
	return given.Token, nil
}

// tokenAddress reads where a token is to be had: Bearer realm="…",service="…".
func (r *registry) tokenAddress(challenge string) (string, error) {
	scheme, rest, _ := strings.Cut(challenge, " ")
	values := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		values[name] = strings.Trim(value, `"`)
	}
	realm, err := url.Parse(values["realm"])
	if !strings.EqualFold(scheme, "Bearer") || err != nil || realm.Host == "" {
		return "", edge.WithHint(fmt.Errorf("it wants to know who asks, by %.80q, and the node has no password: %w", challenge, edge.ErrInvalid),
			"let the node import the image as an archive")
	}
	if realm.Scheme != "https" && !(realm.Scheme == "http" && isLoopback(realm.Host)) {
		return "", fmt.Errorf("it sends for a token to %.80q, which is not encrypted: %w", realm.Redacted(), edge.ErrInvalid)
	}
	query := realm.Query()
	query.Set("scope", "repository:"+r.repository+":pull")
	if service := values["service"]; service != "" {
		query.Set("service", service)
	}
	realm.RawQuery = query.Encode()
	return realm.String(), nil
}

// explain says whose fault an error is, and what to do about it.
func (r *registry) explain(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errStalled):
		err = fmt.Errorf("%w for %v: %w", errStalled, r.stall, edge.ErrUnavailable)
	case cause != nil:
		return cause
	}
	if !isOurs(err) {
		err = fmt.Errorf("%w: %w", edge.ErrUnavailable, err)
	}
	hint := edge.HintOf(err)
	if hint == "" && errors.Is(err, edge.ErrUnavailable) {
		hint = "is it to be reached from the node? what has come so far is kept for a day; pull again"
	}
	err = fmt.Errorf("registry %s: %w", r.host, err)
	if hint == "" {
		return err
	}
	return edge.WithHint(err, hint)
}
