package edge_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"holdfast/edge"
)

func tool() edge.Workload {
	return edge.Workload{
		App: "line", Name: "report", Image: "line.example/tool:1", Replicas: 2, Restart: edge.RestartNo,
		Serve: &edge.Serve{Model: "report", Timeout: 5 * time.Second, OneShot: &edge.OneShot{Input: "/in/data", Output: "/out/data"}},
	}
}

func TestWorkload_CheckOneShot(t *testing.T) {
	if err := tool().CheckOneShot(); err != nil {
		t.Errorf("got %v of a tool that is well", err)
	}
	for field, spoil := range map[string]func(*edge.Workload){
		"serve.endpoint":       func(w *edge.Workload) { w.Serve.Endpoint = "unix:///run/model/model.sock" },
		"serve.variants":       func(w *edge.Workload) { w.Serve.Variants = []string{"small"} },
		"serve.concurrency":    func(w *edge.Workload) { w.Serve.Concurrency = 2 },
		"serve.readyWithin":    func(w *edge.Workload) { w.Serve.ReadyWithin = time.Second },
		"serve.fixed":          func(w *edge.Workload) { w.Serve.Fixed = true },
		"serve.exact":          func(w *edge.Workload) { w.Serve.Exact = true },
		"probes":               func(w *edge.Workload) { w.Probes.Liveness = &edge.Probe{Port: 80} },
		"ports":                func(w *edge.Workload) { w.Ports = []edge.Port{{}} },
		"dependsOn":            func(w *edge.Workload) { w.DependsOn = []edge.Dependency{{Name: "a"}} },
		"update.canary":        func(w *edge.Workload) { w.Update.Canary = &edge.Canary{Share: 10} },
		"serve.oneShot.warm":   func(w *edge.Workload) { w.Serve.OneShot.Warm = edge.MaxWarm + 1 },
		"serve.oneShot.input":  func(w *edge.Workload) { w.Serve.OneShot.Input = "/data" },
		"serve.oneShot.output": func(w *edge.Workload) { w.Serve.OneShot.Output = "/in/deeper/data" },
	} {
		w := tool()
		spoil(&w)
		var problem *edge.FieldProblem
		if err := w.CheckOneShot(); !errors.As(err, &problem) || problem.Field != field {
			t.Errorf("got %v, want a problem of %s", err, field)
		}
	}
	for _, path := range []string{"data", "/in/../data", "/proc/data", "/dev/shm/data", "/in/", "/"} {
		w := tool()
		if w.Serve.OneShot.Input = path; w.CheckOneShot() == nil {
			t.Errorf("got no problem of input %q", path)
		}
	}
	server := sample()
	if err := server.CheckOneShot(); err != nil || server.IsOneShot() || server.Ahead() != 0 {
		t.Errorf("got %v of a server, which is none", err)
	}
}

func TestWorkload_Ahead(t *testing.T) {
	var got []int
	for _, warm := range []int{0, 1, 5} {
		w := tool()
		w.Serve.OneShot.Warm = warm
		got = append(got, w.Ahead())
	}
	if want := []int{2, 1, 5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWorkload_SpecHashOfOneShot(t *testing.T) {
	base := tool().SpecHash()
	for name, change := range map[string]func(*edge.Workload){
		"Warm":     func(w *edge.Workload) { w.Serve.OneShot.Warm = 7 },
		"Timeout":  func(w *edge.Workload) { w.Serve.Timeout = time.Minute },
		"Model":    func(w *edge.Workload) { w.Serve.Model = "other" },
		"Replicas": func(w *edge.Workload) { w.Replicas = 9 },
	} {
		w := tool()
		if change(&w); w.SpecHash() != base {
			t.Errorf("%s replaces what stands ready, and need not", name)
		}
	}
	for name, change := range map[string]func(*edge.Workload){
		"Input":  func(w *edge.Workload) { w.Serve.OneShot.Input = "" },
		"Output": func(w *edge.Workload) { w.Serve.OneShot.Output = "/out/other" },
		"Server": func(w *edge.Workload) { w.Serve.OneShot = nil },
	} {
		w := tool()
		if change(&w); w.SpecHash() == base {
			t.Errorf("%s does not replace what stands ready, and must", name)
		}
	}
}
