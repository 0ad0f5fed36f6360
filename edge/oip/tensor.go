package oip

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"holdfast/edge"
)

// Binary is the tensor's data as raw bytes, little end first; false when it came
// as JSON.
func (t *Tensor) Binary() ([]byte, bool) { return t.binary, t.binary != nil }

// Float32s decodes the data of a numeric tensor, in row-major order. It holds
// for parsed tensors and for those of FP32Tensor; FP16 is not decoded.
func (t *Tensor) Float32s() ([]float32, error) {
	if t.binary != nil {
		return t.binaryFloats()
	}
	if t.seen.kinds&^kindNumber != 0 {
		return nil, fieldErrorf("data", "tensor %q holds more than numbers", t.Name)
	}
	values := make([]float32, 0, t.seen.count)
	for i := 0; i < len(t.Data); i++ {
		start := i
		for i < len(t.Data) && inNumber(t.Data[i]) {
			i++
		}
		if i == start {
			continue
		}
		v, err := strconv.ParseFloat(string(t.Data[start:i]), 32)
		if err != nil {
			return nil, fieldErrorf("data", "element %d of tensor %q is no 32-bit float: %.20s", len(values), t.Name, t.Data[start:i])
		}
		values = append(values, float32(v))
	}
	return values, nil
}

func inNumber(b byte) bool {
	return b-'0' <= 9 || b == '-' || b == '+' || b == '.' || b|0x20 == 'e'
}

func (t *Tensor) binaryFloats() ([]float32, error) {
	d, _ := datatypeOf(t.Datatype)
	decode := floatDecoder(t.Datatype)
	if decode == nil {
		return nil, fieldErrorf("datatype", "tensor %q of %s cannot be read as numbers", t.Name, t.Datatype)
	}
	if int64(len(t.binary))%d.size != 0 {
		return nil, fieldErrorf("data", "tensor %q of %s has %d bytes", t.Name, t.Datatype, len(t.binary))
	}
	values := make([]float32, len(t.binary)/int(d.size))
	for i := range values {
		values[i] = decode(t.binary[i*int(d.size):])
	}
	return values, nil
}

// floatDecoder reads one element; nil for what is no number or not supported.
func floatDecoder(datatype string) func([]byte) float32 {
	le := binary.LittleEndian
	switch datatype {
	case "UINT8":
		return func(b []byte) float32 { return float32(b[0]) }
	case "UINT16":
		return func(b []byte) float32 { return float32(le.Uint16(b)) }
	case "UINT32":
		return func(b []byte) float32 { return float32(le.Uint32(b)) }
	case "UINT64":
		return func(b []byte) float32 { return float32(le.Uint64(b)) }
	case "INT8":
		return func(b []byte) float32 { return float32(int8(b[0])) }
	case "INT16":
		return func(b []byte) float32 { return float32(int16(le.Uint16(b))) }
	case "INT32":
		return func(b []byte) float32 { return float32(int32(le.Uint32(b))) }
	case "INT64":
		return func(b []byte) float32 { return float32(int64(le.Uint64(b))) }
	case "BF16":
		return func(b []byte) float32 { return math.Float32frombits(uint32(le.Uint16(b)) << 16) }
	case "FP32":
		return func(b []byte) float32 { return math.Float32frombits(le.Uint32(b)) }
	case "FP64":
		return func(b []byte) float32 { return float32(math.Float64frombits(le.Uint64(b))) }
	}
	return nil
}

// FP32Tensor makes a tensor of 32-bit floats, as JSON or, when raw is set, as
// bytes behind the JSON. JSON knows no infinities and no NaN: a tensor that
// holds one must be raw, or its payload is refused.
func FP32Tensor(name string, shape []int64, values []float32, raw bool) Tensor {
	t := Tensor{Name: name, Shape: shape, Datatype: "FP32"}
	if raw {
		t.binary = make([]byte, 0, 4*len(values))
		for _, v := range values {
			t.binary = binary.LittleEndian.AppendUint32(t.binary, math.Float32bits(v))
		}
		return t
	}
	data := make([]byte, 1, 2+10*len(values))
	data[0] = '['
	for i, v := range values {
		if i > 0 {
			data = append(data, ',')
		}
		data = strconv.AppendFloat(data, float64(v), 'g', -1, 32)
	}
	t.Data = append(data, ']')
	t.seen = leaves{count: int64(len(values)), kinds: kindNumber}
	return t
}

// Payload encodes the request with the raw data of its tensors behind it.
func (r InferRequest) Payload() (edge.Payload, error) {
	r.Inputs = withSizes(r.Inputs)
	return encode(r, r.Inputs)
}

// Payload encodes the answer with the raw data of its tensors behind it.
func (r InferResponse) Payload() (edge.Payload, error) {
	r.Outputs = withSizes(r.Outputs)
	return encode(r, r.Outputs)
}

// withSizes copies the tensors and says of each raw one how long it is.
func withSizes(tensors []Tensor) []Tensor {
	out := append([]Tensor{}, tensors...)
	for i, t := range out {
		if t.binary == nil {
			continue
		}
		params := Parameters{"binary_data_size": strconv.AppendInt(nil, int64(len(t.binary)), 10)}
		for name, value := range t.Parameters {
			if name != "binary_data_size" {
				params[name] = value
			}
		}
		out[i].Parameters = params
	}
	return out
}

func encode(v any, tensors []Tensor) (edge.Payload, error) {
	head, err := json.Marshal(v)
	if err != nil {
		return edge.Payload{}, fmt.Errorf("cannot encode tensors: %w", err)
	}
	p, raw := edge.Payload{Body: head}, false
	for _, t := range tensors {
		p.Body = append(p.Body, t.binary...)
		raw = raw || t.binary != nil
	}
	if raw {
		p.HeaderLength = len(head)
	}
	return p, nil
}
