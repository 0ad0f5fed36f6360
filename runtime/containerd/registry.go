package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	origin     string // the registry it stands in for; empty: it is that itself
	repository string
	stall      time.Duration
	insecure   []string
	login      *Login // nil: the node is nobody there
	client     *http.Client
	pace       *pace

	basic bool   // it wants to see the password itself
	token string // that it gave to whoever asked
	pulse *time.Timer
}

// close ends the connections.
func (r *registry) close() { r.client.CloseIdleConnections() }

var (
	errStalled = errors.New("nothing came from the registry")
	errTooMuch = errors.New("it is longer than it may be")
)

// watch gives a context that ends when the registry is waited for too long. What else
// takes its time, such as a slow disk, does not count.
func (r *registry) watch(ctx context.Context) (watched context.Context, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	r.pulse = time.AfterFunc(r.stall, func() { cancel(errStalled) })
	r.pulse.Stop()
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

// blob opens other content of a known size from an offset on. A registry may ignore that
// and send all.
func (r *registry) blob(ctx context.Context, sum string, offset, size int64) (body io.ReadCloser, from int64, err error) {
	resp, err := r.open(ctx, "blobs", sum, offset)
	if err != nil {
		return nil, 0, err
	}
	if resp.StatusCode == http.StatusPartialContent {
		from = offset
	}
	switch span := resp.Header.Get("Content-Range"); {
	case from > 0 && !strings.HasPrefix(span, fmt.Sprintf("bytes %d-", offset)), from == 0 && resp.StatusCode == http.StatusPartialContent:
		err = fmt.Errorf("asked for what follows byte %d it sends %.60q: %w", offset, span, edge.ErrInvalid)
	case resp.ContentLength >= 0 && resp.ContentLength != size-from:
		err = fmt.Errorf("it announces %d bytes of blob %s, of which %d are to come: %w", resp.ContentLength, sum, size-from, edge.ErrInvalid)
	default:
		return resp.Body, from, nil
	}
	resp.Body.Close()
	return nil, 0, err
}

// open asks for something, with what the registry wants to see of whoever asks.
func (r *registry) open(ctx context.Context, kind, sum string, offset int64) (*http.Response, error) {
	resp, err := r.ask(ctx, kind, sum, offset)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		challenge := resp.Header.Get("WWW-Authenticate")
		resp.Body.Close()
		if err = r.identify(ctx, challenge); err != nil {
			return nil, err
		}
		resp, err = r.ask(ctx, kind, sum, offset)
	}
	if err != nil {
		return nil, err
	}
	if err := r.statusError(resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

func (r *registry) ask(ctx context.Context, kind, sum string, offset int64) (*http.Response, error) {
	where := r.base.JoinPath("v2", r.repository, kind, sum)
	if r.origin != "" {
		where.RawQuery = url.Values{"ns": {r.origin}}.Encode() // as mirrors of several registries expect it
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if kind == "manifests" {
		req.Header.Set("Accept", manifestTypes)
	}
	if offset > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
	}
	r.sign(req)
	return r.do(req)
}

func (r *registry) do(req *http.Request) (*http.Response, error) {
	r.pulse.Reset(r.stall)
	defer r.pulse.Stop()
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &watchedBody{ReadCloser: resp.Body, ctx: req.Context(), registry: r}
	return resp, nil
}

// watchedBody tells that something comes, and takes it no faster than it may.
type watchedBody struct {
	io.ReadCloser
	ctx      context.Context
	registry *registry
}

func (b *watchedBody) Read(p []byte) (int, error) {
	share, err := b.registry.pace.await(b.ctx, len(p))
	if err != nil {
		return 0, err
	}
	b.registry.pulse.Reset(b.registry.stall)
	n, err := b.ReadCloser.Read(p[:share])
	b.registry.pulse.Stop()
	b.registry.pace.took(n)
	return n, err
}
