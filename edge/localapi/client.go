package localapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// Client asks an agent. It keeps connections open between requests; Close ends
// those that are idle.
type Client struct {
	address string // as given, for messages
	base    string
	token   string // what a port has to be sent; empty: nothing
	http    *http.Client
	silence time.Duration // for how long a live stream may say nothing
}

// Dial prepares a client for the agent behind a unix socket (a path, perhaps
// after unix://) or a port (http://127.0.0.1:8080). It does no I/O yet.
func Dial(address string) *Client {
	base, transport := Reach(address, 16)
	return &Client{address: address, base: base, http: &http.Client{Transport: transport}, silence: liveSilence}
}

// WithToken has the client send a token to a port, which lets more be done for it. A socket
// knows who asks, and is sent none; and no other machine is, since agents listen on none but
// the loopback.
func (c *Client) WithToken(token string) *Client {
	if at, err := url.Parse(c.address); err == nil && at.Scheme == "http" && isLoopback(at.Hostname()) {
		c.token = token
	}
	return c
}

// Reach is what URLs of the agent behind an address, as Dial takes it, begin with, and
// a transport that brings them there and keeps so many connections for what comes next.
func Reach(address string, idle int) (base string, transport *http.Transport) {
	transport = &http.Transport{
		DisableCompression:  true,
		MaxIdleConns:        idle,
		MaxIdleConnsPerHost: idle,
		IdleConnTimeout:     idleTimeout / 2, // before the agent ends them
	}
	if strings.HasPrefix(address, "http://") {
		return strings.TrimSuffix(address, "/"), transport
	}
	path := strings.TrimPrefix(address, "unix://")
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return "http://localhost", transport
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status is the node in one document.
func (c *Client) Status(ctx context.Context) (edge.Status, error) {
	return read[edge.Status](ctx, c, "/v1/status")
}

// Vitals is what the node measures about itself.
func (c *Client) Vitals(ctx context.Context) (edge.Vitals, error) {
	return read[edge.Vitals](ctx, c, "/v1/vitals")
}

// Tasks lists running, waiting and recent tasks.
func (c *Client) Tasks(ctx context.Context) ([]edge.TaskView, error) {
	return read[[]edge.TaskView](ctx, c, "/v1/tasks")
}

// Workloads lists the workloads and their instances.
func (c *Client) Workloads(ctx context.Context) ([]edge.WorkloadView, error) {
	return read[[]edge.WorkloadView](ctx, c, "/v1/workloads")
}

// Images lists the images on the node.
func (c *Client) Images(ctx context.Context) ([]edge.Image, error) {
	return read[[]edge.Image](ctx, c, "/v1/images")
}

// Models lists the models the node serves.
func (c *Client) Models(ctx context.Context) ([]string, error) {
	return read[[]string](ctx, c, "/v1/models")
}

// Model is what a model says of itself.
func (c *Client) Model(ctx context.Context, name string) (oip.ModelMetadata, error) {
	return read[oip.ModelMetadata](ctx, c, "/v2/models/"+url.PathEscape(name))
}

// Ready is nil when the node can take tasks.
func (c *Client) Ready(ctx context.Context) error {
	_, err := read[struct{}](ctx, c, "/v2/health/ready")
	return err
}

// ModelReady is nil when the model can take tasks.
func (c *Client) ModelReady(ctx context.Context, name string) error {
	_, err := read[struct{}](ctx, c, "/v2/models/"+url.PathEscape(name)+"/ready")
	return err
}

// CancelTask gives a task up.
func (c *Client) CancelTask(ctx context.Context, id string) error {
	return c.act(ctx, "/v1/tasks/"+url.PathEscape(id)+"/cancel", nil)
}

// Restart restarts a workload (app/service) or an instance.
func (c *Client) Restart(ctx context.Context, target string) error {
	return c.act(ctx, "/v1/restart?target="+url.QueryEscape(target), nil)
}

// Drain lets no new task in and returns when those inside have settled.
func (c *Client) Drain(ctx context.Context) error { return c.act(ctx, "/v1/drain", nil) }

// Undrain lets tasks in again.
func (c *Client) Undrain(ctx context.Context) error { return c.act(ctx, "/v1/undrain", nil) }

// Explain is nil when such a task would be accepted now, else the error it would get.
func (c *Client) Explain(ctx context.Context, q Question) error {
	body, err := json.Marshal(q)
	if err != nil {
		return fmt.Errorf("cannot encode question: %w", err)
	}
	return c.act(ctx, "/v1/explain", body)
}

// read asks for a JSON document.
func read[T any](ctx context.Context, c *Client, path string) (v T, err error) {
	resp, err := c.do(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return v, err
	}
	return decode[T](c, resp)
}

func decode[T any](c *Client, resp *http.Response) (v T, err error) {
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return v, fmt.Errorf("cannot read answer of the agent at %q: %w", c.address, err)
	}
	// What follows the document is its line end; reading it frees the connection.
	_, _ = io.Copy(io.Discard, resp.Body)
	return v, nil
}

// act does something whose answer tells nothing but that it was done.
func (c *Client) act(ctx context.Context, path string, body []byte) error {
	resp, err := c.do(ctx, http.MethodPost, path, bytes.NewReader(body), nil)
	if err != nil {
		return err
	}
	_, err = decode[struct{}](c, resp)
	return err
}

// do sends a request and turns everything but success into an error.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, fmt.Errorf("cannot ask the agent at %q: %w: %w", c.address, edge.ErrInvalid, err)
	}
	for key, values := range header {
		req.Header[key] = values
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusedBy(resp)
	}
	return resp, nil
}

// unreachable explains a request that got no answer.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("gave up asking the agent at %q: %w", c.address, ctx.Err())
	}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err // without method and a URL nobody typed
	}
	err = fmt.Errorf("cannot reach the agent at %q: %w: %w", c.address, edge.ErrUnavailable, err)
	switch {
	case errors.Is(err, os.ErrPermission):
		return edge.WithHint(err, "the socket belongs to root and its group; use sudo")
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return edge.WithHint(err, "is the agent running? `holdfast run` starts it")
	}
	return err
}
