package verdict

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// Verdict is what is published about one task, as one JSON object. What does not
// apply is left out.
type Verdict struct {
	// ID is the request's own, else "sha256:" and the first 16 digits of the digest of
	// the message; none of one whose payload was too large.
	ID   string `json:"id,omitempty"`
	Task string `json:"task,omitempty"` // on the node, as holdfast tasks shows it
	// Duplicate: the message, or this verdict, may have been sent before.
	Duplicate bool         `json:"duplicate,omitempty"`
	Trigger   string       `json:"trigger"` // its filter, or its folder
	Topic     string       `json:"topic,omitempty"`
	File      string       `json:"file,omitempty"`
	Digest    string       `json:"digest,omitempty"` // of the file, which it was when it was last modified
	Modified  time.Time    `json:"modified,omitzero"`
	Model     string       `json:"model"`
	Outcome   edge.Outcome `json:"outcome"`
	Trace     edge.TraceID `json:"trace,omitzero"` // it is part of, by the W3C's Trace Context
	Class     edge.Class   `json:"class"`

	// Of an answer: by which way it came and why, and by which model and version.
	Route      string   `json:"route,omitempty"`
	RouteWhy   edge.Why `json:"routeWhy,omitempty"`
	Variant    string   `json:"variant,omitempty"` // the model that really answered, when it is another
	VariantWhy edge.Why `json:"variantWhy,omitempty"`
	Version    string   `json:"version,omitempty"`

	DeadlineMS  Millis `json:"deadlineMs,omitempty"` // from the arrival of the message
	QueueUS     int64  `json:"queueUs"`
	ComputeUS   int64  `json:"computeUs"`
	SlackUS     *int64 `json:"slackUs,omitempty"` // left to the deadline; below zero when it had passed
	DeadlineMet *bool  `json:"deadlineMet,omitempty"`

	Reason       string `json:"reason,omitempty"` // for programs: why there is no answer
	Detail       string `json:"detail,omitempty"` // for people
	Field        string `json:"field,omitempty"`  // of the request, that is wrong
	Hint         string `json:"hint,omitempty"`
	RetryAfterMS Millis `json:"retryAfterMs,omitempty"`
	EarliestMS   Millis `json:"earliestMs,omitempty"` // the shortest deadline that would have been accepted

	Answer json.RawMessage `json:"answer,omitempty"` // an Open Inference Protocol response
}

// Millis is a number of milliseconds, to the microsecond.
type Millis float64

// Of is a duration so.
func Of(d time.Duration) Millis {
	return Millis(math.Round(float64(d)/float64(time.Microsecond)) / 1000)
}

// Reasons beside those of edge.Refusal, in the words of the local API.
const (
	reasonInvalid   = "invalid_request"
	ReasonTooLarge  = "message_too_large"
	reasonMissed    = "deadline_missed"
	reasonCancelled = "cancelled"
	reasonModel     = "model_error"
	reasonAnswer    = "answer_too_large"
)

// Settle fills in what became of the task.
func (v *Verdict) Settle(s edge.Settlement) {
	v.Outcome, v.Trace = s.Outcome, s.Task.Trace.ID
	v.QueueUS, v.ComputeUS = s.Queue.Microseconds(), s.Compute.Microseconds()
	if s.Outcome != edge.Completed {
		v.unanswered(s)
		return
	}
	if s.Task.HasDeadline() {
		slack, met := s.Slack().Microseconds(), s.Slack() >= 0
		v.SlackUS, v.DeadlineMet = &slack, &met
	}
	v.Route, v.RouteWhy, v.Version = s.Answer.Route, s.RouteWhy, s.Answer.Version
	if v.Variant = s.Variant(); v.Variant != "" {
		v.VariantWhy = s.VariantWhy
	}
	v.answer(s.Answer.Payload)
}

// answer takes the model's answer in, if JSON can hold it.
func (v *Verdict) answer(p edge.Payload) {
	_, err := oip.ParseResponse(p)
	switch {
	case err != nil:
		v.Outcome, v.Reason, v.Detail = edge.Failed, reasonModel, "the model gave what is no answer: "+err.Error()
	case p.HeaderLength > 0:
		v.Outcome, v.Reason, v.Detail = edge.Failed, reasonModel, "the model answered with raw bytes, which nobody asked for and no JSON can hold"
	default:
		v.Answer = p.Body
	}
}

// unanswered says why there is no answer.
func (v *Verdict) unanswered(s edge.Settlement) {
	reason := map[edge.Outcome]string{
		edge.Missed: reasonMissed, edge.Cancelled: reasonCancelled, edge.Failed: reasonModel,
	}[s.Outcome]
	v.fail(s.Err, reason)
	if s.Outcome == edge.Missed && s.Task.HasDeadline() {
		slack, met := s.Slack().Microseconds(), false
		v.SlackUS, v.DeadlineMet = &slack, &met
	}
}

// Refuse says why there is no task.
func (v *Verdict) Refuse(err error) {
	v.Outcome = edge.Refused
	v.fail(err, reasonInvalid)
}

// fail translates an error; otherwise is its reason when it does not say one.
func (v *Verdict) fail(err error, otherwise string) {
	v.Reason = otherwise
	if err == nil {
		return
	}
	v.Detail, v.Hint = err.Error(), edge.HintOf(err)
	var field *oip.FieldError
	if errors.As(err, &field) {
		v.Field = field.Field
	}
	if refusal, ok := edge.AsRefusal(err); ok {
		v.Reason, v.Detail = string(refusal.Reason), refusal.Detail
		v.RetryAfterMS, v.EarliestMS = Of(refusal.RetryAfter), Of(refusal.Earliest)
	}
}

// Encode writes the verdict. An answer with which it would be larger than the
// broker takes from us is left out, and that is said.
func (v *Verdict) Encode(limit int) []byte {
	answer := v.Answer
	v.Answer = nil
	head, err := json.Marshal(v)
	switch {
	case err != nil: // only a time that is no number could do that, and there is none
		return fmt.Appendf(nil, `{"outcome":"failed","reason":"internal","detail":%q}`, err)
	case answer == nil:
		return head
	case len(head)+len(`,"answer":`)+len(answer) > limit:
		v.Reason, v.Detail = reasonAnswer, fmt.Sprintf("the answer has %d bytes, and a verdict may have %d", len(answer), limit)
		v.Hint = "ask for fewer outputs, or ask the node's own API"
		return v.Encode(limit)
	}
	// Spliced in as it is: it was read once already, and may be long.
	body := make([]byte, 0, len(head)+len(`,"answer":`)+len(answer))
	body = append(append(body, head[:len(head)-1]...), `,"answer":`...)
	return append(append(body, answer...), '}')
}

// Again marks an encoded verdict as one that may have been sent before.
func Again(body []byte) []byte {
	const mark = `"duplicate":true,`
	marked := append(make([]byte, 0, len(body)+len(mark)), '{')
	return append(append(marked, mark...), body[1:]...)
}

// Digest names what does not name itself: sha256sum of it begins so.
func Digest(payload []byte) string {
	sum := sha256.Sum256(payload)
	return "sha256:" + hex.EncodeToString(sum[:8])
}
