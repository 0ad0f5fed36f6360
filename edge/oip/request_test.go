package oip_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// digits is a model of one image of eight by eight, any number at a time.
var digits = oip.ModelMetadata{
	Name:    "digits",
	Inputs:  []oip.TensorMetadata{{Name: "image", Datatype: "FP32", Shape: []int64{-1, 4}}},
	Outputs: []oip.TensorMetadata{{Name: "scores", Datatype: "FP32", Shape: []int64{-1, 10}}},
}

// ask builds a request of one tensor.
func ask(members string) string {
	return `{"inputs":[{"name":"image","datatype":"FP32",` + members + `}]}`
}

func TestParseRequest(t *testing.T) {
	body := []byte(` {"id":"a\u00e9", "parameters":{"timeout":80000,"priority":1,"x":"y"},
		"inputs":[{"name":"image","shape":[1,4],"datatype":"FP32","data":[[1,-2.5e-1],[3,4]]}],
		"outputs":[{"name":"scores","parameters":{"binary_data":true}}], "other":{"a":[{}]}} `)
	req, err := oip.ParseRequest(body, 0)
	if err != nil {
		t.Fatal(err)
	}
	if req.ID != "aé" || len(req.Inputs) != 1 || req.Outputs[0].Name != "scores" {
		t.Errorf("got %+v", req)
	}
	if got, _ := req.Parameters.Text("x"); got != "y" {
		t.Errorf("parameter x: got %q", got)
	}
	if err := req.Check(digits); err != nil {
		t.Errorf("check: got %v", err)
	}
	values, err := req.Inputs[0].Float32s()
	if err != nil || fmt.Sprint(values) != "[1 -0.25 3 4]" {
		t.Errorf("values: got %v, %v", values, err)
	}
}

func TestParseRequest_Refuses(t *testing.T) {
	cases := map[string]struct{ body, field, problem string }{
		"Empty":          {"", "", "not JSON"},
		"Text":           {"hello", "", "not JSON"},
		"Array":          {"[]", "", "must be an object"},
		"Truncated":      {`{"inputs":[{"name":"im`, "inputs[0].name", "end of a string"},
		"Trailing":       {ask(`"shape":[1],"data":[1]`) + "x", "", "not JSON"},
		"TrailingComma":  {`{"inputs":[1,]}`, "inputs[0]", "must be an object"},
		"CommaInData":    {ask(`"shape":[1],"data":[1,]`), "inputs[0].data", "another element"},
		"NoInputs":       {`{}`, "inputs", "at least one"},
		"EmptyInputs":    {`{"inputs":[]}`, "inputs", "at least one"},
		"InputsText":     {`{"inputs":"x"}`, "inputs", "must be an array"},
		"NoName":         {`{"inputs":[{"datatype":"FP32","shape":[1],"data":[1]}]}`, "inputs[0]", "no name"},
		"NoShape":        {ask(`"data":[1]`), "inputs[0]", "no shape"},
		"NoDatatype":     {`{"inputs":[{"name":"a","shape":[1],"data":[1]}]}`, "inputs[0]", "no datatype"},
		"Datatype":       {`{"inputs":[{"name":"a","datatype":"FLOAT"}]}`, "inputs[0].datatype", "none of BOOL"},
		"ShapeZero":      {ask(`"shape":[1,0]`), "inputs[0].shape[1]", "must be positive, not 0"},
		"ShapeNegative":  {ask(`"shape":[-1]`), "inputs[0].shape[0]", "must be positive"},
		"ShapeFraction":  {ask(`"shape":[1.5]`), "inputs[0].shape[0]", "whole number"},
		"ShapeText":      {ask(`"shape":["4"]`), "inputs[0].shape[0]", "whole number"},
		"ShapeHuge":      {ask(`"shape":[99999999999999999999]`), "inputs[0].shape[0]", "out of range"},
		"ShapeRank":      {ask(`"shape":[` + strings.Repeat("1,", 16) + `1]`), "inputs[0].shape", "more than 16"},
		"DataObject":     {ask(`"shape":[1],"data":{}`), "inputs[0].data", "must be an array"},
		"DataAbsent":     {ask(`"shape":[1]`), "inputs[0]", "neither data"},
		"DataDeep":       {ask(`"shape":[1],"data":` + strings.Repeat("[", 40)), "inputs[0].data", "deeper than 32"},
		"Both":           {ask(`"shape":[1],"data":[1],"parameters":{"binary_data_size":4}`), "inputs[0]", "both"},
		"LeadingZero":    {ask(`"shape":[1],"data":[01]`), "inputs[0].data", "not JSON"},
		"NaN":            {ask(`"shape":[1],"data":[NaN]`), "inputs[0].data", "not JSON"},
		"BadEscape":      {ask(`"shape":[1],"data":["\x"]`), "inputs[0].data", "an escape"},
		"ControlByte":    {"{\"id\":\"a\nb\"}", "id", "rest of a string"},
		"NotUTF8":        {"{\"id\":\"\xff\"}", "id", "not UTF-8"},
		"ParameterArray": {`{"parameters":{"timeout":[1]}}`, "parameters.timeout", "string, a number or a boolean"},
		"Tensors":        {`{"inputs":[` + strings.Repeat(`{"name":"a","datatype":"INT8","shape":[1],"data":[1]},`, 129) + `]}`, "inputs", "more than 128"},
		"OutputNoName":   {`{"outputs":[{}]}`, "outputs[0]", "no name"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := oip.ParseRequest([]byte(c.body), 0)
			wantField(t, err, c.field, c.problem)
		})
	}
}

func TestInferRequest_Check(t *testing.T) {
	cases := map[string]struct{ body, field, problem string }{
		"Good":         {ask(`"shape":[2,4],"data":[[1,2,3,4],[5,6,7,8]]`), "-", ""},
		"Flat":         {ask(`"shape":[2,4],"data":[1,2,3,4,5,6,7,8]`), "-", ""},
		"TooFew":       {ask(`"shape":[2,4],"data":[1,2,3,4]`), "inputs[0].data", "has 4 elements, but shape [2 4] needs 8"},
		"Dimension":    {ask(`"shape":[1,5],"data":[1,2,3,4,5]`), "inputs[0].shape[1]", "is 5"},
		"Rank":         {ask(`"shape":[4],"data":[1,2,3,4]`), "inputs[0].shape", "has 1 dimensions"},
		"Overflow":     {ask(`"shape":[9223372036854775807,4],"data":[1]`), "inputs[0].shape", "larger than can be counted"},
		"Strings":      {ask(`"shape":[1,4],"data":["1","2","3","4"]`), "inputs[0].data", "nothing but numbers"},
		"Null":         {ask(`"shape":[1,4],"data":[1,2,3,null]`), "inputs[0].data", "nothing but numbers"},
		"UnknownInput": {`{"inputs":[{"name":"img","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}]}`, "inputs[0].name", "takes image"},
		"OtherType":    {`{"inputs":[{"name":"image","datatype":"FP64","shape":[1,4],"data":[1,2,3,4]}]}`, "inputs[0].datatype", "is FP64"},
		"Twice": {`{"inputs":[{"name":"image","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]},
			{"name":"image","datatype":"FP32","shape":[1,4],"data":[1,2,3,4]}]}`, "inputs[1].name", "twice"},
		"UnknownOutput": {`{"outputs":[{"name":"class"}],` + ask(`"shape":[1,4],"data":[1,2,3,4]`)[1:], "outputs[0].name", "gives scores"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			req, err := oip.ParseRequest([]byte(c.body), 0)
			if err != nil {
				t.Fatal(err)
			}
			wantField(t, req.Check(digits), c.field, c.problem)
		})
	}
	t.Run("Missing", func(t *testing.T) {
		two := digits
		two.Inputs = append(two.Inputs[:1:1], oip.TensorMetadata{Name: "mask", Datatype: "BOOL", Shape: []int64{4}})
		req, err := oip.ParseRequest([]byte(ask(`"shape":[1,4],"data":[1,2,3,4]`)), 0)
		if err != nil {
			t.Fatal(err)
		}
		wantField(t, req.Check(two), "inputs", `lack "mask"`)
	})
	t.Run("UndeclaredModelTakesAnything", func(t *testing.T) {
		req, err := oip.ParseRequest([]byte(ask(`"shape":[3],"data":[1,2,3]`)), 0)
		if err != nil {
			t.Fatal(err)
		}
		wantField(t, req.Check(oip.ModelMetadata{Name: "any"}), "-", "")
		req, err = oip.ParseRequest([]byte(ask(`"shape":[3],"data":[1,2]`)), 0)
		if err != nil {
			t.Fatal(err)
		}
		wantField(t, req.Check(oip.ModelMetadata{Name: "any"}), "inputs[0].data", "needs 3")
	})
}

func TestParseRequest_Binary(t *testing.T) {
	strings2 := append(binary.LittleEndian.AppendUint32(nil, 2), 'h', 'i')
	cases := map[string]struct {
		datatype, shape string
		size            int
		tail            []byte
		field, problem  string
	}{
		"Good":        {"FP32", "[1,2]", 8, make([]byte, 8), "-", ""},
		"TooShort":    {"FP32", "[1,2]", 8, make([]byte, 7), "inputs[0].parameters.binary_data_size", "7 bytes are left"},
		"TooLong":     {"FP32", "[1,2]", 8, make([]byte, 9), "inputs", "claim 8 bytes"},
		"Shape":       {"FP32", "[1,3]", 8, make([]byte, 8), "inputs[0].parameters.binary_data_size", "needs 3 elements of 4 bytes"},
		"ShapeHuge":   {"FP64", "[4611686018427387904]", 8, make([]byte, 8), "inputs[0].parameters.binary_data_size", "elements of 8 bytes"},
		"Odd":         {"UINT16", "[1]", 3, make([]byte, 3), "inputs[0].parameters.binary_data_size", "of 2 bytes"},
		"Bytes":       {"BYTES", "[1]", 6, strings2, "-", ""},
		"BytesShort":  {"BYTES", "[1]", 5, strings2[:5], "inputs[0].parameters.binary_data_size", "does not end"},
		"BytesCount":  {"BYTES", "[2]", 6, strings2, "inputs[0].parameters.binary_data_size", "covers 1 elements"},
		"BytesClaim":  {"BYTES", "[1]", 4, []byte{255, 255, 255, 255}, "inputs[0].parameters.binary_data_size", "does not end"},
		"Negative":    {"FP32", "[1]", -4, nil, "inputs[0].parameters.binary_data_size", "whole number of bytes"},
		"NothingLeft": {"FP32", "[1]", 4, nil, "inputs[0].parameters.binary_data_size", "0 bytes are left"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			head := fmt.Sprintf(`{"inputs":[{"name":"a","datatype":%q,"shape":%s,"parameters":{"binary_data_size":%d}}]}`, c.datatype, c.shape, c.size)
			req, err := oip.ParseRequest(append([]byte(head), c.tail...), len(head))
			if err == nil {
				err = req.Check(oip.ModelMetadata{})
			}
			wantField(t, err, c.field, c.problem)
		})
	}
	t.Run("HeaderBeyondBody", func(t *testing.T) {
		_, err := oip.ParseRequest([]byte(`{}`), 3)
		wantField(t, err, oip.HeaderLengthField, "the body has 2 bytes")
		_, err = oip.ParseRequest([]byte(`{}`), -1)
		wantField(t, err, oip.HeaderLengthField, "must be positive")
	})
}

// wantField holds an error against a field and a part of its problem; the field
// "-" means that there must be none.
func wantField(t *testing.T, err error, field, problem string) {
	t.Helper()
	if field == "-" {
		if err != nil {
			t.Errorf("got %v, want no error", err)
		}
		return
	}
	var got *oip.FieldError
	if !errors.As(err, &got) || !errors.Is(err, edge.ErrInvalid) {
		t.Fatalf("got %v, want a field error", err)
	}
	if got.Field != field || !strings.Contains(got.Problem, problem) {
		t.Errorf("got field %q: %s\nwant field %q: …%s…", got.Field, got.Problem, field, problem)
	}
}
