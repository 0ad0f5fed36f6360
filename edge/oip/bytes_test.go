package oip_test

import (
	"bytes"
	"slices"
	"testing"

	"holdfast/edge/oip"
)

func TestBytesTensor(t *testing.T) {
	values := [][]byte{[]byte("a\"<b>"), {}, []byte("ü\x00")}
	for _, raw := range []bool{false, true} {
		made, ok := oip.BytesTensor("in", []int64{3}, values, raw)
		if !ok {
			t.Fatalf("raw %v: was not made", raw)
		}
		payload, err := oip.InferRequest{Inputs: []oip.Tensor{made}}.Payload()
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := oip.ParseRequest(payload.Body, payload.HeaderLength)
		if err != nil {
			t.Fatal(err)
		}
		meta := oip.ModelMetadata{Inputs: []oip.TensorMetadata{{Name: "in", Datatype: "BYTES", Shape: []int64{-1}}}}
		if err := parsed.Check(meta); err != nil {
			t.Errorf("raw %v: %v", raw, err)
		}
		got, err := parsed.Inputs[0].Strings()
		if err != nil || !slices.EqualFunc(got, values, bytes.Equal) {
			t.Errorf("raw %v: got %q, %v, want %q", raw, got, err, values)
		}
	}
	t.Run("NotUTF8", func(t *testing.T) {
		odd := [][]byte{{0xff, 0xfe}}
		if _, ok := oip.BytesTensor("in", []int64{1}, odd, false); ok {
			t.Error("JSON was to hold what is not UTF-8")
		}
		made, ok := oip.BytesTensor("in", []int64{1}, odd, true)
		if got, err := made.Strings(); !ok || err != nil || !slices.EqualFunc(got, odd, bytes.Equal) {
			t.Errorf("got %q, %v, want %q", got, err, odd)
		}
	})
}

func TestTensor_Strings(t *testing.T) {
	for name, c := range map[string]struct {
		tensor oip.Tensor
		want   []string // nil: an error
	}{
		"Nested":  {oip.Tensor{Datatype: "BYTES", Data: []byte(`[["a"],["b"]]`)}, []string{"a", "b"}},
		"Scalar":  {oip.Tensor{Datatype: "BYTES", Data: []byte(`"a"`)}, []string{"a"}},
		"Number":  {oip.Tensor{Datatype: "BYTES", Data: []byte(`["a",1]`)}, nil},
		"NoJSON":  {oip.Tensor{Datatype: "BYTES", Data: []byte(`["a"`)}, nil},
		"NoBytes": {oip.Tensor{Datatype: "FP32", Data: []byte(`[1]`)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			values, err := c.tensor.Strings()
			var got []string
			for _, v := range values {
				got = append(got, string(v))
			}
			if (err == nil) != (c.want != nil) || !slices.Equal(got, c.want) {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}
