package verdict

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// Models knows what models take.
type Models interface {
	// Model tells what a model says of itself, whether an instance of it can take a
	// task now, and whether any workload serves it at all. The metadata has no name
	// while no instance has told it yet.
	Model(name string) (meta oip.ModelMetadata, ready, known bool)
}

// Request is what a message asks of a model.
type Request struct {
	Payload edge.Payload
	Parsed  *oip.InferRequest
	Made    bool // the payload is not the message's, but was made from it
}

// Read turns a message into a request to a model: an Open Inference Protocol
// request stays as it is; anything else becomes the one input the model declares.
// Errors are refusals, or *oip.FieldError with a hint.
func Read(message []byte, name string, models Models) (Request, error) {
	meta, _, known := models.Model(name)
	r, err := asRequest(message)
	if err != nil && !isRequest(message) {
		r, err = wrap(message, name, meta, known)
	}
	if err == nil {
		err = fits(r.Parsed, meta)
	}
	if _, refused := edge.AsRefusal(err); err != nil && !refused {
		err = edge.WithHint(err, "send an Open Inference Protocol request as JSON, or the value of the model's one input; GET /v2/models/"+name+" says what that is")
	}
	return r, err
}

// asRequest reads a message that is a request already.
func asRequest(message []byte) (Request, error) {
	if !startsWith(message, '{') {
		return Request{}, errors.New("not an object")
	}
	parsed, err := oip.ParseRequest(message, 0)
	return Request{Payload: edge.Payload{Body: message}, Parsed: parsed}, err
}

// isRequest tells a request with a mistake in it from data that happens to begin like
// one: a request has inputs. What is no whole JSON and begins with a brace is taken
// for a request that broke off only if it names them.
func isRequest(message []byte) bool {
	if !startsWith(message, '{') {
		return false
	}
	var probe map[string]json.RawMessage
	if err := json.Unmarshal(message, &probe); err == nil {
		_, has := probe["inputs"]
		return has
	}
	return bytes.Contains(message, []byte(`"inputs"`))
}

func startsWith(message []byte, b byte) bool {
	trimmed := bytes.TrimLeft(message, " \t\r\n")
	return len(trimmed) > 0 && trimmed[0] == b
}

// fits holds a request against the model, and keeps answers out of it that no JSON
// reply could carry.
func fits(r *oip.InferRequest, meta oip.ModelMetadata) error {
	if len(r.ID) > maxID {
		return &oip.FieldError{Field: "id", Problem: fmt.Sprintf("has %d bytes, %d are allowed", len(r.ID), maxID)}
	}
	raw := "must not ask for raw bytes: a verdict is one JSON object"
	if wanted, _ := r.Parameters.Bool("binary_data_output"); wanted {
		return &oip.FieldError{Field: "parameters.binary_data_output", Problem: raw}
	}
	for i, out := range r.Outputs {
		if wanted, _ := out.Parameters.Bool("binary_data"); wanted {
			return &oip.FieldError{Field: fmt.Sprintf("outputs[%d].parameters.binary_data", i), Problem: raw}
		}
	}
	return r.Check(meta)
}

// maxID bounds a request's id, which its verdict repeats.
const maxID = 256

// wrap makes a request with the message as the model's one input.
func wrap(message []byte, name string, meta oip.ModelMetadata, known bool) (Request, error) {
	switch {
	case !known:
		return Request{}, &edge.Refusal{Reason: edge.ReasonUnknownModel, Detail: fmt.Sprintf("no workload of the node serves model %q", name)}
	case meta.Name == "":
		return Request{}, &edge.Refusal{Reason: edge.ReasonModelNotReady, Detail: fmt.Sprintf("no instance of model %q has said yet what it takes", name)}
	case len(meta.Inputs) != 1:
		return Request{}, payloadError("is no Open Inference Protocol request, and model %q declares %d inputs, not the one it could be", name, len(meta.Inputs))
	case len(message) == 0:
		return Request{}, payloadError("is empty")
	}
	made, err := tensor(message, meta.Inputs[0])
	if err != nil {
		return Request{}, err
	}
	parsed, err := oip.ParseRequest(made.Body, made.HeaderLength)
	return Request{Payload: made, Parsed: parsed, Made: true}, err
}

// tensor makes the body of a request whose one input holds the message: the bytes as
// one string, numbers of a JSON array, or raw numbers, little end first.
func tensor(message []byte, input oip.TensorMetadata) (edge.Payload, error) {
	if input.Datatype == "BYTES" {
		shape, ok := shapeFor(input.Shape, 1)
		if !ok {
			return edge.Payload{}, unfit(message, input, "is one value")
		}
		element := binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(message)), uint32(len(message)))
		return encode(oip.Tensor{Name: input.Name, Datatype: input.Datatype, Shape: shape}, append(element, message...))
	}
	switch {
	case startsWith(message, '[') && isText(message):
		return array(message, input)
	case startsWith(message, '{') && isText(message), isFigures(message):
		// It may have the size of raw numbers by chance; what came of that would be an
		// answer to a question nobody asked.
		return edge.Payload{}, payloadError("is text, and input %q is %s %v: write numbers as a JSON array", input.Name, input.Datatype, input.Shape)
	}
	return numbers(message, input)
}

// isText tells whether the message could be JSON in ASCII.
func isText(message []byte) bool {
	return !bytes.ContainsFunc(message, func(r rune) bool { return r > '~' || r < ' ' && !strings.ContainsRune("\t\r\n", r) })
}

// isFigures tells whether the message is numbers as people write them.
func isFigures(message []byte) bool {
	return !bytes.ContainsFunc(message, func(r rune) bool { return !strings.ContainsRune("0123456789+-.eE,; \t\r\n", r) })
}

func payloadError(format string, args ...any) error {
	return &oip.FieldError{Field: "payload", Problem: fmt.Sprintf(format, args...)}
}

// array takes a JSON array, however nested, for the tensor's data.
func array(message []byte, input oip.TensorMetadata) (edge.Payload, error) {
	count, ok := leaves(message)
	if !ok || !json.Valid(message) {
		return edge.Payload{}, payloadError("is no JSON array of numbers, or of true and false")
	}
	shape, ok := shapeFor(input.Shape, count)
	if !ok {
		return edge.Payload{}, unfit(message, input, fmt.Sprintf("has %d elements", count))
	}
	return encode(oip.Tensor{Name: input.Name, Datatype: input.Datatype, Shape: shape, Data: message}, nil)
}

// leaves counts what stands between brackets and commas; false when there are strings
// or objects. Whether it is JSON is not looked at.
func leaves(message []byte) (count int64, ok bool) {
	inside := false
	for _, b := range message {
		switch b {
		case '[', ']', ',', ' ', '\t', '\r', '\n':
			inside = false
		case '"', '{', '}', ':':
			return 0, false
		default:
			if !inside {
				count++
			}
			inside = true
		}
	}
	return count, true
}

// numbers takes the message for raw numbers.
func numbers(message []byte, input oip.TensorMetadata) (edge.Payload, error) {
	size := sizes[input.Datatype]
	if size == 0 {
		return edge.Payload{}, payloadError("cannot become %s", input.Datatype)
	}
	count := int64(len(message)) / size
	shape, ok := shapeFor(input.Shape, count)
	if int64(len(message))%size != 0 || !ok {
		return edge.Payload{}, unfit(message, input, fmt.Sprintf("has %d bytes", len(message)))
	}
	return encode(oip.Tensor{Name: input.Name, Datatype: input.Datatype, Shape: shape}, message)
}

// sizes are the bytes of one element.
var sizes = map[string]int64{
	"BOOL": 1, "UINT8": 1, "INT8": 1, "UINT16": 2, "INT16": 2, "FP16": 2, "BF16": 2,
	"UINT32": 4, "INT32": 4, "FP32": 4, "UINT64": 8, "INT64": 8, "FP64": 8,
}

// shapeFor returns the declared shape for so many elements. One dimension may be
// open and takes what is left; where several are, all but the first are 1, which is
// only right when the first is the batch: so then there must be one element.
func shapeFor(declared []int64, count int64) (shape []int64, ok bool) {
	shape = append([]int64{}, declared...)
	open, rest, fixed := 0, -1, int64(1)
	for i, n := range declared {
		switch {
		case n < 0:
			open++
			shape[i] = 1
			if rest < 0 {
				rest = i
			}
		case n == 0 || fixed > maxElements/n:
			return nil, false
		default:
			fixed *= n
		}
	}
	if open == 0 || open > 1 && count == fixed {
		return shape, count == fixed
	}
	if open > 1 || count == 0 || count%fixed != 0 {
		return nil, false
	}
	shape[rest] = count / fixed
	return shape, true
}

// maxElements is more than any message can hold.
const maxElements = 1 << 32

// unfit says what was given and what the input takes.
func unfit(message []byte, input oip.TensorMetadata, given string) error {
	problem := fmt.Sprintf("%s, and input %q is %s %v", given, input.Name, input.Datatype, input.Shape)
	if input.Datatype != "BYTES" && !startsWith(message, '[') {
		problem += fmt.Sprintf(", %d bytes an element", sizes[input.Datatype])
	}
	return payloadError("%s", problem)
}

// encode writes the request; raw data stands behind the JSON.
func encode(t oip.Tensor, raw []byte) (edge.Payload, error) {
	if raw != nil {
		t.Parameters = oip.Parameters{"binary_data_size": strconv.AppendInt(nil, int64(len(raw)), 10)}
	}
	head, err := json.Marshal(oip.InferRequest{Inputs: []oip.Tensor{t}})
	if err != nil {
		return edge.Payload{}, fmt.Errorf("cannot encode message as a tensor: %w", err)
	}
	p := edge.Payload{Body: append(head, raw...)}
	if raw != nil {
		p.HeaderLength = len(head)
	}
	return p, nil
}

// Task is what a trigger makes of a request that arrived then, within so long where it names nothing
// shorter. The trigger says class and deadline; a request may ask for less, never for more. The task has
// no id yet.
func (r Request) Task(by edge.Trigger, within time.Duration, arrived time.Time) (edge.Task, error) {
	t := edge.Task{Model: by.Model, Class: by.Class, Tenant: by.Tenant, Arrived: arrived, Input: r.Payload}
	if parent, given := r.Parsed.Parameters.Text("traceparent"); given {
		state, _ := r.Parsed.Parameters.Text("tracestate")
		t.Trace, _ = edge.ParseTrace(parent, state)
	}
	class, given, err := r.Parsed.Parameters.Class()
	switch {
	case err != nil:
		return t, err
	case given && class < by.Class:
		return t, &oip.FieldError{Field: "parameters.priority", Problem: fmt.Sprintf("asks for %s, and the trigger gives %s", class, by.Class)}
	case given:
		t.Class = class
	}
	timeout, given, err := r.Parsed.Parameters.Timeout()
	switch {
	case err != nil:
		return t, err
	case given && timeout == 0:
		return t, &oip.FieldError{Field: "parameters.timeout", Problem: fmt.Sprintf("must be positive; leave it out for that of the trigger, %v", within)}
	case given && within > 0 && timeout > within:
		return t, &oip.FieldError{Field: "parameters.timeout", Problem: fmt.Sprintf("is %v, and the trigger gives %v", timeout, within)}
	case given:
		within = timeout
	}
	if within != 0 {
		t.Deadline = arrived.Add(within)
	}
	return t, nil
}
