package localapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// systemLine is one line of the answer: how far it is, and at last how it ended.
type systemLine struct {
	Progress *edge.Progress     `json:"progress,omitempty"`
	System   *edge.SystemUpdate `json:"system,omitempty"`
	Failed   *oip.ErrorBody     `json:"failed,omitempty"`
	Status   int                `json:"status,omitempty"` // that the failure would have had
}

// updateSystem answers POST /v1/update-system, one JSON object a line.
func (s *Server) updateSystem(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query()
	wanted := edge.SystemPolicy{
		Bundle: asked.Get("bundle"), Version: asked.Get("version"), Digest: asked.Get("digest"),
		Restart: edge.SystemRestart(asked.Get("restart")),
	}
	if wanted.Bundle == "" {
		s.fail(w, field("bundle", "is missing: name a file on this machine by its absolute path, or on a web server"))
		return
	}
	again := false
	if text := asked.Get("again"); text != "" {
		var err error
		if again, err = strconv.ParseBool(text); err != nil {
			s.fail(w, field("again", "must be true or false"))
			return
		}
	}
	ctx, cancel := s.untilStopped(r)
	defer cancel()
	lines := progressLines{s: s, w: w, cancel: cancel}
	to, leave, err := s.opts.Updates.UpdateSystem(ctx, wanted, again, func(p edge.Progress) {
		if lines.due() || p.Note != "" {
			lines.send(systemLine{Progress: &p})
		}
	})
	if err != nil {
		lines.fail(err, func(p problem) any { return systemLine{Failed: &p.body, Status: p.status} })
		return
	}
	defer leave()
	lines.send(systemLine{System: &to})
}

// UpdateSystem has RAUC install a bundle, again also when its version did not stay on the
// machine before, and the machine start anew for it unless that is to be later. told hears
// how far it is; nil hears nothing.
func (c *Client) UpdateSystem(ctx context.Context, wanted edge.SystemPolicy, again bool, told func(edge.Progress)) (edge.SystemUpdate, error) {
	asked := url.Values{"bundle": {wanted.Bundle}, "again": {strconv.FormatBool(again)}}
	for name, value := range map[string]string{"version": wanted.Version, "digest": wanted.Digest, "restart": string(wanted.Restart)} {
		if value != "" {
			asked.Set(name, value)
		}
	}
	resp, err := c.do(ctx, http.MethodPost, "/v1/update-system?"+asked.Encode(), nil, nil)
	if err != nil {
		return edge.SystemUpdate{}, err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var line systemLine
		switch err := lines.Decode(&line); {
		case ctx.Err() != nil:
			return edge.SystemUpdate{}, fmt.Errorf("gave up waiting for the update: %w", ctx.Err())
		case err != nil:
			return edge.SystemUpdate{}, edge.WithHint(
				fmt.Errorf("cannot tell what became of the update, the agent at %q broke off: %w", c.address, edge.ErrUnavailable),
				"see holdfast status; rauc goes on with what it has begun")
		case line.Failed != nil:
			return edge.SystemUpdate{}, edge.WithHint(errorOf(line.Status, *line.Failed), line.Failed.Hint)
		case line.System != nil:
			return *line.System, nil
		case told != nil && line.Progress != nil:
			told(*line.Progress)
		}
	}
}
