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

// Updates brings the agent itself, and the system below it, to another version.
type Updates interface {
	// Update brings it to the release in a folder of the node, again also when that version was
	// left here before, and returns once it is to be started. leave ends the agent for it, and
	// is called once the answer is on its way.
	Update(ctx context.Context, folder string, again bool, told func(edge.Progress)) (to edge.AgentUpdate, leave func(), err error)
	// UpdateSystem brings the whole system below it to a bundle, again also when that version
	// did not stay here before, and returns once it is installed. leave has the machine start
	// anew where that is wanted, and is called once the answer is on its way.
	UpdateSystem(ctx context.Context, wanted edge.SystemPolicy, again bool, told func(edge.Progress)) (to edge.SystemUpdate, leave func(), err error)
}

// updateLine is one line of the answer: how far it is, and at last how it ended.
type updateLine struct {
	Progress *edge.Progress     `json:"progress,omitempty"`
	Update   *edge.AgentUpdate  `json:"update,omitempty"`
	System   *edge.SystemUpdate `json:"system,omitempty"`
	Failed   *oip.ErrorBody     `json:"failed,omitempty"`
	Status   int                `json:"status,omitempty"` // that the failure would have had
}

// update answers POST /v1/update, one JSON object a line.
func (s *Server) update(w http.ResponseWriter, r *http.Request) {
	folder := r.URL.Query().Get("folder")
	if folder == "" {
		s.fail(w, field("folder", "is missing: name a release folder on this node by its absolute path"))
		return
	}
	s.updating(w, r, func(ctx context.Context, again bool, told func(edge.Progress)) (updateLine, func(), error) {
		to, leave, err := s.opts.Updates.Update(ctx, folder, again, told)
		return updateLine{Update: &to}, leave, err
	})
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
	s.updating(w, r, func(ctx context.Context, again bool, told func(edge.Progress)) (updateLine, func(), error) {
		to, leave, err := s.opts.Updates.UpdateSystem(ctx, wanted, again, told)
		return updateLine{System: &to}, leave, err
	})
}

// updating tells how far an update is, and at last how it ended.
func (s *Server) updating(w http.ResponseWriter, r *http.Request, do func(ctx context.Context, again bool, told func(edge.Progress)) (last updateLine, leave func(), err error)) {
	again := false
	if text := r.URL.Query().Get("again"); text != "" {
		var err error
		if again, err = strconv.ParseBool(text); err != nil {
			s.fail(w, field("again", "must be true or false"))
			return
		}
	}
	ctx, cancel := s.untilStopped(r)
	defer cancel()
	lines := progressLines{s: s, w: w, cancel: cancel}
	last, leave, err := do(ctx, again, func(p edge.Progress) {
		if lines.due() || p.Note != "" {
			lines.send(updateLine{Progress: &p})
		}
	})
	if err != nil {
		lines.fail(err, func(p problem) any { return updateLine{Failed: &p.body, Status: p.status} })
		return
	}
	defer leave()
	lines.send(last)
}

// Update has the agent update itself to the release in a folder of the node, again also when
// that version was left here before. told hears how far it is; nil hears nothing.
func (c *Client) Update(ctx context.Context, folder string, again bool, told func(edge.Progress)) (edge.AgentUpdate, error) {
	asked := url.Values{"folder": {folder}, "again": {strconv.FormatBool(again)}}
	last, err := c.updating(ctx, "/v1/update?"+asked.Encode(), "what has come is kept, and the next try goes on from there", told)
	if err != nil || last.Update == nil {
		return edge.AgentUpdate{}, err
	}
	return *last.Update, nil
}

// UpdateSystem has RAUC install a bundle, again also when its version did not stay on the
// machine before, and the machine start anew for it unless that is to be later. told hears
// how far it is; nil hears nothing.
func (c *Client) UpdateSystem(ctx context.Context, wanted edge.SystemPolicy, again bool, told func(edge.Progress)) (edge.SystemUpdate, error) {
	asked := url.Values{
		"bundle": {wanted.Bundle}, "version": {wanted.Version}, "digest": {wanted.Digest},
		"restart": {string(wanted.Restart)}, "again": {strconv.FormatBool(again)},
	}
	last, err := c.updating(ctx, "/v1/update-system?"+asked.Encode(), "rauc goes on with what it has begun", told)
	if err != nil || last.System == nil {
		return edge.SystemUpdate{}, err
	}
	return *last.System, nil
}

// updating waits for the last line. brokenOff says what becomes of an update whose agent is
// gone.
func (c *Client) updating(ctx context.Context, path, brokenOff string, told func(edge.Progress)) (last updateLine, err error) {
	resp, err := c.do(ctx, http.MethodPost, path, nil, nil)
	if err != nil {
		return last, err
	}
	defer resp.Body.Close()
	for lines := json.NewDecoder(resp.Body); ; {
		var line updateLine
		switch err := lines.Decode(&line); {
		case ctx.Err() != nil:
			return last, fmt.Errorf("gave up waiting for the update: %w", ctx.Err())
		case err != nil:
			return last, edge.WithHint(
				fmt.Errorf("cannot tell what became of the update, the agent at %q broke off: %w", c.address, edge.ErrUnavailable),
				"see holdfast status; "+brokenOff)
		case line.Failed != nil:
			return last, edge.WithHint(errorOf(line.Status, *line.Failed), line.Failed.Hint)
		case line.Update != nil || line.System != nil:
			return line, nil
		case told != nil && line.Progress != nil:
			told(*line.Progress)
		}
	}
}
