package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"holdfast/build/sample/burn"
	"holdfast/build/sample/serve"
	"holdfast/edge/oip"
)

// most is what one request may burn: above any model worth scheduling on one core.
const most = time.Minute

// maxBody is far more than one number takes.
const maxBody = 4 << 10

func newHandler(models []serve.Model) http.Handler {
	return serve.NewHandler(serve.Options{Name: "holdfast-burner", Version: "1", MaxBody: maxBody, Models: models})
}

// model burns what its requests ask for, or always the same.
type model struct {
	name  string
	fixed bool
	burns time.Duration // of every request, where fixed
}

var _ serve.Model = (*model)(nil)

// Metadata of a fixed model declares no inputs, so that any request fits.
func (m *model) Metadata() oip.ModelMetadata {
	one := func(name string) []oip.TensorMetadata {
		return []oip.TensorMetadata{{Name: name, Datatype: "FP32", Shape: []int64{1}}}
	}
	meta := oip.ModelMetadata{Name: m.name, Platform: "holdfast_burner", Inputs: []oip.TensorMetadata{}, Outputs: one("cpu_ms")}
	if !m.fixed {
		meta.Inputs = one("ms")
	}
	return meta
}

// Infer burns, and answers with the CPU time it really used.
func (m *model) Infer(ctx context.Context, req *oip.InferRequest) ([]oip.Tensor, error) {
	amount := m.burns
	if !m.fixed {
		var err error
		if amount, err = asked(&req.Inputs[0]); err != nil {
			return nil, err
		}
	}
	used, err := burn.CPU(ctx, amount)
	if err != nil {
		return nil, err
	}
	ms := float32(used) / float32(time.Millisecond)
	_, raw := serve.WantedBy(req).Output("cpu_ms")
	return []oip.Tensor{oip.FP32Tensor("cpu_ms", []int64{1}, []float32{ms}, raw)}, nil
}

// asked reads the tensor ms.
func asked(ms *oip.Tensor) (time.Duration, error) {
	values, err := ms.Float32s()
	if err != nil {
		return 0, fmt.Errorf("inputs[0].%w", err) // the tensor knows its data, not its place in the request
	}
	limit := float32(most / time.Millisecond)
	if len(values) != 1 || !(values[0] >= 0 && values[0] <= limit) { // false for NaN
		return 0, &oip.FieldError{Field: "inputs[0].data", Problem: fmt.Sprintf("must be one number from 0 to %.0f", limit)}
	}
	return time.Duration(float64(values[0]) * float64(time.Millisecond)), nil
}
