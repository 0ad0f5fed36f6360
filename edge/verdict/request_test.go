package verdict_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/oip"
	"holdfast/edge/verdict"
)

// models is a Models made of declarations.
type models map[string]oip.ModelMetadata

func (m models) Model(name string) (oip.ModelMetadata, bool, bool) {
	meta, known := m[name]
	return meta, known && meta.Name != "", known
}

// input declares a model with one input.
func input(name, datatype string, shape ...int64) oip.ModelMetadata {
	return oip.ModelMetadata{Name: name, Inputs: []oip.TensorMetadata{{Name: "in", Datatype: datatype, Shape: shape}}}
}

func catalogue() models {
	return models{
		"vector":  input("vector", "FP32", -1, 4),
		"free":    input("free", "FP32", -1),
		"image":   input("image", "UINT8", 1, 2, 3),
		"flags":   input("flags", "BOOL", 2),
		"file":    input("file", "BYTES", -1),
		"files":   input("files", "BYTES", 2),
		"open":    input("open", "FP64", -1, -1, 3),
		"two":     {Name: "two", Inputs: []oip.TensorMetadata{{Name: "a", Datatype: "FP32", Shape: []int64{1}}, {Name: "b", Datatype: "FP32", Shape: []int64{1}}}},
		"silent":  {Name: "silent"},
		"unready": {},
	}
}

func floats(values ...float32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func TestRead(t *testing.T) {
	const request = `{"id":"7","inputs":[{"name":"in","shape":[1,4],"datatype":"FP32","data":[1,2,3,4]}]}`
	for _, c := range []struct {
		name, model string
		message     []byte
		shape       []int64 // what is asked
		raw         []byte  // of it; nil: as JSON
	}{
		{"RequestAsItIs", "vector", []byte(request), []int64{1, 4}, nil},
		{"Array", "vector", []byte("[1, 2, 3, 4]"), []int64{1, 4}, nil},
		{"ArrayOfTwo", "vector", []byte(" [[1,2,3,4],[5,6,7,8]]\n"), []int64{2, 4}, nil},
		{"ArrayForOpenShape", "free", []byte("[1,2,3]"), []int64{3}, nil},
		{"ArrayOfBools", "flags", []byte("[true,false]"), []int64{2}, nil},
		{"RawFloats", "vector", floats(1, 2, 3, 4), []int64{1, 4}, floats(1, 2, 3, 4)},
		{"RawFloatsOfTwo", "vector", floats(1, 2, 3, 4, 5, 6, 7, 8), []int64{2, 4}, floats(1, 2, 3, 4, 5, 6, 7, 8)},
		{"RawImage", "image", []byte{0, 255, 2, 3, 4, 5}, []int64{1, 2, 3}, []byte{0, 255, 2, 3, 4, 5}},
		{"RawImageLikeArray", "image", []byte{'[', 255, 2, 3, 4, 5}, []int64{1, 2, 3}, []byte{'[', 255, 2, 3, 4, 5}},
		{"RawImageLikeObject", "image", []byte{'{', 0, 2, 3, 4, 5}, []int64{1, 2, 3}, []byte{'{', 0, 2, 3, 4, 5}},
		{"Bytes", "file", []byte("P5 8 8 255\n\x00\xff"), []int64{1}, append([]byte{13, 0, 0, 0}, "P5 8 8 255\n\x00\xff"...)},
		{"BytesLikeJSON", "file", []byte(`{"temperature":21.5}`), []int64{1}, append([]byte{20, 0, 0, 0}, `{"temperature":21.5}`...)},
		{"BytesLikeArray", "file", []byte(`[1,2]`), []int64{1}, append([]byte{5, 0, 0, 0}, `[1,2]`...)},
		{"OneOfOpenShape", "open", []byte("[1,2,3]"), []int64{1, 1, 3}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			read, err := verdict.Read(c.message, c.model, catalogue())
			if err != nil {
				t.Fatal(err)
			}
			got := read.Payload
			r, err := oip.ParseRequest(got.Body, got.HeaderLength)
			if err != nil {
				t.Fatalf("what was made cannot be read: %v\n%s", err, got.Body)
			}
			in := r.Inputs[0]
			raw, isRaw := in.Binary()
			if !equal(in.Shape, c.shape) || isRaw != (c.raw != nil) || !bytes.Equal(raw, c.raw) {
				t.Errorf("input has shape %v and raw data %q, want %v and %q", in.Shape, raw, c.shape, c.raw)
			}
		})
	}
}

func equal(a, b []int64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestRead_Refused: nothing is guessed at. What could be two things is neither.
func TestRead_Refused(t *testing.T) {
	for _, c := range []struct {
		name, model, message string
		field, says          string
		reason               edge.Reason
	}{
		{"Empty", "vector", "", "payload", "is empty", ""},
		{"TooFewNumbers", "vector", "[1,2,3]", "payload", "has 3 elements", ""},
		{"NoWholeRows", "vector", string(floats(1, 2, 3)), "payload", "has 12 bytes", ""},
		{"OddBytes", "vector", "\x00\x01\x02", "payload", "4 bytes an element", ""},
		{"BareNumber", "free", "23.5", "payload", "write numbers as a JSON array", ""}, // four bytes, as one float has
		{"Figures", "free", "1,2,3,45", "payload", "write numbers as a JSON array", ""},
		{"Object", "free", `{"temp": 55}`, "payload", "write numbers as a JSON array", ""},
		{"ArrayOfStrings", "free", `["a"]`, "payload", "is no JSON array of numbers", ""},
		{"ArrayOfObjects", "free", `[{}]`, "payload", "is no JSON array of numbers", ""},
		{"ArrayBrokenOff", "image", `[1,2,3`, "payload", "is no JSON array of numbers", ""}, // six bytes, as the image has
		{"ArrayAndMore", "free", `[1] 2`, "payload", "is no JSON array of numbers", ""},
		{"ArrayTooDeep", "free", strings.Repeat("[", 40) + "1" + strings.Repeat("]", 40), "inputs[0].data", "nested deeper", ""},
		{"BoolsForNumbers", "free", "[true]", "inputs[0].data", "must hold nothing but numbers", ""},
		{"SeveralOpen", "open", "[1,2,3,4,5,6]", "payload", "has 6 elements", ""},
		{"TwoStrings", "files", "x", "payload", "is one value", ""},
		{"TwoInputs", "two", "[1]", "payload", "declares 2 inputs", ""},
		{"NoInputs", "silent", "[1]", "payload", "declares 0 inputs", ""},
		{"RequestBrokenOff", "vector", `{"inputs":[{"name"`, "inputs[0]", "not JSON", ""},
		{"RequestForOther", "vector", `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`, "inputs[0].name", "no input of model", ""},
		{"RequestWrongShape", "vector", `{"inputs":[{"name":"in","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`, "inputs[0].shape[1]", "is 3", ""},
		{"RequestForRawAnswer", "free", `{"parameters":{"binary_data_output":true},"inputs":[{"name":"in","shape":[1],"datatype":"FP32","data":[1]}]}`, "parameters.binary_data_output", "one JSON object", ""},
		{"RequestForRawOutput", "free", `{"inputs":[{"name":"in","shape":[1],"datatype":"FP32","data":[1]}],"outputs":[{"name":"o","parameters":{"binary_data":true}}]}`, "outputs[0].parameters.binary_data", "one JSON object", ""},
		{"LongID", "free", `{"id":"` + strings.Repeat("x", 300) + `","inputs":[{"name":"in","shape":[1],"datatype":"FP32","data":[1]}]}`, "id", "has 300 bytes", ""},
		{"UnknownModel", "nobody", "[1]", "", "no workload", edge.ReasonUnknownModel},
		{"UnreadyModel", "unready", "[1]", "", "has said yet", edge.ReasonModelNotReady},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := verdict.Read([]byte(c.message), c.model, catalogue())
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error is %v, want one that says %q", err, c.says)
			}
			if refusal, ok := edge.AsRefusal(err); c.reason != "" {
				if !ok || refusal.Reason != c.reason {
					t.Errorf("error is %v, want a refusal for %s", err, c.reason)
				}
				return
			}
			var field *oip.FieldError
			if !errors.As(err, &field) || field.Field != c.field || edge.HintOf(err) == "" {
				t.Errorf("field is %+v with hint %q, want %q and a hint", field, edge.HintOf(err), c.field)
			}
		})
	}
	t.Run("RequestToUnknownModel", func(t *testing.T) { // the scheduler says so
		if _, err := verdict.Read([]byte(`{"inputs":[{"name":"in","shape":[1],"datatype":"FP32","data":[1]}]}`), "nobody", catalogue()); err != nil {
			t.Errorf("error is %v, want none", err)
		}
	})
}

// FuzzRead: whatever comes, what is made of it can be read and fits the model,
// and what is raw in it stood in the message.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"[1,2,3,4]", `{"inputs":[]}`, "\x00\x01\x02\x03", "[[[]]]", `{"inputs":`, "1e9", "[1,[2,3],4]", "[\xff", "[-1.5e-3]"} {
		f.Add([]byte(seed))
	}
	all := catalogue()
	f.Fuzz(func(t *testing.T, message []byte) {
		for name, meta := range all {
			read, err := verdict.Read(message, name, all)
			if err != nil {
				continue
			}
			got := read.Payload
			r, err := oip.ParseRequest(got.Body, got.HeaderLength)
			if err != nil {
				t.Fatalf("model %s: %q became %q, which cannot be read: %v", name, message, got.Body, err)
			}
			if err := r.Check(meta); err != nil {
				t.Fatalf("model %s: %q became %q, which does not fit: %v", name, message, got.Body, err)
			}
			if raw, ok := r.Inputs[0].Binary(); ok && !bytes.HasSuffix(raw, message) {
				t.Fatalf("model %s: %q became the bytes %q", name, message, raw)
			}
		}
	})
}

// BenchmarkRead is what a message costs before it is a task.
func BenchmarkRead(b *testing.B) {
	image := make([]byte, 60<<10)
	list := append([]byte("[0"), make([]byte, 0, 60<<10)...)
	for range 15 << 10 {
		list = append(list, ",12"...)
	}
	all := models{"file": input("file", "BYTES", -1), "raw": input("raw", "UINT8", -1), "list": input("list", "FP32", -1)}
	for _, c := range []struct {
		model   string
		message []byte
	}{{"file", image}, {"raw", image}, {"list", append(list, ']')}} {
		b.Run(c.model, func(b *testing.B) {
			b.SetBytes(int64(len(c.message)))
			b.ReportAllocs()
			for range b.N {
				if _, err := verdict.Read(c.message, c.model, all); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
