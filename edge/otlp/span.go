package otlp

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"time"

	"holdfast/edge"
)

// The types below are OTLP's JSON mapping, as far as it is used: identifiers in hexadecimal
// digits, and numbers of 64 bits as strings.
type (
	request struct {
		ResourceSpans []resourceSpans `json:"resourceSpans"`
	}
	resourceSpans struct {
		Resource   resource     `json:"resource"`
		ScopeSpans []scopeSpans `json:"scopeSpans"`
	}
	resource struct {
		Attributes []attribute `json:"attributes"`
	}
	scopeSpans struct {
		Scope scope  `json:"scope"`
		Spans []span `json:"spans"`
	}
	scope struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	span struct {
		TraceID    edge.TraceID `json:"traceId"`
		SpanID     string       `json:"spanId"`
		ParentID   string       `json:"parentSpanId,omitempty"`
		TraceState string       `json:"traceState,omitempty"`
		Flags      int          `json:"flags"`
		Name       string       `json:"name"`
		Kind       int          `json:"kind"`
		Start      string       `json:"startTimeUnixNano"`
		End        string       `json:"endTimeUnixNano"`
		Attributes []attribute  `json:"attributes,omitempty"`
		Status     status       `json:"status"`
	}
	status struct {
		Code    int    `json:"code,omitempty"`
		Message string `json:"message,omitempty"`
	}
	attribute struct {
		Key   string `json:"key"`
		Value value  `json:"value"`
	}
	value struct {
		Text  *string  `json:"stringValue,omitempty"`
		Whole *string  `json:"intValue,omitempty"`
		Real  *float64 `json:"doubleValue,omitempty"`
	}
)

// Kinds of spans, and the status of one that did not end well, as the protocol numbers them.
const (
	internal    = 1
	server      = 2
	client      = 3
	statusError = 2
	sampled     = 1 // of the flags
)

func text(key, v string) attribute { return attribute{key, value{Text: &v}} }

func millis(key string, d time.Duration) attribute {
	v := float64(d.Microseconds()) / 1000
	return attribute{key, value{Real: &v}}
}

func whole(key string, n int) attribute {
	v := strconv.Itoa(n)
	return attribute{key, value{Whole: &v}}
}

// encode writes a batch of tasks as one request.
func (e *Exporter) encode(tasks []record) ([]byte, int, error) {
	var spans []span
	for _, s := range tasks {
		spans = append(spans, spansOf(s)...)
	}
	body, err := json.Marshal(request{[]resourceSpans{{
		Resource: resource{[]attribute{
			text("service.name", "holdfast"), text("service.version", e.options.Version),
			text("service.instance.id", e.options.Node), text("host.name", e.options.Node),
		}},
		ScopeSpans: []scopeSpans{{Scope: scope{"holdfast", e.options.Version}, Spans: spans}},
	}}})
	return body, len(spans), err
}

// spansOf is a task as spans: the node's work on it and, below that, its time in the queue and
// in the model or at the upstream.
func spansOf(s record) []span {
	t := s.Task
	begin := t.Arrived.Round(0) // the wall clock at its arrival; what follows is counted from there
	whole := taskSpan(s, begin, begin.Add(s.At.Sub(t.Arrived)))
	spans := []span{whole, below(whole, "queue", internal, begin, s.Queue)}
	if s.Compute <= 0 {
		return spans
	}
	name, kind := "compute", internal
	if s.Answer.Route == edge.AnsweredUpstream {
		name, kind = "upstream", client
	}
	work := below(whole, name, kind, begin.Add(s.Queue), s.Compute)
	if s.Answer.Instance != "" && kind == internal {
		work.Attributes = append(work.Attributes, text("container.id", s.Answer.Instance))
	}
	if s.Answer.Model != "" {
		work.Attributes = append(work.Attributes, text("holdfast.model", s.Answer.Model))
	}
	return append(spans, work)
}

// taskSpan is the node's work on a task.
func taskSpan(s record, begin, end time.Time) span {
	t := s.Task
	whole := span{
		TraceID: t.Trace.ID, SpanID: t.Trace.Span.String(), TraceState: t.Trace.State, Flags: sampled,
		Name: "task " + t.Model, Kind: server, Start: nanos(begin), End: nanos(end), Attributes: attributesOf(s),
	}
	if t.Trace.Parent != (edge.SpanID{}) {
		whole.ParentID = t.Trace.Parent.String()
	}
	if s.Outcome != edge.Completed {
		why := failure(s)
		whole.Status = status{Code: statusError, Message: why}
		whole.Attributes = append(whole.Attributes, text("error.type", why))
	}
	return whole
}

// failure says why there is no answer, in words of the node's own: an error of a model may
// quote what it was given.
func failure(s record) string {
	if refusal, is := edge.AsRefusal(s.Err); is {
		return string(refusal.Reason)
	}
	return s.Outcome.String()
}

func attributesOf(s record) []attribute {
	t := s.Task
	list := []attribute{
		text("holdfast.task", t.ID), text("holdfast.model", t.Model), text("holdfast.class", t.Class.String()),
		text("holdfast.outcome", s.Outcome.String()), millis("holdfast.estimate_ms", s.Estimate),
		whole("holdfast.input_bytes", s.input),
	}
	if t.HasDeadline() {
		list = append(list, millis("holdfast.deadline_ms", t.Deadline.Sub(t.Arrived)), millis("holdfast.slack_ms", s.Slack()))
	}
	for _, fact := range [...]struct{ key, text string }{
		{"holdfast.tenant", t.Tenant}, {"holdfast.route", s.Answer.Route}, {"holdfast.route_why", string(s.RouteWhy)},
		{"holdfast.variant", variant(s)}, {"holdfast.variant_why", string(s.VariantWhy)},
	} {
		if fact.text != "" {
			list = append(list, text(fact.key, fact.text))
		}
	}
	return list
}

// variant is the model that answered, of a task that was answered.
func variant(s record) string {
	if s.Outcome != edge.Completed {
		return ""
	}
	return s.Variant()
}

// below is a part of a span.
func below(of span, name string, kind int, from time.Time, took time.Duration) span {
	var id edge.SpanID
	binary.NativeEndian.PutUint64(id[:], rand.Uint64()|1)
	return span{
		TraceID: of.TraceID, SpanID: id.String(), ParentID: of.SpanID, Flags: of.Flags,
		Name: name, Kind: kind, Start: nanos(from), End: nanos(from.Add(max(0, took))),
	}
}

func nanos(at time.Time) string { return strconv.FormatInt(at.UnixNano(), 10) }
