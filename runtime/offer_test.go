package runtime_test

import (
	"slices"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/runtime/fake"
)

// TestSupervisor_Offer: new connections go to who is ready, and to nobody who is to end.
func TestSupervisor_Offer(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		h := newHouse(t, d)
		web := edge.Workload{App: "line", Name: "web", Image: "web:1", Replicas: 2, Restart: edge.RestartAlways, Ports: []edge.Port{{Port: 80, Target: 80}}}
		plain := edge.Workload{App: "line", Name: "plain", Image: "plain:1", Replicas: 1, Restart: edge.RestartAlways}
		h.sup.Apply([]edge.Workload{web, plain})
		settle(time.Second)
		want := func(count int) []string {
			t.Helper()
			all := d.Offered()
			if len(all) == 0 || len(all[len(all)-1]) != count {
				t.Fatalf("offered: got %v, want %d in the end", all, count)
			}
			return all[len(all)-1]
		}
		first := want(2)
		h.sup.Apply([]edge.Workload{plain})
		settle(time.Minute)
		want(0)
		h.sup.Apply([]edge.Workload{web, plain})
		settle(time.Second)
		if again := want(2); slices.Equal(again, first) {
			t.Errorf("offered: got %v, want other instances than before", again)
		}
		d.Exit(want(2)[0], edge.Exit{Code: 1})
		settle(time.Minute)
		want(2)
	})
}
