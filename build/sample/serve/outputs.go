package serve

import (
	"encoding/json"
	"fmt"
	"math"

	"holdfast/edge/oip"
)

// Wanted says which outputs a request asks for and how.
type Wanted struct {
	all    bool            // no list was given
	binary map[string]bool // those listed, and whether as raw bytes
	raw    bool            // the default of the whole request
}

// WantedBy reads a request's outputs and the binary extension's parameters.
func WantedBy(req *oip.InferRequest) Wanted {
	raw, _ := req.Parameters.Bool("binary_data_output")
	w := Wanted{all: len(req.Outputs) == 0, raw: raw, binary: map[string]bool{}}
	for _, out := range req.Outputs {
		w.binary[out.Name] = raw
		if own, given := out.Parameters.Bool("binary_data"); given {
			w.binary[out.Name] = own
		}
	}
	return w
}

// Output reports whether an output is wanted, and whether as raw bytes.
func (w Wanted) Output(name string) (wanted, raw bool) {
	if w.all {
		return true, w.raw
	}
	raw, wanted = w.binary[name]
	return wanted, raw
}

// Int64Tensor makes a tensor of 64-bit integers. The protocol package lays out raw
// bytes for 32-bit floats, so a raw integer goes through it as its two halves,
// the low one first, whose bits it keeps.
func Int64Tensor(name string, shape, values []int64, raw bool) oip.Tensor {
	if !raw {
		data, err := json.Marshal(values)
		if err != nil {
			panic(fmt.Sprintf("integers must encode: %v", err))
		}
		return oip.Tensor{Name: name, Shape: shape, Datatype: "INT64", Data: data}
	}
	halves := make([]float32, 0, 2*len(values))
	for _, v := range values {
		halves = append(halves, math.Float32frombits(uint32(v)), math.Float32frombits(uint32(v>>32)))
	}
	tensor := oip.FP32Tensor(name, shape, halves, true)
	tensor.Datatype = "INT64"
	return tensor
}
