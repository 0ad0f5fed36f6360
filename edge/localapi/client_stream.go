package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"holdfast/edge"
)

// Events calls each for every event after since, oldest first, and with follow
// goes on until ctx ends or the agent stops. An error of each ends it and is
// returned.
func (c *Client) Events(ctx context.Context, since uint64, follow bool, each func(edge.Event) error) error {
	query := url.Values{"since": {strconv.FormatUint(since, 10)}, "follow": {strconv.FormatBool(follow)}}
	resp, err := c.do(ctx, http.MethodGet, "/v1/events?"+query.Encode(), nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var e edge.Event
		err := lines.Decode(&e)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("gave up following events: %w", ctx.Err())
		case err != nil:
			return fmt.Errorf("cannot read events of the agent at %q: %w", c.address, err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

// Logs opens the last lines of the output of a workload or an instance, and with
// follow what comes after.
func (c *Client) Logs(ctx context.Context, target string, lines int, follow bool) (io.ReadCloser, error) {
	parts := strings.Split(target, "/")
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	query := url.Values{"lines": {strconv.Itoa(lines)}, "follow": {strconv.FormatBool(follow)}}
	resp, err := c.do(ctx, http.MethodGet, "/v1/logs/"+strings.Join(parts, "/")+"?"+query.Encode(), nil, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// ImportImages streams an archive into the node's image store.
func (c *Client) ImportImages(ctx context.Context, archive io.Reader) ([]edge.Image, error) {
	source := &source{Reader: archive}
	resp, err := c.do(ctx, http.MethodPost, "/v1/images", source, nil)
	if broken := source.err.Load(); broken != nil {
		if resp != nil {
			resp.Body.Close()
		}
		return nil, fmt.Errorf("cannot read archive: %w", *broken)
	}
	if err != nil {
		return nil, err
	}
	return decode[[]edge.Image](c, resp)
}

// source remembers why reading failed, which the transport would take for a
// fault of the connection. The transport reads on a goroutine of its own, and may
// still do so when an early answer has come.
type source struct {
	io.Reader
	err atomic.Pointer[error]
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err.Store(&err)
	}
	return n, err
}
