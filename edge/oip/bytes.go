package oip

import (
	"encoding/binary"
	"encoding/json"
	"unicode/utf8"
)

// Strings decodes the data of a BYTES tensor, in row-major order. Those of a raw one are
// windows into its body.
func (t *Tensor) Strings() ([][]byte, error) {
	if t.Datatype != "BYTES" {
		return nil, fieldErrorf("datatype", "tensor %q of %s does not hold strings", t.Name, t.Datatype)
	}
	if t.binary != nil {
		return t.binaryStrings()
	}
	var tree any
	if err := json.Unmarshal(t.Data, &tree); err != nil {
		return nil, fieldErrorf("data", "of tensor %q is no JSON", t.Name)
	}
	return t.appendStrings(nil, tree)
}

// appendStrings collects the texts of nested lists.
func (t *Tensor) appendStrings(values [][]byte, tree any) (_ [][]byte, err error) {
	switch tree := tree.(type) {
	case string:
		return append(values, []byte(tree)), nil
	case []any:
		for _, below := range tree {
			if values, err = t.appendStrings(values, below); err != nil {
				return nil, err
			}
		}
		return values, nil
	}
	return nil, fieldErrorf("data", "tensor %q holds more than strings", t.Name)
}

func (t *Tensor) binaryStrings() ([][]byte, error) {
	if _, even := countStrings(t.binary); !even {
		return nil, fieldErrorf("data", "tensor %q does not end with the end of an element", t.Name)
	}
	var values [][]byte
	for rest := t.binary; len(rest) > 0; {
		size := 4 + int(binary.LittleEndian.Uint32(rest)) // counted: it fits
		values, rest = append(values, rest[4:size:size]), rest[size:]
	}
	return values, nil
}

// BytesTensor makes a tensor of strings, as JSON or, when raw is set, as bytes behind the
// JSON. JSON holds no bytes that are not UTF-8: false says that a value must be raw.
func BytesTensor(name string, shape []int64, values [][]byte, raw bool) (Tensor, bool) {
	t := Tensor{Name: name, Shape: shape, Datatype: "BYTES"}
	if raw {
		t.binary = []byte{}
		for _, v := range values {
			t.binary = append(binary.LittleEndian.AppendUint32(t.binary, uint32(len(v))), v...)
		}
		return t, true
	}
	texts := make([]string, len(values))
	for i, v := range values {
		if texts[i] = string(v); !utf8.Valid(v) {
			return t, false
		}
	}
	data, err := json.Marshal(texts)
	if err != nil {
		return t, false
	}
	t.Data = data
	t.seen = leaves{count: int64(len(values)), kinds: kindString}
	return t, true
}
