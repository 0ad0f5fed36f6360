package edge_test

import (
	"testing"
	"time"

	"holdfast/edge"
)

func sample() edge.Workload {
	return edge.Workload{
		App: "line", Name: "digits", Image: "line.example/digits:1", Replicas: 2,
		Command: []string{"-quiet"}, Env: []string{"A=1"},
		Limits:  edge.Limits{CPUs: 0.5, Memory: 64 << 20, Pids: 32},
		Restart: edge.RestartAlways,
		Serve:   &edge.Serve{Model: "digits", Variants: []string{"digits-lite"}, Endpoint: "unix:///run/model/model.sock", Cost: 2 * time.Millisecond},
	}
}

// The hash stands on containers that outlive the agent. When one of these values
// changes, every instance of every node is replaced at its next upgrade.
func TestWorkload_SpecHashIsForEver(t *testing.T) {
	for name, c := range map[string]struct {
		workload edge.Workload
		want     string
	}{
		"Model":   {sample(), "c14c50e9745772ada82dc8c512df0b3d67623f17343e6d274ef6aa1983158ba3"},
		"Service": {edge.Workload{App: "a", Name: "b", Image: "c"}, "f0c1852a51592de1d4d6851c9701db1b8b865399639b36a53c89641208da430a"},
	} {
		if got := c.workload.SpecHash(); got != c.want {
			t.Errorf("%s: hash is %s, want %s as it has always been", name, got, c.want)
		}
	}
}

func TestWorkload_SpecHash(t *testing.T) {
	base := sample().SpecHash()
	for name, change := range map[string]func(*edge.Workload){
		"Replicas": func(w *edge.Workload) { w.Replicas++ },
		"Restart":  func(w *edge.Workload) { w.Restart = edge.RestartNo },
		"Grace":    func(w *edge.Workload) { w.StopGrace = time.Minute },
		"Cost":     func(w *edge.Workload) { w.Serve.Cost *= 2 },
		"Ready":    func(w *edge.Workload) { w.Serve.ReadyWithin = time.Minute },
		"Tenant":   func(w *edge.Workload) { w.Tenant = "vision" },
		"Probes":   func(w *edge.Workload) { w.Probes.Liveness = &edge.Probe{Port: 80} },
		"Update":   func(w *edge.Workload) { w.Update = edge.Update{StopFirst: true} },
		"Depends":  func(w *edge.Workload) { w.DependsOn = []edge.Dependency{{Name: "a", When: edge.WhenStarted}} },
	} {
		w := sample()
		if change(&w); w.SpecHash() != base {
			t.Errorf("%s replaces instances, and need not", name)
		}
	}
	told := func(s edge.Secret) string {
		w := sample()
		w.Secrets = []edge.Secret{s}
		return w.SpecHash()
	}
	if told(edge.Secret{Name: "a"}) != told(edge.Secret{Name: "a", Path: "/run/secrets/a", Mode: 0o400}) {
		t.Error("a default that is written out replaces instances, and need not")
	}
	if told(edge.Secret{Name: "a", Version: "1"}) == told(edge.Secret{Name: "a", Version: "2"}) {
		t.Error("another value of a secret does not replace instances, and must")
	}
	for name, change := range map[string]func(*edge.Workload){
		"Image":        func(w *edge.Workload) { w.Image += "1" },
		"NoEntrypoint": func(w *edge.Workload) { w.Entrypoint = []string{} },
		"Command":      func(w *edge.Workload) { w.Command = nil },
		"Env":          func(w *edge.Workload) { w.Env = nil },
		"Dir":          func(w *edge.Workload) { w.WorkingDir = "/" },
		"User":         func(w *edge.Workload) { w.User = "1" },
		"CPUs":         func(w *edge.Workload) { w.Limits.CPUs++ },
		"Memory":       func(w *edge.Workload) { w.Limits.Memory++ },
		"Pids":         func(w *edge.Workload) { w.Limits.Pids++ },
		"CapAdd":       func(w *edge.Workload) { w.Security.CapAdd = []string{"CAP_CHOWN"} },
		"WritableRoot": func(w *edge.Workload) { w.Security.WritableRoot = true },
		"RunAsRoot":    func(w *edge.Workload) { w.Security.RunAsRoot = true },
		"Tmpfs":        func(w *edge.Workload) { w.Tmpfs = []edge.Tmpfs{{Path: "/x", Size: 1}} },
		"HostNetwork":  func(w *edge.Workload) { w.Security.HostNetwork = true },
		"Privileged":   func(w *edge.Workload) { w.Security.Privileged = true },
		"Binds":        func(w *edge.Workload) { w.Binds = []edge.Bind{{Source: "/a", Target: "/b"}} },
		"Devices":      func(w *edge.Workload) { w.Devices = []edge.Device{{Host: "/dev/a"}} },
		"SetAsideCPU":  func(w *edge.Workload) { w.Request.CPUs = 0.1 },
		"SetAside":     func(w *edge.Workload) { w.Request.Memory = 1 << 20 },
		"StopSignal":   func(w *edge.Workload) { w.StopSignal = "SIGINT" },
		"Variants":     func(w *edge.Workload) { w.Serve.Variants = nil },
		"Endpoint":     func(w *edge.Workload) { w.Serve.Endpoint = "unix:///run/m/m.sock" },
		"Concurrency":  func(w *edge.Workload) { w.Serve.Concurrency = 4 },
		"Timeout":      func(w *edge.Workload) { w.Serve.Timeout = time.Second },
		"Secret":       func(w *edge.Workload) { w.Secrets = []edge.Secret{{Name: "a"}} },
		"Volume":       func(w *edge.Workload) { w.Volumes = []edge.Volume{{Name: "a", Target: "/a"}} },
		"Network":      func(w *edge.Workload) { w.Networks = []string{"a"} },
		"Outward":      func(w *edge.Workload) { w.Networks, w.Outward = []string{"a"}, []string{"a"} },
		"Link":         func(w *edge.Workload) { w.Links = []string{"a"} },
		"Port":         func(w *edge.Workload) { w.Ports = []edge.Port{{Port: 80, Target: 80}} },
		"NoModel":      func(w *edge.Workload) { w.Serve = nil },
	} {
		w := sample()
		if change(&w); w.SpecHash() == base {
			t.Errorf("%s does not replace instances, and must", name)
		}
	}
}
