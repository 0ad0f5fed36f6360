package cli

import (
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

func TestPrintTools(t *testing.T) {
	views := []edge.WorkloadView{
		{Workload: edge.Workload{App: "line", Name: "digits"}},
		{Workload: edge.Workload{App: "line", Name: "report", Replicas: 2}, Ready: 2, OneShot: &edge.OneShotView{Warm: 1, Busy: 2, Most: 4, Runs: 9, Cold: 3}},
	}
	var out strings.Builder
	printTools(printer{out: &out}, views)
	want := "\nline/report is one-shot: 1 of 4 ready for tasks, 2 at work; 3 of 9 tasks found none ready\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	_, rows := instanceRows(views, time.Now())
	if len(rows) != 1 || rows[0][0] != "line/digits" {
		t.Errorf("got %v, want a row for the workload without instances alone", rows)
	}
}
