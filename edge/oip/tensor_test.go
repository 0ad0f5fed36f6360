package oip_test

import (
	"fmt"
	"math"
	"testing"

	"holdfast/edge"
	"holdfast/edge/oip"
)

func TestFP32Tensor(t *testing.T) {
	values := []float32{0, -1.5, 1e-9, 3.4e38}
	for _, raw := range []bool{false, true} {
		t.Run(fmt.Sprintf("Raw=%v", raw), func(t *testing.T) {
			p, err := oip.InferRequest{ID: "7", Inputs: []oip.Tensor{oip.FP32Tensor("image", []int64{1, 4}, values, raw)}}.Payload()
			if err != nil {
				t.Fatal(err)
			}
			req, err := oip.ParseRequest(p.Body, p.HeaderLength)
			if err != nil {
				t.Fatal(err)
			}
			if err := req.Check(digits); err != nil {
				t.Error(err)
			}
			got, err := req.Inputs[0].Float32s()
			if err != nil || fmt.Sprint(got) != fmt.Sprint(values) {
				t.Errorf("got %v, %v", got, err)
			}
			if _, isRaw := req.Inputs[0].Binary(); isRaw != raw {
				t.Errorf("raw: got %v", isRaw)
			}
		})
	}
	t.Run("NoJSONForNaN", func(t *testing.T) {
		_, err := oip.InferResponse{Outputs: []oip.Tensor{oip.FP32Tensor("x", []int64{1}, []float32{float32(math.NaN())}, false)}}.Payload()
		if err == nil {
			t.Error("got no error")
		}
	})
}

func TestParseResponse(t *testing.T) {
	answer := oip.InferResponse{
		ModelName: "digits", ModelVersion: "1", ID: "7",
		Outputs: []oip.Tensor{
			oip.FP32Tensor("scores", []int64{2}, []float32{1, 2}, true),
			oip.FP32Tensor("none", []int64{0, 4}, nil, false),
			oip.FP32Tensor("more", []int64{1}, []float32{3}, true),
		},
	}
	p, err := answer.Payload()
	if err != nil {
		t.Fatal(err)
	}
	got, err := oip.ParseResponse(p)
	if err != nil {
		t.Fatal(err)
	}
	more, err := got.Outputs[2].Float32s()
	if got.ModelName != "digits" || got.ID != "7" || len(got.Outputs) != 3 || err != nil || more[0] != 3 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestInferResponse_Check(t *testing.T) {
	cases := map[string]struct{ output, field, problem string }{
		"Right":     {`"datatype":"INT64","shape":[2],"data":[1,2]`, "-", ""},
		"Scalar":    {`"datatype":"FP32","shape":[],"data":[1]`, "-", ""},
		"Nothing":   {`"datatype":"FP32","shape":[0,4],"data":[]`, "-", ""},
		"TooFew":    {`"datatype":"INT64","shape":[3],"data":[1]`, "outputs[0].data", "has 1 elements, but shape [3] needs 3"},
		"TooMany":   {`"datatype":"FP32","shape":[0,4],"data":[1]`, "outputs[0].data", "needs 0"},
		"OtherKind": {`"datatype":"INT64","shape":[1],"data":["1"]`, "outputs[0].data", "nothing but numbers"},
		"Huge":      {`"datatype":"FP32","shape":[0,9223372036854775807,9223372036854775807],"data":[]`, "-", ""},
		"TooHuge":   {`"datatype":"FP32","shape":[9223372036854775807,2],"data":[1]`, "outputs[0].shape", "larger than can be counted"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := oip.ParseResponse(edge.Payload{Body: []byte(`{"outputs":[{"name":"y",` + c.output + `}]}`)})
			if err != nil {
				t.Fatal(err)
			}
			wantField(t, got.Check(), c.field, c.problem)
		})
	}
}

func TestTensor_Float32s(t *testing.T) {
	cases := map[string]struct {
		raw  []byte
		want string
	}{
		"UINT8": {[]byte{255}, "[255]"}, "INT8": {[]byte{255}, "[-1]"},
		"UINT16": {[]byte{1, 1}, "[257]"}, "INT16": {[]byte{254, 255}, "[-2]"},
		"UINT32": {[]byte{1, 0, 0, 0}, "[1]"}, "INT32": {[]byte{255, 255, 255, 255}, "[-1]"},
		"UINT64": {[]byte{2, 0, 0, 0, 0, 0, 0, 0}, "[2]"}, "INT64": {[]byte{255, 255, 255, 255, 255, 255, 255, 255}, "[-1]"},
		"BF16": {[]byte{0x80, 0x3f}, "[1]"}, "FP32": {[]byte{0, 0, 0x80, 0x3f}, "[1]"},
		"FP64": {[]byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}, "[1]"},
		"FP16": {[]byte{0, 0}, ""}, "BYTES": {[]byte{0, 0, 0, 0}, ""},
	}
	for datatype, c := range cases {
		t.Run(datatype, func(t *testing.T) {
			head := fmt.Sprintf(`{"inputs":[{"name":"a","datatype":%q,"shape":[1],"parameters":{"binary_data_size":%d}}]}`, datatype, len(c.raw))
			req, err := oip.ParseRequest(append([]byte(head), c.raw...), len(head))
			if err != nil {
				t.Fatal(err)
			}
			got, err := req.Inputs[0].Float32s()
			if c.want == "" && err == nil || c.want != "" && fmt.Sprint(got) != c.want {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
	t.Run("JSONStrings", func(t *testing.T) {
		req, err := oip.ParseRequest([]byte(ask(`"shape":[1],"data":["12"]`)), 0)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := req.Inputs[0].Float32s(); err == nil {
			t.Errorf("got %v", got)
		}
	})
}
