// Package weights holds the trained numbers of the sample models and reads them.
//
// The files are in the safetensors format, so that other tools can open them too:
// a little-endian u64 with the length of a JSON header, the header (for every
// tensor its dtype, shape and place, and under __metadata__ facts as strings), then
// the tensors themselves, little-endian and row by row. build/sample/train/train.py
// writes them; README.md beside them says what they can do.
//
// It promises that a File it returned is whole: every tensor lies inside the file
// and is as long as its shape says.
//
// # Concurrency
//
// Everything returned is read-only and may be shared.
//
// # Failure
//
// Damaged bytes are an error that names the tensor; nothing panics and nothing is
// allocated by what a header merely claims.
//
// # Testing
//
// Table tests for every way a file can be broken, and a fuzz test.
package weights

import (
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
)

//go:embed digits.safetensors
var digits string

//go:embed digits-lite.safetensors
var digitsLite string

// Digits are the weights of the support vector machine.
func Digits() (*File, error) { return Parse([]byte(digits)) }

// DigitsLite are the weights of the perceptron.
func DigitsLite() (*File, error) { return Parse([]byte(digitsLite)) }

// File is one decoded weights file.
type File struct {
	Metadata map[string]string
	tensors  map[string]tensor
	data     []byte
}

// tensor is one entry of the header.
type tensor struct {
	Dtype   string `json:"dtype"`
	Shape   []int  `json:"shape"`
	Offsets [2]int `json:"data_offsets"`
}

// metadataKey is the one entry of the header that is no tensor.
const metadataKey = "__metadata__"

// Parse reads a whole file.
func Parse(content []byte) (*File, error) {
	if len(content) < 8 {
		return nil, fmt.Errorf("cannot read weights: %d bytes are too few for a header", len(content))
	}
	length, rest := binary.LittleEndian.Uint64(content), content[8:]
	if length > uint64(len(rest)) {
		return nil, fmt.Errorf("cannot read weights: header of %d bytes in a file of %d", length, len(content))
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(rest[:length], &entries); err != nil {
		return nil, fmt.Errorf("cannot read weights header: %w", err)
	}
	file := &File{tensors: make(map[string]tensor, len(entries)), data: rest[length:]}
	for name, entry := range entries {
		if err := file.add(name, entry); err != nil {
			return nil, err
		}
	}
	return file, nil
}

// add decodes one entry of the header and checks that its data is there.
func (f *File) add(name string, entry json.RawMessage) error {
	if name == metadataKey {
		if err := json.Unmarshal(entry, &f.Metadata); err != nil {
			return fmt.Errorf("cannot read weights metadata: %w", err)
		}
		return nil
	}
	var t tensor
	if err := json.Unmarshal(entry, &t); err != nil {
		return fmt.Errorf("cannot read tensor %q: %w", name, err)
	}
	if err := t.check(len(f.data)); err != nil {
		return fmt.Errorf("cannot read tensor %q: %w", name, err)
	}
	f.tensors[name] = t
	return nil
}

// check holds a tensor's shape against its place in the size bytes there are.
func (t tensor) check(size int) error {
	width, known := map[string]int{"U8": 1, "F32": 4}[t.Dtype]
	if !known {
		return fmt.Errorf("dtype %q is not among U8 and F32", t.Dtype)
	}
	begin, end := t.Offsets[0], t.Offsets[1]
	if begin < 0 || end < begin || end > size {
		return fmt.Errorf("data at %d to %d of %d bytes", begin, end, size)
	}
	count := width
	for _, dim := range t.Shape {
		if dim < 1 || dim > math.MaxInt32/count {
			return fmt.Errorf("shape %v", t.Shape)
		}
		count *= dim
	}
	if count != end-begin {
		return fmt.Errorf("shape %v needs %d bytes, there are %d", t.Shape, count, end-begin)
	}
	return nil
}

// Float32s returns a tensor as numbers, row by row. -1 in shape stands for any
// length; both dtypes are read.
func (f *File) Float32s(name string, shape ...int) ([]float32, error) {
	t, ok := f.tensors[name]
	if !ok {
		return nil, fmt.Errorf("cannot find tensor %q", name)
	}
	if !matches(t.Shape, shape) {
		return nil, fmt.Errorf("cannot use tensor %q: shape %v, want %v", name, t.Shape, shape)
	}
	data := f.data[t.Offsets[0]:t.Offsets[1]]
	if t.Dtype == "U8" {
		return widen(data), nil
	}
	values := make([]float32, len(data)/4)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return values, nil
}

// widen turns bytes into numbers.
func widen(data []byte) []float32 {
	values := make([]float32, len(data))
	for i, b := range data {
		values[i] = float32(b)
	}
	return values
}

// matches reports whether got is what want allows.
func matches(got, want []int) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if want[i] != -1 && got[i] != want[i] {
			return false
		}
	}
	return true
}
