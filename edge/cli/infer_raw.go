package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// rawRequest makes the request of bytes that are a model's one input, and asks for its
// output as bytes.
func rawRequest(input []byte, meta oip.ModelMetadata) (edge.Payload, error) {
	if len(meta.Inputs) != 1 || meta.Inputs[0].Datatype != "BYTES" {
		return edge.Payload{}, usagef("--raw is for models of one input of BYTES, and %s takes %s", meta.Name, inputWords(meta.Inputs))
	}
	shape := slices.Repeat([]int64{1}, len(meta.Inputs[0].Shape))
	tensor, _ := oip.BytesTensor(meta.Inputs[0].Name, shape, [][]byte{input}, true)
	return oip.InferRequest{
		Parameters: oip.Parameters{"binary_data_output": []byte("true")}, Inputs: []oip.Tensor{tensor},
	}.Payload()
}

func inputWords(inputs []oip.TensorMetadata) string {
	if len(inputs) == 0 {
		return "no input that it tells of"
	}
	var words []string
	for _, in := range inputs {
		words = append(words, fmt.Sprintf("%s %s %v", in.Name, in.Datatype, in.Shape))
	}
	return fmt.Sprint(words)
}

// rawPayload asks the model what it takes and makes a request of the bytes.
func (d *door) rawPayload(ctx context.Context, model string, input []byte) (edge.Payload, error) {
	meta, err := d.client().Model(ctx, model)
	if err != nil {
		return edge.Payload{}, err
	}
	return rawRequest(input, meta)
}

// showRaw writes the first output as it is.
func (d *door) showRaw(p edge.Payload) error {
	response, err := oip.ParseResponse(p)
	if err != nil {
		return err
	}
	if len(response.Outputs) == 0 {
		return fmt.Errorf("the answer has no output: %w", edge.ErrModel)
	}
	values, err := response.Outputs[0].Strings()
	if err != nil {
		return err
	}
	_, err = d.Stdout.Write(bytes.Join(values, nil))
	return err
}
