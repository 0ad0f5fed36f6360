package oip_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// FuzzParseRequest holds that nothing panics, that what is accepted is JSON
// which encoding/json reads to the same tensors, and that what it finds broken
// is refused.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(ask(`"shape":[1,4],"data":[[1,2],[3,4]]`)), 0)
	f.Add([]byte(ask(`"shape":[1],"parameters":{"binary_data_size":4}`)+"abcd"), 88)
	f.Add([]byte(`{"id":"\ud83d\ude00","parameters":{"timeout":1e3,"priority":1},"inputs":[]}`), 0)
	f.Add([]byte(`{"inputs":[{"name":"a","shape":[1],"datatype":"BYTES","data":["\\\"]"]}]}`), 0)
	f.Fuzz(func(t *testing.T, body []byte, headerLength int) {
		req, err := oip.ParseRequest(body, headerLength)
		if err != nil {
			return
		}
		_ = req.Check(digits)
		_ = req.Check(oip.ModelMetadata{})
		head := body
		if headerLength > 0 {
			head = body[:headerLength]
		}
		// As maps, since encoding/json matches the keys of a struct in any case.
		var want map[string]json.RawMessage
		var tensors []map[string]json.RawMessage
		if err := json.Unmarshal(head, &want); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		if err := json.Unmarshal(want["inputs"], &tensors); err != nil {
			t.Fatalf("read inputs where encoding/json finds none: %v", err)
		}
		sameTensors(t, req.Inputs, tensors)
		for i := range req.Inputs {
			_, _ = req.Inputs[i].Float32s()
		}
		_, _, _ = req.Parameters.Timeout()
		_, _, _ = req.Parameters.Class()
	})
}

// FuzzAnnotate holds that what Annotate accepts keeps its outputs and its raw
// data, and gains the parameters.
func FuzzAnnotate(f *testing.F) {
	f.Add([]byte(`{"model_name":"m","outputs":[{"name":"a","shape":[1],"datatype":"FP32","data":[1]}]}`), 0)
	f.Add([]byte(`{"parameters":{"x":1},"outputs":[{"name":"a","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}abcd`), 112)
	f.Fuzz(func(t *testing.T, body []byte, headerLength int) {
		in := edge.Payload{Body: body, HeaderLength: headerLength}
		var notes oip.Notes
		notes.Int("queue_us", 5)
		out, err := oip.Annotate(in, notes)
		before, errBefore := oip.ParseResponse(in)
		if err != nil {
			if errBefore == nil {
				t.Fatalf("refused a sound answer: %v", err)
			}
			return
		}
		if errBefore != nil {
			return // valid JSON, but no sound answer
		}
		after, err := oip.ParseResponse(out)
		if err != nil {
			t.Fatalf("broke an answer: %v\n%s", err, out.Body)
		}
		if !reflect.DeepEqual(after.Outputs, before.Outputs) {
			t.Errorf("outputs changed: %+v, %+v", after.Outputs, before.Outputs)
		}
		if n, ok := after.Parameters.Int("queue_us"); !ok || n != 5 {
			t.Errorf("parameters: got %s", after.Parameters)
		}
	})
}

func sameTensors(t *testing.T, got []oip.Tensor, want []map[string]json.RawMessage) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d tensors, want %d", len(got), len(want))
	}
	for i := range got {
		var name, datatype string
		var shape []int64
		_ = json.Unmarshal(want[i]["name"], &name)
		_ = json.Unmarshal(want[i]["datatype"], &datatype)
		_ = json.Unmarshal(want[i]["shape"], &shape)
		if got[i].Name != name || got[i].Datatype != datatype ||
			!slices.Equal(got[i].Shape, shape) || string(got[i].Data) != string(want[i]["data"]) {
			t.Errorf("tensor %d: got %+v, want %s", i, got[i], want[i])
		}
	}
}

func BenchmarkParseRequest(b *testing.B) {
	for name, n := range map[string]int{"64Floats": 64, "16384Floats": 16384} {
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i%256) / 255
		}
		p, err := oip.InferRequest{Inputs: []oip.Tensor{oip.FP32Tensor("image", []int64{1, int64(n)}, values, false)}}.Payload()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(p.Body)))
			b.ReportAllocs()
			for b.Loop() {
				req, err := oip.ParseRequest(p.Body, 0)
				if err != nil || req.Check(oip.ModelMetadata{}) != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/encoding-json", func(b *testing.B) {
			b.SetBytes(int64(len(p.Body)))
			b.ReportAllocs()
			for b.Loop() {
				var req oip.InferRequest
				if err := json.Unmarshal(p.Body, &req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAnnotate(b *testing.B) {
	p, err := oip.InferResponse{ModelName: "digits", Outputs: []oip.Tensor{oip.FP32Tensor("scores", []int64{1, 10}, make([]float32, 10), false)}}.Payload()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var notes oip.Notes
		notes.Text("task", "abc-1")
		notes.Text("class", "normal")
		notes.Int("queue_us", 12)
		notes.Int("compute_us", 30)
		notes.Int("slack_us", 99)
		notes.Bool("deadline_met", true)
		notes.Text("route", "local")
		if _, err := oip.Annotate(p, notes); err != nil {
			b.Fatal(err)
		}
	}
}
