package localapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
	"holdfast/edge/trust"
)

// Reasons beside those of edge.Refusal.
const (
	reasonInvalid      = "invalid_request"
	reasonTooLarge     = "body_too_large"
	reasonTooSlow      = "body_too_slow"
	reasonBusy         = "too_many_bytes_in_flight"
	reasonImporting    = "import_running"
	reasonEncoding     = "unsupported_encoding"
	reasonMethod       = "method_not_allowed"
	reasonNotFound     = "not_found"
	reasonExists       = "exists"
	reasonForbidden    = "forbidden"
	reasonUnavailable  = "unavailable"
	reasonMissed       = "deadline_missed"
	reasonCancelled    = "cancelled"
	reasonModel        = "model_error"
	reasonPlatform     = "wrong_platform"
	reasonInternal     = "internal"
	reasonNoRoom       = "no_room"
	reasonStreams      = "too_many_streams"
	reasonUnauthorized = "unauthorized"
)

// problem is an error as HTTP says it.
type problem struct {
	status int
	body   oip.ErrorBody
	retry  time.Duration // when asking again may help; 0: not said
	allow  string        // the method to use instead
	hangUp bool          // the rest of the request is not worth reading
}

func (p problem) Error() string { return p.body.Error }

// sentinel pairs what a caller may branch on with its status and reason.
type sentinel struct {
	err    error
	status int
	reason string
}

// sentinels are in order of precedence: a model's error may well wrap another.
var sentinels = [...]sentinel{
	{edge.ErrModel, http.StatusBadGateway, reasonModel},
	{edge.ErrDeadline, http.StatusGatewayTimeout, reasonMissed},
	{edge.ErrCancelled, http.StatusConflict, reasonCancelled},
	{edge.ErrNoRoom, http.StatusInsufficientStorage, reasonNoRoom},
	{edge.ErrUnavailable, http.StatusServiceUnavailable, reasonUnavailable},
	{edge.ErrWrongPlatform, http.StatusUnprocessableEntity, reasonPlatform},
	{edge.ErrInvalid, http.StatusBadRequest, reasonInvalid},
	{edge.ErrNotFound, http.StatusNotFound, reasonNotFound},
	{edge.ErrExists, http.StatusConflict, reasonExists},
	{context.Canceled, http.StatusServiceUnavailable, reasonUnavailable}, // the agent is stopping
}

// problemOf translates an error.
func problemOf(err error) problem {
	var known problem
	if errors.As(err, &known) {
		return known
	}
	if refusal, ok := edge.AsRefusal(err); ok {
		return refused(refusal)
	}
	if reason := trust.ReasonOf(err); reason != "" {
		return problem{status: http.StatusUnprocessableEntity, body: oip.ErrorBody{
			Error: err.Error(), Hint: edge.HintOf(err), Reason: string(reason),
		}}
	}
	p := problem{status: http.StatusInternalServerError, body: oip.ErrorBody{
		Error: err.Error(), Hint: edge.HintOf(err), Reason: reasonInternal,
	}}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			p.status, p.body.Reason = s.status, s.reason
			break
		}
	}
	var field *oip.FieldError
	if p.body.Reason == reasonInvalid && errors.As(err, &field) {
		p.body.Field = field.Field
	}
	if p.status == http.StatusServiceUnavailable {
		p.retry = time.Second
	}
	return p
}

// refused translates a refusal. The text leaves out what other fields say.
func refused(r *edge.Refusal) problem {
	p := problem{status: refusalStatus(r.Reason), retry: r.RetryAfter, body: oip.ErrorBody{
		Error:        r.Detail,
		Reason:       string(r.Reason),
		EarliestUS:   r.Earliest.Microseconds(),
		RetryAfterMS: r.RetryAfter.Milliseconds(),
	}}
	if p.body.Error == "" {
		p.body.Error = refusalText(r.Reason)
	}
	// A queue empties and a model becomes ready by waiting; whether a deadline
	// becomes reachable, only the scheduler can say.
	if p.retry == 0 && (p.status == http.StatusServiceUnavailable || r.Reason == edge.ReasonQueueFull) {
		p.retry = time.Second
	}
	return p
}

func refusalStatus(r edge.Reason) int {
	switch r {
	case edge.ReasonDeadlineUnreachable, edge.ReasonQueueFull, edge.ReasonOverQuota:
		return http.StatusTooManyRequests
	case edge.ReasonDeadlinePassed, edge.ReasonHopeless:
		return http.StatusGatewayTimeout
	case edge.ReasonUnknownModel:
		return http.StatusNotFound
	case edge.ReasonDenied:
		return http.StatusForbidden
	default: // model not ready, draining
		return http.StatusServiceUnavailable
	}
}

func refusalText(r edge.Reason) string {
	switch r {
	case edge.ReasonDeadlineUnreachable:
		return "the task could not end by its deadline"
	case edge.ReasonDeadlinePassed:
		return "the deadline has passed already"
	case edge.ReasonQueueFull:
		return "as many tasks of the class wait as may"
	case edge.ReasonUnknownModel:
		return "no workload of the node serves the model"
	case edge.ReasonModelNotReady:
		return "no instance of the model is ready"
	case edge.ReasonHopeless:
		return "what ran before the task took so long that it could no longer end by its deadline"
	case edge.ReasonDenied:
		return "the policy does not allow the task"
	case edge.ReasonOverQuota:
		return "the tenant has submitted more than the policy lets it"
	case edge.ReasonDraining:
		return "the node takes no new tasks"
	}
	return "the task was refused: " + string(r)
}

// fail writes an error.
func (s *Server) fail(w http.ResponseWriter, err error) { write(w, problemOf(err)) }

func write(w http.ResponseWriter, p problem) {
	if p.retry > 0 {
		// HTTP counts in whole seconds; the body has it exactly.
		w.Header().Set("Retry-After", strconv.FormatInt(int64((p.retry+time.Second-1)/time.Second), 10))
		if p.body.RetryAfterMS == 0 {
			p.body.RetryAfterMS = max(p.retry.Milliseconds(), 1)
		}
	}
	if p.allow != "" {
		w.Header().Set("Allow", p.allow)
	}
	if p.hangUp {
		w.Header().Set("Connection", "close")
	}
	writeJSON(w, p.status, p.body)
}

// reply writes a value as JSON.
func (s *Server) reply(w http.ResponseWriter, status int, v any) { writeJSON(w, status, v) }

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be encoded","reason":"internal"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	allowWriting(w)
	w.WriteHeader(status)
	// Nobody is left to tell when the caller has gone.
	_, _ = w.Write(append(body, '\n'))
}

// allowWriting gives the caller some time to take what is written next. The
// deadline belongs to the connection, so each answer sets its own.
func allowWriting(w http.ResponseWriter) {
	// Without support there is no deadline to renew either.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
}
