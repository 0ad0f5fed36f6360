package localapi

import (
	"context"
	"net/http"
	"net/url"

	"holdfast/edge"
)

// volumes answers GET /v1/volumes.
func (s *Server) volumes(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := s.untilStopped(r)
	defer cancel()
	volumes, err := s.opts.Volumes.Volumes(ctx)
	if err != nil {
		s.fail(w, err)
		return
	}
	s.reply(w, http.StatusOK, list(volumes))
}

// removeVolume answers DELETE /v1/volumes/{app}/{name}.
func (s *Server) removeVolume(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := s.untilStopped(r)
	defer cancel()
	s.done(w, s.opts.Volumes.RemoveVolume(ctx, r.PathValue("app"), r.PathValue("name")))
}

// Volumes lists the folders that apps keep.
func (c *Client) Volumes(ctx context.Context) ([]edge.VolumeView, error) {
	return read[[]edge.VolumeView](ctx, c, "/v1/volumes")
}

// RemoveVolume deletes a volume that nothing uses, or is to use.
func (c *Client) RemoveVolume(ctx context.Context, app, name string) error {
	resp, err := c.do(ctx, http.MethodDelete, "/v1/volumes/"+url.PathEscape(app)+"/"+url.PathEscape(name), nil, nil)
	if err != nil {
		return err
	}
	_, err = decode[struct{}](c, resp)
	return err
}
