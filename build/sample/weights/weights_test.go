package weights_test

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"holdfast/build/sample/weights"
)

// file puts a header before data as the format wants it.
func file(header string, data ...byte) []byte {
	length := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(length, header...), data...)
}

func TestParse_ReadsTensors(t *testing.T) {
	f, err := weights.Parse(file(`{"__metadata__":{"model":"m"},
		"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},
		"b":{"dtype":"F32","shape":[1,1],"data_offsets":[3,7]}}`, 1, 2, 255, 0, 0, 0xc0, 0x3f))
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Metadata["model"]; got != "m" {
		t.Errorf("metadata model = %q, want m", got)
	}
	a, err := f.Float32s("a", -1)
	if err != nil || !slices.Equal(a, []float32{1, 2, 255}) {
		t.Errorf("a = %v, %v", a, err)
	}
	b, err := f.Float32s("b", 1, 1)
	if err != nil || !slices.Equal(b, []float32{1.5}) {
		t.Errorf("b = %v, %v", b, err)
	}
	if _, err := f.Float32s("a", 4); err == nil {
		t.Error("another shape than the file's was accepted")
	}
	if _, err := f.Float32s("c", 1); err == nil {
		t.Error("a tensor that is not there was found")
	}
}

func TestParse_RefusesDamage(t *testing.T) {
	for name, test := range map[string]struct {
		content []byte
		want    string
	}{
		"Empty":            {nil, "too few"},
		"HeaderTooLong":    {[]byte{255, 255, 255, 255, 255, 255, 255, 255}, "header of"},
		"HeaderNotJSON":    {file("{"), "header"},
		"UnknownDtype":     {file(`{"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}`, make([]byte, 8)...), "dtype"},
		"DataOutside":      {file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 1), "data at 0 to 2"},
		"DataBackwards":    {file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}`, 1), "data at 1 to 0"},
		"ShapeOtherLength": {file(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,2]}}`, 1, 2), "needs 4 bytes"},
		"ShapeOverflows":   {file(`{"a":{"dtype":"U8","shape":[65536,65536,65536],"data_offsets":[0,1]}}`, 1), "shape"},
		"ShapeNegative":    {file(`{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}`, 1), "shape"},
		"MetadataNumber":   {file(`{"__metadata__":{"x":1}}`), "metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := weights.Parse(test.content)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1))
	f.Add(file(`{"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]}}`, 1, 2, 3, 4))
	f.Fuzz(func(t *testing.T, content []byte) {
		parsed, err := weights.Parse(content)
		if err != nil {
			return
		}
		if values, err := parsed.Float32s("a", -1); err == nil && len(values) > len(content) {
			t.Errorf("%d values from %d bytes", len(values), len(content))
		}
	})
}
