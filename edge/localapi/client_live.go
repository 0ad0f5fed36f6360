package localapi

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"holdfast/edge"
)

// maxLiveLine bounds one message of a live stream, in bytes: a status of hundreds of workloads.
const maxLiveLine = 16 << 20

// liveSilence is how long a stream may say nothing. The agent says something each second.
const liveSilence = 5 * time.Second

// Live calls each for every message of the node's live stream, in order: hello, history,
// status, tasks, event and sample, with their JSON, which is each's only until it returns.
// It goes on until ctx ends, the agent stops (then the error is nil) or says nothing any more, or each
// returns an error, which it returns.
func (c *Client) Live(ctx context.Context, each func(kind string, data []byte) error) error {
	heard, hangUp := context.WithCancel(ctx)
	defer hangUp()
	resp, err := c.do(heard, http.MethodGet, "/v1/live", nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	silence := time.AfterFunc(c.silence, hangUp)
	defer silence.Stop()
	stopped, err := messages(resp.Body, func(kind string, data []byte) error {
		silence.Reset(c.silence)
		return each(kind, data)
	})
	switch {
	case stopped:
		return err
	case ctx.Err() == nil && heard.Err() != nil:
		return fmt.Errorf("agent at %q says nothing any more: %w", c.address, edge.ErrUnavailable)
	case ctx.Err() != nil:
		return fmt.Errorf("gave up following the node: %w", ctx.Err())
	case err != nil:
		return fmt.Errorf("cannot read the live stream of the agent at %q: %w", c.address, err)
	}
	return nil
}

// messages hands each the messages of a stream until it ends, or each says so: then stopped
// is true.
func messages(stream io.Reader, each func(kind string, data []byte) error) (stopped bool, err error) {
	lines := bufio.NewScanner(stream)
	lines.Buffer(nil, maxLiveLine)
	kind := ""
	for lines.Scan() {
		if name, is := bytes.CutPrefix(lines.Bytes(), []byte("event: ")); is {
			kind = string(name)
		} else if data, is := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); is {
			if err := each(kind, data); err != nil {
				return true, err
			}
		}
	}
	return false, lines.Err()
}
