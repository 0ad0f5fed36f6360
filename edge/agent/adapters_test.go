package agent

import (
	"errors"
	"testing"
	"time"

	"holdfast/edge"
)

func TestWhoseOutput(t *testing.T) {
	instance := func(id string, age time.Duration) edge.InstanceView {
		return edge.InstanceView{Instance: edge.Instance{ID: id, Started: time.Unix(1000, 0).Add(-age)}}
	}
	views := []edge.WorkloadView{
		{Workload: edge.Workload{App: "line", Name: "digits"}, Instances: []edge.InstanceView{
			instance("line-digits-1", time.Hour), instance("line-digits-2", time.Minute), instance("", 0),
		}},
		{Workload: edge.Workload{App: "line", Name: "idle"}, Instances: []edge.InstanceView{{}}},
	}
	for target, want := range map[string]string{
		"line/digits": "line-digits-2", "digits": "line-digits-2", "line-digits-1": "line-digits-1",
		"line/idle": "", "line/cats": "", "line-digits-3": "", "": "",
	} {
		got, err := whoseOutput(views, target)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("whoseOutput(%q) = %q, %v, want %q", target, got, err, want)
		}
		if err != nil && (!errors.Is(err, edge.ErrNotFound) || edge.HintOf(err) == "") {
			t.Errorf("whoseOutput(%q) says %v, want not found and a hint", target, err)
		}
	}
}
