package localapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
	"holdfast/edge/trust"
)

// policy answers GET /v1/policy.
func (s *Server) policy(w http.ResponseWriter, _ *http.Request) {
	view, err := s.opts.Policies.Policy()
	if err != nil {
		s.fail(w, err)
		return
	}
	s.reply(w, http.StatusOK, view)
}

// applyPolicy answers POST /v1/policy once the document is kept and in force.
func (s *Server) applyPolicy(w http.ResponseWriter, r *http.Request) {
	readUntil(w, time.Now().Add(s.opts.BodyTimeout))
	envelope, err := io.ReadAll(io.LimitReader(r.Body, trust.MaxEnvelope+1))
	switch {
	case err != nil:
		s.fail(w, bodyProblem(err, len(envelope)))
		return
	case len(envelope) > trust.MaxEnvelope:
		s.fail(w, largeDocument())
		return
	}
	ctx, cancel := s.untilStopped(r)
	defer cancel()
	report, err := s.opts.Policies.ApplyPolicy(ctx, envelope)
	if err != nil {
		s.fail(w, err)
		return
	}
	s.reply(w, http.StatusOK, report)
}

func largeDocument() error {
	return problem{status: http.StatusRequestEntityTooLarge, hangUp: true, body: oip.ErrorBody{
		Error:  fmt.Sprintf("a signed document has at most %d bytes", trust.MaxEnvelope),
		Reason: reasonTooLarge,
		Hint:   fmt.Sprintf("a policy has at most %d; reference what is larger by digest", edge.MaxPolicy),
	}}
}

// Policy is what governs the node.
func (c *Client) Policy(ctx context.Context) (edge.PolicyView, error) {
	return read[edge.PolicyView](ctx, c, "/v1/policy")
}

// ApplyPolicy brings the node a signed policy or root document.
func (c *Client) ApplyPolicy(ctx context.Context, envelope []byte) (report edge.PolicyReport, err error) {
	resp, err := c.do(ctx, http.MethodPost, "/v1/policy", bytes.NewReader(envelope), nil)
	if err != nil {
		return report, err
	}
	return decode[edge.PolicyReport](c, resp)
}
