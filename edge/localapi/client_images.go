package localapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"holdfast/edge"
)

// PullImage has the node get an image by its digest from its registry, and tells how
// many bytes came. told hears how far it is; nil hears nothing.
func (c *Client) PullImage(ctx context.Context, ref string, told func(done, total int64)) (edge.Image, int64, error) {
	resp, err := c.do(ctx, http.MethodPost, "/v1/images/pull?"+url.Values{"image": {ref}}.Encode(), nil, nil)
	if err != nil {
		return edge.Image{}, 0, err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var line pullLine
		switch err := lines.Decode(&line); {
		case ctx.Err() != nil:
			return edge.Image{}, 0, fmt.Errorf("gave up waiting for image %q: %w", ref, ctx.Err())
		case err != nil:
			return edge.Image{}, 0, edge.WithHint(
				fmt.Errorf("cannot tell what became of image %q, the agent at %q broke off: %w", ref, c.address, edge.ErrUnavailable),
				"what has come is kept for a day; once the agent is back, pull again")
		case line.Failed != nil:
			return edge.Image{}, 0, edge.WithHint(errorOf(line.Status, *line.Failed), line.Failed.Hint)
		case line.Image != nil:
			return *line.Image, line.Fetched, nil
		case told != nil:
			told(line.Done, line.Total)
		}
	}
}

// PruneImages has the node remove the images that nothing on it needs.
func (c *Client) PruneImages(ctx context.Context) (Pruned, error) {
	resp, err := c.do(ctx, http.MethodPost, "/v1/images/prune", nil, nil)
	if err != nil {
		return Pruned{}, err
	}
	return decode[Pruned](c, resp)
}
