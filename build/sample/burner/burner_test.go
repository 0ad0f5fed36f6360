package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// handler serves the models that the arguments name.
func handler(t *testing.T, args ...string) http.Handler {
	t.Helper()
	o, err := parse(args)
	if err != nil {
		t.Fatal(err)
	}
	return newHandler(o.models)
}

// infer asks a model and returns what it says it used.
func infer(t *testing.T, h http.Handler, model string, body []byte, headerLength int) (used float32, status int) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v2/models/"+model+"/infer", bytes.NewReader(body))
	if headerLength > 0 {
		r.Header.Set(oip.HeaderLengthField, fmt.Sprint(headerLength))
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return 0, w.Code
	}
	resp, err := oip.ParseResponse(edge.Payload{Body: w.Body.Bytes()})
	if err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	values, err := resp.Outputs[0].Float32s()
	if err != nil || len(values) != 1 {
		t.Fatalf("answered %v: %v", values, err)
	}
	return values[0], w.Code
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func TestBurner_Infer(t *testing.T) {
	h := handler(t, "-model", "asked", "-model", "fixed=12ms")
	for _, ms := range []float32{0, 1, 26.5} {
		payload, err := oip.InferRequest{Inputs: []oip.Tensor{oip.FP32Tensor("ms", []int64{1}, []float32{ms}, true)}}.Payload()
		if err != nil {
			t.Fatal(err)
		}
		before := cpuTime(t)
		used, status := infer(t, h, "asked", payload.Body, payload.HeaderLength)
		spent := cpuTime(t) - before
		// The kernel counts CPU time of the process in whole; a twentieth is lost to granularity.
		if status != http.StatusOK || used < ms || used > ms+1 || float32(spent.Seconds()*1000) < ms*0.95 {
			t.Errorf("asked for %v ms: %d, says %v ms, the process used %v", ms, status, used, spent)
		}
	}
	used, status := infer(t, h, "fixed", []byte(`{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`), 0)
	if status != http.StatusOK || used < 12 || used > 13 {
		t.Errorf("a model of 12 ms: %d, says %v ms", status, used)
	}
}

func TestBurner_RefusesMilliseconds(t *testing.T) {
	h := handler(t, "-model", "m")
	for _, data := range []string{"[-1]", "[60001]", "[1,2]", `["x"]`} {
		body := fmt.Sprintf(`{"inputs":[{"name":"ms","shape":[%d],"datatype":"FP32","data":%s}]}`, strings.Count(data, ",")+1, data)
		if _, status := infer(t, h, "m", []byte(body), 0); status != http.StatusBadRequest {
			t.Errorf("%s: %d", data, status)
		}
	}
}

func TestBurner_Parse(t *testing.T) {
	for _, args := range []string{"", "-model =1ms", "-model m=soon", "-model m=2m", "-model m=-1s", "-nonsense"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	if o, err := parse([]string{"-check", "-listen", "unix:///nowhere"}); err != nil || !o.check {
		t.Errorf("parsed %+v, %v", o, err)
	}
	if err := run(t.Context(), nil, options{check: true, listen: "unix:///nowhere/s"}); err == nil {
		t.Error("nobody listens, and the check passes")
	}
}
