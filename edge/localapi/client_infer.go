package localapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// InferOptions are what a task asks of its scheduling. The zero value leaves all
// of it to the node.
type InferOptions struct {
	Deadline time.Duration // 0: the class's
	Class    *edge.Class   // nil: normal, or what the payload's priority says
	Tenant   string
	Version  string // of the model; empty takes what is served
	// Traceparent and Tracestate say whose work it is part of, by the W3C's Trace Context.
	Traceparent, Tracestate string
}

// Result is an answer, and how it came to be.
type Result struct {
	Payload edge.Payload
	Task    string // the task's id on the node
	Class   edge.Class
	Queue   time.Duration
	Compute time.Duration
	Slack   time.Duration // what was left to the deadline; 0 when there was none
	OnTime  bool
	Route   string
	Variant string // the model that answered, when it is not the one asked
	Version string // of the model that answered, where it is known

	RouteWhy   edge.Why // where the model has a route
	VariantWhy edge.Why // of a variant
}

// Infer runs one task and returns its answer. A task that was not admitted or
// was evicted gives an *edge.Refusal.
func (c *Client) Infer(ctx context.Context, model string, p edge.Payload, opts InferOptions) (Result, error) {
	path := "/v2/models/" + url.PathEscape(model)
	if opts.Version != "" {
		path += "/versions/" + url.PathEscape(opts.Version)
	}
	resp, err := c.do(ctx, http.MethodPost, path+"/infer", bytes.NewReader(p.Body), inferHeader(p, opts))
	if err != nil {
		return Result{}, err
	}
	defer resp.Body.Close()
	body, err := readAll(resp)
	if err != nil {
		return Result{}, fmt.Errorf("cannot read answer of the agent at %q: %w", c.address, err)
	}
	headerLength, _ := strconv.Atoi(resp.Header.Get(oip.HeaderLengthField)) // absent: all JSON
	return resultOf(edge.Payload{Body: body, HeaderLength: headerLength})
}

func inferHeader(p edge.Payload, opts InferOptions) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	if p.HeaderLength > 0 {
		h.Set("Content-Type", "application/octet-stream")
		h.Set(oip.HeaderLengthField, strconv.Itoa(p.HeaderLength))
	}
	if opts.Deadline != 0 {
		h.Set(HeaderDeadline, opts.Deadline.String())
	}
	if opts.Class != nil {
		h.Set(HeaderClass, opts.Class.String())
	}
	if opts.Tenant != "" {
		h.Set(HeaderTenant, opts.Tenant)
	}
	if opts.Traceparent != "" {
		h.Set(oip.HeaderTrace, opts.Traceparent)
	}
	if opts.Tracestate != "" {
		h.Set(oip.HeaderTraceState, opts.Tracestate)
	}
	return h
}

// readAll reads a body into one buffer of its length.
func readAll(resp *http.Response) ([]byte, error) {
	if resp.ContentLength < 0 {
		return io.ReadAll(resp.Body)
	}
	body := make([]byte, resp.ContentLength)
	_, err := io.ReadFull(resp.Body, body)
	return body, err
}

// resultOf reads what the node wrote into an answer.
func resultOf(p edge.Payload) (Result, error) {
	answer, err := oip.ParseResponse(p)
	if err != nil {
		return Result{}, fmt.Errorf("%w: the answer is not of the protocol: %w", edge.ErrModel, err)
	}
	notes := answer.Parameters
	result := Result{
		Payload: p,
		Queue:   micros(notes, "queue_us"), Compute: micros(notes, "compute_us"), Slack: micros(notes, "slack_us"),
	}
	result.Task, _ = notes.Text("task")
	result.Route, _ = notes.Text("route")
	result.Variant, _ = notes.Text("variant")
	result.Version, _ = notes.Text("version")
	result.RouteWhy, result.VariantWhy = why(notes, "route_why"), why(notes, "variant_why")
	result.OnTime, _ = notes.Bool("deadline_met")
	class, _ := notes.Text("class")
	if result.Class, err = edge.ParseClass(class); err != nil {
		return Result{}, fmt.Errorf("cannot read answer's class: %w", err)
	}
	return result, nil
}

func why(p oip.Parameters, name string) edge.Why {
	text, _ := p.Text(name)
	return edge.Why(text)
}

func micros(p oip.Parameters, name string) time.Duration {
	n, _ := p.Int(name)
	return time.Duration(n) * time.Microsecond
}
