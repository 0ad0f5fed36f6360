package main

import (
	"context"
	"fmt"
	"net/http"

	"holdfast/build/sample/digits"
	"holdfast/build/sample/serve"
	"holdfast/edge/oip"
)

// version is that of the weights; it changes when they are trained anew.
const version = "1"

// maxBatch bounds the pictures of one request: 64 take some 25 ms of one desktop core.
const maxBatch = 64

// maxBody holds a full batch as generously written JSON: 4,096 numbers of up to
// 32 characters, and headers.
const maxBody = 256 << 10

// newHandler opens both models and serves them.
func newHandler() (http.Handler, error) {
	opts := serve.Options{Name: "holdfast-digits", Version: version, MaxBody: maxBody}
	for _, name := range []string{"digits", "digits-lite"} {
		model, err := digits.Open(name)
		if err != nil {
			return nil, err
		}
		opts.Models = append(opts.Models, &recogniser{name: name, model: model})
	}
	return serve.NewHandler(opts), nil
}

// recogniser serves one digits model.
type recogniser struct {
	name  string
	model digits.Model
}

var _ serve.Model = (*recogniser)(nil)

// Metadata says what goes in and what comes out.
func (r *recogniser) Metadata() oip.ModelMetadata {
	return oip.ModelMetadata{
		Name:     r.name,
		Platform: "holdfast_digits",
		Inputs:   []oip.TensorMetadata{{Name: "pixels", Datatype: "FP32", Shape: []int64{-1, digits.Pixels}}},
		Outputs: []oip.TensorMetadata{
			{Name: "label", Datatype: "INT64", Shape: []int64{-1}},
			{Name: "scores", Datatype: "FP32", Shape: []int64{-1, digits.Classes}},
		},
	}
}

// Infer recognises a batch, and stops between two pictures when ctx has ended.
func (r *recogniser) Infer(ctx context.Context, req *oip.InferRequest) ([]oip.Tensor, error) {
	pixels, err := batch(&req.Inputs[0])
	if err != nil {
		return nil, err
	}
	count := len(pixels) / digits.Pixels
	labels, scores := make([]int64, count), make([]float32, count*digits.Classes)
	for i := range labels {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("stopped after %d of %d pictures: %w", i, count, err)
		}
		labels[i] = int64(digits.Classify(r.model,
			scores[i*digits.Classes:(i+1)*digits.Classes], pixels[i*digits.Pixels:(i+1)*digits.Pixels]))
	}
	return outputs(req, labels, scores), nil
}

// batch reads the pictures and holds them to what the metadata cannot say.
func batch(input *oip.Tensor) ([]float32, error) {
	if input.Shape[0] > maxBatch {
		return nil, &oip.FieldError{Field: "inputs[0].shape[0]", Problem: fmt.Sprintf("is %d, at most %d pictures go into one request", input.Shape[0], maxBatch)}
	}
	pixels, err := input.Float32s()
	if err != nil {
		return nil, fmt.Errorf("inputs[0].%w", err) // the tensor knows its data, not its place in the request
	}
	for i, v := range pixels {
		if !(v >= 0 && v <= digits.MaxInk) { // false for NaN
			return nil, &oip.FieldError{Field: "inputs[0].data", Problem: fmt.Sprintf("element %d is %v, pixels go from 0 to %d", i, v, digits.MaxInk)}
		}
	}
	return pixels, nil
}

// outputs makes the tensors the request asked for.
func outputs(req *oip.InferRequest, labels []int64, scores []float32) []oip.Tensor {
	wanted, count := serve.WantedBy(req), int64(len(labels))
	tensors := make([]oip.Tensor, 0, 2)
	if yes, raw := wanted.Output("label"); yes {
		tensors = append(tensors, serve.Int64Tensor("label", []int64{count}, labels, raw))
	}
	if yes, raw := wanted.Output("scores"); yes {
		tensors = append(tensors, oip.FP32Tensor("scores", []int64{count, digits.Classes}, scores, raw))
	}
	return tensors
}
