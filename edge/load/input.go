package load

import (
	"fmt"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// input makes the requests for one kind of task.
type input struct {
	exact bool         // a request says itself how much CPU time it takes
	same  edge.Payload // of all requests, where not
}

// newInput makes inputs that fit what the model says of itself.
func newInput(k Kind, meta oip.ModelMetadata) (input, error) {
	burns := len(meta.Inputs) == 1 && meta.Inputs[0].Name == "ms" && meta.Inputs[0].Datatype == "FP32"
	switch {
	case burns && k.Work > 0:
		return input{exact: true}, nil
	case burns:
		return input{}, fmt.Errorf("cannot ask model %q: it burns what it is asked to, and the kind of task names no work: %w", k.Model, edge.ErrInvalid)
	case k.Work > 0:
		return input{}, fmt.Errorf("cannot ask model %q for %v: it takes no tensor ms that says how much: %w", k.Model, k.Work, edge.ErrInvalid)
	}
	request := oip.InferRequest{Inputs: []oip.Tensor{}}
	for _, t := range meta.Inputs {
		tensor, err := zeros(k, t)
		if err != nil {
			return input{}, err
		}
		request.Inputs = append(request.Inputs, tensor)
	}
	payload, err := request.Payload()
	return input{same: payload}, err
}

// maxElements bounds a tensor: 16 MiB of it, the largest body a node takes by default.
const maxElements = 4 << 20

// zeros is a tensor of zeros, raw; a dimension of any length gets the kind's rows.
func zeros(k Kind, t oip.TensorMetadata) (oip.Tensor, error) {
	if t.Datatype != "FP32" {
		return oip.Tensor{}, fmt.Errorf("cannot ask model %q: its input %q is %s, and only FP32 is made: %w", k.Model, t.Name, t.Datatype, edge.ErrInvalid)
	}
	shape, elements := make([]int64, len(t.Shape)), int64(1)
	for i, n := range t.Shape {
		if n < 0 {
			n = int64(k.Rows)
		}
		if shape[i] = n; n > maxElements || elements*n > maxElements {
			return oip.Tensor{}, fmt.Errorf("cannot ask model %q: its input %q has more than %d elements: %w", k.Model, t.Name, maxElements, edge.ErrInvalid)
		}
		elements *= n
	}
	return oip.FP32Tensor(t.Name, shape, make([]float32, elements), true), nil
}

// payload of a task that takes so much work.
func (in input) payload(work time.Duration) (edge.Payload, error) {
	if !in.exact {
		return in.same, nil
	}
	ms := float32(float64(work) / float64(time.Millisecond))
	return oip.InferRequest{Inputs: []oip.Tensor{oip.FP32Tensor("ms", []int64{1}, []float32{ms}, true)}}.Payload()
}
