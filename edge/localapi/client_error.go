package localapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// maxErrorBody bounds what is read of an error, in bytes.
const maxErrorBody = 64 << 10

// refusals are the reasons that stand for an *edge.Refusal.
var refusals = [...]edge.Reason{
	edge.ReasonDeadlineUnreachable, edge.ReasonDeadlinePassed, edge.ReasonQueueFull, edge.ReasonUnknownModel,
	edge.ReasonModelNotReady, edge.ReasonHopeless, edge.ReasonDenied, edge.ReasonOverQuota, edge.ReasonDraining,
}

// said is an error in the agent's words that is one of edge's to a program.
type said struct {
	text string
	is   error
}

func (s *said) Error() string { return s.text }
func (s *said) Unwrap() error { return s.is }

// refusedBy turns an answer that is an error back into what the agent had.
func refusedBy(resp *http.Response) error {
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil {
		return fmt.Errorf("cannot read error of the agent (%s): %w", resp.Status, err)
	}
	var body oip.ErrorBody
	if err := json.Unmarshal(text, &body); err != nil || body.Error == "" {
		return fmt.Errorf("what answers is no agent: %s: %w", resp.Status, edge.ErrUnavailable)
	}
	err = errorOf(resp.StatusCode, body)
	if body.Hint != "" {
		err = edge.WithHint(err, body.Hint)
	}
	return err
}

func errorOf(status int, body oip.ErrorBody) error {
	if reason := edge.Reason(body.Reason); slices.Contains(refusals[:], reason) {
		return &edge.Refusal{
			Reason:     reason,
			Detail:     body.Error,
			Earliest:   time.Duration(body.EarliestUS) * time.Microsecond,
			RetryAfter: time.Duration(body.RetryAfterMS) * time.Millisecond,
		}
	}
	if body.Reason == reasonInvalid && body.Field != "" {
		return &oip.FieldError{Field: body.Field, Problem: strings.TrimPrefix(body.Error, body.Field+": ")}
	}
	return &said{text: body.Error, is: sentinelOf(status, body.Reason)}
}

// sentinelOf finds the condition by its reason, else by what the status says.
func sentinelOf(status int, reason string) error {
	for _, s := range sentinels {
		if s.reason == reason {
			return s.err
		}
	}
	switch {
	case status == http.StatusServiceUnavailable:
		return edge.ErrUnavailable
	case status == http.StatusNotFound:
		return edge.ErrNotFound
	case status >= 400 && status < 500:
		return edge.ErrInvalid
	}
	return nil
}
