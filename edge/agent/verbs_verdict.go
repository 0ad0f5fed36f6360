package agent

import (
	"context"
	"errors"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// exitError is the end of a program that did not succeed.
type exitError struct{ edge.Exit }

func (e exitError) Error() string { return "the program " + e.String() }

// The words for programs that stand for the conditions of edge, as the local API says
// them.
const (
	reasonExit     = "exit_code"
	reasonInternal = "internal"
)

// verdict is how a reply calls one condition.
type verdict struct {
	err    error
	stage  edge.Stage
	reason string
}

// verdictOf tells how an effect ended: the stage of the reply, and its reason where it
// did not succeed. Refused is what had no effect and would have none again.
func verdictOf(err error) (edge.Stage, string) {
	if err == nil {
		return edge.StageSucceeded, ""
	}
	if refusal, is := edge.AsRefusal(err); is {
		return edge.StageRefused, string(refusal.Reason)
	}
	if reason := trust.ReasonOf(err); reason != "" {
		return edge.StageRefused, string(reason)
	}
	var ended exitError
	if errors.As(err, &ended) {
		return edge.StageFailed, reasonExit
	}
	// In order of precedence: a model's error may well wrap another.
	for _, v := range [...]verdict{
		{edge.ErrModel, edge.StageFailed, "model_error"},
		{edge.ErrDeadline, edge.StageFailed, "deadline_missed"},
		{edge.ErrCancelled, edge.StageFailed, "cancelled"},
		{context.Canceled, edge.StageFailed, "cancelled"},
		{context.DeadlineExceeded, edge.StageFailed, "deadline_missed"},
		{edge.ErrUnavailable, edge.StageFailed, "unavailable"},
		{edge.ErrWrongPlatform, edge.StageRefused, "wrong_platform"},
		{edge.ErrInvalid, edge.StageRefused, "invalid_request"},
		{edge.ErrNotFound, edge.StageRefused, "not_found"},
		{edge.ErrExists, edge.StageRefused, "already_exists"},
	} {
		if errors.Is(err, v.err) {
			return v.stage, v.reason
		}
	}
	return edge.StageFailed, reasonInternal
}
