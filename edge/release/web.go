package release

import (
	"context"
	"crypto/tls"
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

const (
	// connectWithin bounds each step until a server answers: over a satellite a handshake
	// takes seconds.
	connectWithin = 15 * time.Second
	// maxHeader of an answer is more than a server has to say.
	maxHeader = 16 << 10
	// maxRedirects within one server are as many as a tidy one needs.
	maxRedirects = 3
)

// NewClient makes what web servers are asked with. now is by what certificates are judged,
// since a gateway's wall clock may be wrong.
func NewClient(now func() time.Time) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: connectWithin}).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, Time: now},
			TLSHandshakeTimeout:    connectWithin,
			ResponseHeaderTimeout:  connectWithin,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true,
			MaxIdleConnsPerHost:    1,
			IdleConnTimeout:        connectWithin,
		},
		CheckRedirect: sameServer,
	}
}

// sameServer follows no redirect to elsewhere: whom the node asks is signed.
func sameServer(next *http.Request, before []*http.Request) error {
	first := before[0].URL
	switch {
	case next.URL.Host != first.Host || next.URL.Scheme != first.Scheme:
		return fmt.Errorf("leads elsewhere, to %s://%.100s; name that as a source: %w", next.URL.Scheme, next.URL.Host, edge.ErrInvalid)
	case len(before) > maxRedirects:
		return fmt.Errorf("redirects more than %d times: %w", maxRedirects, edge.ErrInvalid)
	}
	return nil
}

// Web is a release folder on a web server.
func Web(base string, client *http.Client) Source {
	return &web{base: strings.TrimSuffix(base, "/"), client: client}
}

type web struct {
	base   string
	client *http.Client
}

func (w *web) String() string { return w.base }

// Open asks for the rest of a file. A server that does not know ranges sends the whole.
func (w *web) Open(ctx context.Context, name string, offset, size int64) (io.ReadCloser, int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+"/"+name, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", edge.ErrInvalid, err)
	}
	if offset > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, 0, shortly(err)
	}
	if err := judge(resp, offset, size); err != nil {
		resp.Body.Close()
		return nil, 0, err
	}
	if resp.StatusCode == http.StatusOK {
		offset = 0
	}
	return resp.Body, offset, nil
}

// shortly leaves out method and address, which the source's name says.
func shortly(err error) error {
	var around *url.Error
	if errors.As(err, &around) {
		return around.Err
	}
	return err
}

// judge finds what an answer says that cannot lead to the right bytes.
func judge(resp *http.Response, offset, size int64) error {
	switch resp.StatusCode {
	case http.StatusOK:
		if size > 0 && resp.ContentLength >= 0 && resp.ContentLength != size {
			return fmt.Errorf("sends %d bytes, not %d: %w", resp.ContentLength, size, edge.ErrInvalid)
		}
	case http.StatusPartialContent:
		if want := "bytes " + strconv.FormatInt(offset, 10) + "-" + strconv.FormatInt(size-1, 10) + "/" + strconv.FormatInt(size, 10); resp.Header.Get("Content-Range") != want {
			return fmt.Errorf("sends %.60q, not %q: %w", resp.Header.Get("Content-Range"), want, edge.ErrInvalid)
		}
	case http.StatusNotFound:
		return fmt.Errorf("has no such file (HTTP status %d): %w", resp.StatusCode, edge.ErrNotFound)
	default:
		return fmt.Errorf("answers with HTTP status %d: %w", resp.StatusCode, edge.ErrUnavailable)
	}
	if coded := resp.Header.Get("Content-Encoding"); coded != "" {
		return fmt.Errorf("sends it as %.40q: %w", coded, edge.ErrInvalid)
	}
	return nil
}
