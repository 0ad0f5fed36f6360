package localapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxLiveLine bounds one message of a live stream, in bytes: a status of hundreds of workloads.
const maxLiveLine = 16 << 20

// Live calls each for every message of the node's live stream, in order: hello, history,
// status, tasks, event and sample, with their JSON, which is each's only until it returns.
// It goes on until ctx ends, the agent stops (then the error is nil) or each returns an
// error, which it returns.
func (c *Client) Live(ctx context.Context, each func(kind string, data []byte) error) error {
	resp, err := c.do(ctx, http.MethodGet, "/v1/live", nil, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLiveLine)
	kind := ""
	for lines.Scan() {
		line := lines.Bytes()
		switch name, value, _ := strings.Cut(string(line[:min(len(line), len("event: ")+16)]), ": "); name {
		case "event":
			kind = value
		case "data":
			if err := each(kind, line[len("data: "):]); err != nil {
				return err
			}
		}
	}
	err = lines.Err()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("gave up following the node: %w", ctx.Err())
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("cannot read the live stream of the agent at %q: %w", c.address, err)
	}
	return nil
}
