package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"holdfast/build/sample/burn"
	"holdfast/build/sample/serve"
	"holdfast/edge/oip"
)

// burner is a model whose only work is to use CPU time and memory.
type burner struct {
	name string
	burn time.Duration
	eat  int // bytes for every request

	mu    sync.Mutex // guards eaten
	eaten [][]byte
}

var _ serve.Model = (*burner)(nil)

// Metadata declares no inputs, so that requests for any other model fit too.
func (b *burner) Metadata() oip.ModelMetadata {
	return oip.ModelMetadata{
		Name: b.name, Platform: "holdfast_faulty", Inputs: []oip.TensorMetadata{},
		Outputs: []oip.TensorMetadata{{Name: "cpu_ms", Datatype: "FP32", Shape: []int64{1}}},
	}
}

// Infer burns and eats, and answers with the CPU time it really used.
func (b *burner) Infer(ctx context.Context, req *oip.InferRequest) ([]oip.Tensor, error) {
	asked, err := milliseconds(req)
	if err != nil {
		return nil, err
	}
	b.devour()
	used, err := burn.CPU(ctx, b.burn+asked)
	if err != nil {
		return nil, err
	}
	ms := float32(used) / float32(time.Millisecond)
	return []oip.Tensor{oip.FP32Tensor("cpu_ms", []int64{1}, []float32{ms}, false)}, nil
}

// milliseconds reads the tensor ms; without one nothing is asked for.
func milliseconds(req *oip.InferRequest) (time.Duration, error) {
	for i := range req.Inputs {
		if req.Inputs[i].Name != "ms" {
			continue
		}
		field := fmt.Sprintf("inputs[%d].data", i)
		values, err := req.Inputs[i].Float32s()
		if err != nil {
			return 0, fmt.Errorf("inputs[%d].%w", i, err)
		}
		const most = 60_000 // a minute; a test that wants longer wants -hang
		if len(values) != 1 || !(values[0] >= 0 && values[0] <= most) {
			return 0, &oip.FieldError{Field: field, Problem: fmt.Sprintf("must be one number from 0 to %d", most)}
		}
		return time.Duration(float64(values[0]) * float64(time.Millisecond)), nil
	}
	return 0, nil
}

// devour takes memory, touches every page of it and never gives it back.
func (b *burner) devour() {
	if b.eat == 0 {
		return
	}
	bite := make([]byte, b.eat)
	for i := 0; i < len(bite); i += 4096 {
		bite[i] = 1
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.eaten = append(b.eaten, bite)
}
