package cli

import (
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

func TestPrintTools(t *testing.T) {
	views := []edge.WorkloadView{
		{Workload: edge.Workload{App: "line", Name: "digits"}},
		{Workload: edge.Workload{App: "line", Name: "report", Replicas: 2}, Ready: 2, OneShot: &edge.OneShotView{Warm: 1, Busy: 2, Most: 4, Runs: 9, Cold: 3}},
	}
	var out strings.Builder
	if err := printTools(printer{out: &out}, views); err != nil {
		t.Fatal(err)
	}
	want := "\nONE-SHOT     STAND READY  AT WORK  TASKS  FOUND NONE\nline/report  1 of 4       2        9      3\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	_, rows := instanceRows(views, time.Now())
	if len(rows) != 1 || rows[0][0] != "line/digits" {
		t.Errorf("got %v, want a row for the workload without instances alone", rows)
	}
}

func TestRawRequest(t *testing.T) {
	meta := oip.ModelMetadata{Name: "report", Inputs: []oip.TensorMetadata{{Name: "input", Datatype: "BYTES", Shape: []int64{1}}}}
	made, err := rawRequest([]byte{0xff, 0}, meta)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := oip.ParseRequest(made.Body, made.HeaderLength)
	if err == nil {
		err = parsed.Check(meta)
	}
	if err != nil {
		t.Fatal(err)
	}
	values, err := parsed.Inputs[0].Strings()
	if wanted, _ := parsed.Parameters.Bool("binary_data_output"); err != nil || string(values[0]) != "\xff\x00" || !wanted {
		t.Errorf("got %q, %v, raw output wanted %v", values, err, wanted)
	}
	meta.Inputs[0].Datatype = "FP32"
	if _, err := rawRequest(nil, meta); err == nil || !strings.Contains(err.Error(), "report takes [input FP32 [1]]") {
		t.Errorf("got %v, want what it takes", err)
	}
	if _, err := rawRequest(nil, oip.ModelMetadata{Name: "silent"}); err == nil {
		t.Error("a model that says nothing was asked")
	}
}
