package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// row is the JSON of one picture whose first pixel is the given text.
func row(first string) string {
	return "[" + first + strings.Repeat(",0", 63) + "]"
}

// tensor is a request with one input.
func tensor(name, shape, datatype, data string) string {
	return fmt.Sprintf(`{"inputs":[{"name":%q,"shape":%s,"datatype":%q,"data":%s}]}`, name, shape, datatype, data)
}

func TestServer_RefusesBadRequests(t *testing.T) {
	handler := models(t)
	blank := row("0")
	for name, test := range map[string]struct {
		path, body string
		status     int
		field      string
	}{
		"NoModel":        {"/v2/models/faces/infer", tensor("pixels", "[1,64]", "FP32", blank), 404, ""},
		"NoVersion":      {"/v2/models/digits/versions/9/infer", tensor("pixels", "[1,64]", "FP32", blank), 404, ""},
		"NotJSON":        {"/v2/models/digits/infer", "hello", 400, ""},
		"NoInputs":       {"/v2/models/digits/infer", `{}`, 400, "inputs"},
		"OtherName":      {"/v2/models/digits/infer", tensor("image", "[1,64]", "FP32", blank), 400, "inputs[0].name"},
		"OtherType":      {"/v2/models/digits/infer", tensor("pixels", "[1,64]", "INT32", blank), 400, "inputs[0].datatype"},
		"OtherShape":     {"/v2/models/digits/infer", tensor("pixels", "[64]", "FP32", blank), 400, "inputs[0].shape"},
		"OtherWidth":     {"/v2/models/digits/infer", tensor("pixels", "[1,65]", "FP32", blank), 400, "inputs[0].shape[1]"},
		"LessData":       {"/v2/models/digits/infer", tensor("pixels", "[2,64]", "FP32", blank), 400, "inputs[0].data"},
		"TooMany":        {"/v2/models/digits/infer", tensor("pixels", "[65,64]", "FP32", "["+strings.Repeat(blank+",", 64)+blank+"]"), 400, "inputs[0].shape[0]"},
		"TooDark":        {"/v2/models/digits/infer", tensor("pixels", "[1,64]", "FP32", row("17")), 400, "inputs[0].data"},
		"Negative":       {"/v2/models/digits/infer", tensor("pixels", "[1,64]", "FP32", row("-1")), 400, "inputs[0].data"},
		"NoFloat":        {"/v2/models/digits/infer", tensor("pixels", "[1,64]", "FP32", row("1e99")), 400, "data"},
		"TimeoutPassed":  {"/v2/models/digits/infer", strings.Replace(tensor("pixels", "[1,64]", "FP32", blank), "{", `{"parameters":{"timeout":-1},`, 1), 504, ""},
		"TimeoutNoWhole": {"/v2/models/digits/infer", strings.Replace(tensor("pixels", "[1,64]", "FP32", blank), "{", `{"parameters":{"timeout":"x"},`, 1), 400, "parameters.timeout"},
		"PriorityNine":   {"/v2/models/digits/infer", strings.Replace(tensor("pixels", "[1,64]", "FP32", blank), "{", `{"parameters":{"priority":9},`, 1), 400, "parameters.priority"},
		"TooLarge":       {"/v2/models/digits/infer", strings.Repeat(" ", maxBody+1), 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := post(handler, test.path, edge.Payload{Body: []byte(test.body)})
			var body oip.ErrorBody
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatalf("%s: %v", w.Body, err)
			}
			if w.Code != test.status || body.Field != test.field || body.Error == "" {
				t.Errorf("%d %+v, want %d with field %q", w.Code, body, test.status, test.field)
			}
		})
	}
}

func TestServer_RefusesNaN(t *testing.T) {
	payload := request(t, heldOut(t)[:1], true)
	copy(payload.Body[payload.HeaderLength:], []byte{0, 0, 0xc0, 0x7f})
	if w := post(models(t), "/v2/models/digits/infer", payload); w.Code != http.StatusBadRequest {
		t.Errorf("%d %s, want 400", w.Code, w.Body)
	}
}

func TestServer_RefusesHeaderLength(t *testing.T) {
	handler := models(t)
	for _, text := range []string{"-1", "0", "x", "9999999", "99999999999999999999"} {
		r := httptest.NewRequest(http.MethodPost, "/v2/models/digits/infer", strings.NewReader(tensor("pixels", "[1,64]", "FP32", row("0"))))
		r.Header.Set(oip.HeaderLengthField, text)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), oip.HeaderLengthField) {
			t.Errorf("%s: %d %s, want 400 naming the header", text, w.Code, w.Body)
		}
	}
}

func TestServer_AnswersAsAsked(t *testing.T) {
	body := strings.Replace(tensor("pixels", "[1,64]", "FP32", row("0")), `{`,
		`{"id":"a","outputs":[{"name":"label","parameters":{"binary_data":true}}],`, 1)
	w := post(models(t), "/v2/models/digits-lite/versions/1/infer", edge.Payload{Body: []byte(body)})
	var length int
	if _, err := fmt.Sscan(w.Header().Get(oip.HeaderLengthField), &length); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	resp, err := oip.ParseResponse(edge.Payload{Body: w.Body.Bytes(), HeaderLength: length})
	if err != nil {
		t.Fatal(err)
	}
	if resp.ID != "a" || resp.ModelName != "digits-lite" || len(resp.Outputs) != 1 || resp.Outputs[0].Datatype != "INT64" {
		t.Errorf("answered %+v", resp)
	}
	raw, ok := resp.Outputs[0].Binary()
	if !ok || len(raw) != 8 || binary.LittleEndian.Uint64(raw) > 9 {
		t.Errorf("label as bytes: %v %v", raw, ok)
	}
}

func TestServer_DescribesItself(t *testing.T) {
	handler := models(t)
	for path, want := range map[string]string{
		"/v2":                                `"extensions":["binary_tensor_data","schedule_policy"]`,
		"/v2/health/live":                    `"live":true`,
		"/v2/health/ready":                   `"ready":true`,
		"/v2/models/digits":                  `"shape":[-1,64]`,
		"/v2/models/digits-lite":             `"versions":["1"]`,
		"/v2/models/digits/versions/1":       `"name":"digits"`,
		"/v2/models/digits/ready":            `"ready":true`,
		"/v2/models/digits/versions/1/ready": `"ready":true`,
		"/v2/models/digits-lite/ready":       `"name":"digits-lite"`,
		"/v2/models/digits-lite/versions/1":  `"datatype":"INT64"`,
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want %s", path, w.Code, w.Body, want)
		}
	}
}
