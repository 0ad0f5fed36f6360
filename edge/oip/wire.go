// Package oip is the Open Inference Protocol, version 2, as values: what the
// local API answers, what model servers are asked, and how a request is read,
// checked and annotated. It is pure: bytes in, values or errors out.
//
// The shapes are those of the protocol's REST specification with the binary
// tensor data and schedule policy extensions.
//
// # Promise
//
// Reading costs one pass over the JSON and copies no tensor data: tensors and
// parameters are windows into the body they were read from. What is accepted is
// valid JSON within the limits of limits.go, and its tensors hold as many
// elements as their shapes say.
//
// # Concurrency
//
// Everything here is a plain value or a pure function. Whoever keeps a parsed
// value must leave the bytes it was read from alone.
//
// # Failure
//
// Input that is wrong gives a *FieldError, which names the field in the words of
// the JSON (inputs[0].shape[1]) and wraps edge.ErrInvalid. Nothing panics.
//
// # Testing
//
// Tables for each field and limit; fuzzing holds the reader against
// encoding/json, and holds that annotating an answer changes none of its outputs.
package oip

import (
	"encoding/json"
	"strings"
)

// What a node is told of a task, by callers and by other nodes.
const (
	HeaderDeadline = "X-Holdfast-Deadline" // how long an answer is of use: 80ms
	HeaderClass    = "X-Holdfast-Class"    // urgent, normal or batch
)

// The headers of the W3C's Trace Context, as Go writes names of headers.
const (
	HeaderTrace      = "Traceparent" // of requests: whose work a task is part of
	HeaderTraceState = "Tracestate"
	HeaderTraced     = "Traceresponse" // of answers: the node's own part in it
)

// HeaderLengthField is the HTTP header of the binary tensor data extension: the
// length in bytes of the JSON part that stands before raw tensor data.
const HeaderLengthField = "Inference-Header-Content-Length"

// Extensions are the protocol extensions holdfast and its sample server honour,
// by the names the specification gives them.
var Extensions = []string{"binary_tensor_data", "schedule_policy"}

// ServerMetadata answers GET /v2.
type ServerMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

// ModelMetadata answers GET /v2/models/{model}.
type ModelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions,omitempty"`
	Platform string           `json:"platform"`
	Inputs   []TensorMetadata `json:"inputs"`
	Outputs  []TensorMetadata `json:"outputs"`
}

// TensorMetadata describes one input or output; -1 in its shape stands for any
// length.
type TensorMetadata struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// InferRequest is the JSON part of POST /v2/models/{model}/infer.
type InferRequest struct {
	ID         string            `json:"id,omitempty"`
	Parameters Parameters        `json:"parameters,omitempty"`
	Inputs     []Tensor          `json:"inputs"`
	Outputs    []RequestedOutput `json:"outputs,omitempty"`
}

// RequestedOutput names one output the caller wants.
type RequestedOutput struct {
	Name       string     `json:"name"`
	Parameters Parameters `json:"parameters,omitempty"`
}

// InferResponse is the JSON part of the answer.
type InferResponse struct {
	ModelName    string     `json:"model_name"`
	ModelVersion string     `json:"model_version,omitempty"`
	ID           string     `json:"id,omitempty"`
	Parameters   Parameters `json:"parameters,omitempty"`
	Outputs      []Tensor   `json:"outputs"`
}

// Tensor is one input or output. Data is empty when the tensor's bytes follow
// the JSON part; their number is then its parameter binary_data_size.
type Tensor struct {
	Name       string          `json:"name"`
	Shape      []int64         `json:"shape"`
	Datatype   string          `json:"datatype"`
	Parameters Parameters      `json:"parameters,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`

	binary []byte // its part of the bytes after the JSON; nil when the data is JSON
	seen   leaves // what Data held when it was read
}

// Parameters are the protocol's open name-to-scalar map, kept as they came.
type Parameters map[string]json.RawMessage

// ErrorBody is how the protocol reports errors; Reason and the fields after it
// are ours, for programs and for the person who repairs it.
type ErrorBody struct {
	Error        string `json:"error"`
	Hint         string `json:"hint,omitempty"` // what can be done about it
	Reason       string `json:"reason,omitempty"`
	Field        string `json:"field,omitempty"` // the offending field, for example inputs[0].shape
	EarliestUS   int64  `json:"earliest_us,omitempty"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
}

// maxErrorText bounds how much of another's own words goes into an error.
const maxErrorText = 300

// ErrorText is what the body of an error says, ready to be appended: ": no such input". Empty
// where it is none of the protocol.
func ErrorText(body []byte) string {
	var said ErrorBody
	if json.Unmarshal(body, &said) != nil || said.Error == "" {
		return ""
	}
	text := said.Error
	if len(text) > maxErrorText {
		text = text[:maxErrorText] + "…"
	}
	return ": " + strings.ToValidUTF8(text, "?")
}
