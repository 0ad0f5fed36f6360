//go:build !race

package sim_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"holdfast/scheduler"
	"holdfast/scheduler/sim"
)

// flooded is a tenant that keeps to its share of two cores, beside one that asks for so many times
// what the node has.
func flooded(t *testing.T, seed uint64, flood float64) []sim.Task {
	t.Helper()
	l := sim.Load{Mix: sim.Servers(), Arrivals: sim.Poisson{}, Load: 0.35, Cores: 2, Length: 5 * time.Minute, Noise: sim.DefaultNoise, Tenant: "quiet"}
	tasks, err := l.Tasks(seed)
	if err != nil {
		t.Fatal(err)
	}
	if flood > 0 {
		l.Load, l.Tenant = flood, "flood"
		more, err := l.Tasks(seed + 100)
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, more...)
		slices.SortStableFunc(tasks, func(a, b sim.Task) int { return cmp.Compare(a.Arrives, b.Arrives) })
	}
	return tasks
}

func quietOnTime(t *testing.T, tasks []sim.Task, rules scheduler.Rules) (quiet, all sim.Counts) {
	t.Helper()
	result, err := sim.Plan(sim.Options{Rules: rules}).Run(tasks, 2)
	if err != nil {
		t.Fatal(err)
	}
	return result.Tenants["quiet"], result.Total()
}

func TestPlan_KeepsATenantFromItsNeighbour(t *testing.T) {
	shared := scheduler.Rules{Tenants: map[string]scheduler.TenantRule{"quiet": {CPU: 1}, "flood": {CPU: 1}}}
	unshared := scheduler.Rules{}
	for seed := range uint64(3) {
		tasks := flooded(t, seed+1, 2.5)
		got, all := quietOnTime(t, tasks, shared)
		part := float64(got.OnTime) / float64(got.Submitted)
		without, allWithout := quietOnTime(t, tasks, unshared)
		partWithout := float64(without.OnTime) / float64(without.Submitted)
		t.Logf("seed %d: %.4f on time with shares, %.4f without; of all %d and %d", seed+1, part, partWithout, all.OnTime, allWithout.OnTime)
		if part < 0.98 {
			t.Errorf("seed %d: %.4f of the quiet tenant's tasks were on time, want 0.98", seed+1, part)
		}
		if partWithout > 0.95 {
			t.Errorf("seed %d: %.4f without shares: there is nothing to keep it from", seed+1, partWithout)
		}
	}
}
