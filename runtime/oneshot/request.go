package oneshot

import (
	"errors"
	"fmt"
	"strings"

	"holdfast/edge"
	"holdfast/edge/oip"
)

const (
	// maxOutput bounds what a tool may write: as much as a model server may answer.
	maxOutput = 16 << 20
	// inputName and outputName are the two tensors of every tool.
	inputName, outputName = "input", "output"
	// platform is what a model of a tool says that it is.
	platform = "holdfast_oneshot"
)

// metadata is what every tool takes and gives: one string of bytes for another.
func metadata(model string) oip.ModelMetadata {
	return oip.ModelMetadata{
		Name: model, Platform: platform,
		Inputs:  []oip.TensorMetadata{{Name: inputName, Datatype: "BYTES", Shape: []int64{1}}},
		Outputs: []oip.TensorMetadata{{Name: outputName, Datatype: "BYTES", Shape: []int64{1}}},
	}
}

// question is a task as a tool understands it.
type question struct {
	model, id string
	input     []byte
	raw       bool // its output is asked for as raw bytes
}

// read takes the input out of a task. Errors are *oip.FieldError.
func read(t edge.Task) (question, error) {
	if t.Input.HeaderLength < 0 || t.Input.HeaderLength > len(t.Input.Body) {
		return question{}, fmt.Errorf("header length %d in a body of %d bytes: %w", t.Input.HeaderLength, len(t.Input.Body), edge.ErrInvalid)
	}
	request, err := oip.ParseRequest(t.Input.Body, t.Input.HeaderLength)
	if err != nil {
		return question{}, err
	}
	if err := request.Check(metadata(t.Model)); err != nil {
		return question{}, err
	}
	values, err := request.Inputs[0].Strings()
	if err != nil {
		return question{}, err
	}
	q := question{model: t.Model, id: request.ID, input: values[0]} // one: its shape was checked
	q.raw, _ = request.Parameters.Bool("binary_data_output")
	for _, output := range request.Outputs {
		if own, given := output.Parameters.Bool("binary_data"); given {
			q.raw = own
		}
	}
	return q, nil
}

// answer makes an answer of what a tool wrote, or says why it is none.
func (q question) answer(r Result) (edge.Payload, error) {
	switch {
	case r.Excess:
		return edge.Payload{}, fmt.Errorf("model %q wrote more than %d bytes: %w", q.model, maxOutput, edge.ErrModel)
	case r.Exit.Code != 0 || r.Exit.Signal != "" || r.Exit.OOM:
		return edge.Payload{}, fmt.Errorf("model %q %v%s: %w", q.model, r.Exit, said(r.Complaint), edge.ErrModel)
	case r.Missing != nil:
		return edge.Payload{}, fmt.Errorf("model %q left no output (%w)%s: %w", q.model, r.Missing, said(r.Complaint), edge.ErrModel)
	}
	output, ok := oip.BytesTensor(outputName, []int64{1}, [][]byte{r.Output}, q.raw)
	if !ok {
		return edge.Payload{}, edge.WithHint(fmt.Errorf("model %q wrote what is not UTF-8, which no JSON holds: %w", q.model, edge.ErrModel),
			"ask for raw bytes with the request's parameter binary_data_output")
	}
	return oip.InferResponse{
		ModelName: q.model, ID: q.id, Parameters: oip.Parameters{"exit_code": []byte("0")}, Outputs: []oip.Tensor{output},
	}.Payload()
}

const (
	// saidLines and saidBytes bound how much of a tool's last words an error repeats.
	saidLines, saidBytes = 3, 400
)

// said is what a tool said last, ready to be appended: ": no such sample".
func said(complaint string) string {
	lines := strings.Split(strings.TrimSpace(complaint), "\n")
	lines = lines[max(0, len(lines)-saidLines):]
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.Join(lines, " | "))
	if len(text) > saidBytes {
		text = "…" + strings.ToValidUTF8(text[len(text)-saidBytes:], "")
	}
	if text == "" {
		return ""
	}
	return ": " + text
}

// Why a task ended before its tool did.
var (
	errLate    = fmt.Errorf("it was still at work: %w", edge.ErrDeadline)
	errTimeout = errors.New("it ran longer than it may")
	errEnding  = fmt.Errorf("the agent ends: %w", edge.ErrUnavailable)
)
