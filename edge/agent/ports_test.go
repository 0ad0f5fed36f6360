package agent

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/host"
	"holdfast/runtime/containerd"
)

// TestAgent_Vacant: a port that somebody listens on is refused with his name, before the
// policy is kept.
func TestAgent_Vacant(t *testing.T) {
	driver, err := containerd.New(containerd.Options{StateDir: t.TempDir(), RunDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{driver: driver}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	policy := &edge.Policy{Workloads: []edge.Workload{{App: "line", Name: "web", Replicas: 1, Ports: []edge.Port{{Port: port, Target: 80}}}}}
	err = a.vacant(policy)
	for _, word := range []string{fmt.Sprintf("127.0.0.1:%d", port), "line/web", fmt.Sprintf("process %d", os.Getpid())} {
		if err == nil || !strings.Contains(err.Error(), word) || !errors.Is(err, edge.ErrExists) {
			t.Errorf("got %v, want %s in it", err, word)
		}
	}
	policy.Workloads[0].Replicas = 0
	if err := a.vacant(policy); err != nil {
		t.Errorf("got %v for what is not to run", err)
	}
	policy.Workloads[0].Replicas = 1
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.vacant(policy); err != nil {
		t.Errorf("got %v once it is free", err)
	}
}

// TestGovernor_PortTaken: such a policy is not kept, and the one before governs on.
func TestGovernor_PortTaken(t *testing.T) {
	r := newHallRig(t, 1)
	r.taken = edge.ErrExists
	report, err := r.Apply(t.Context(), r.policy(2, "digits"))
	if !errors.Is(err, edge.ErrExists) || report.Version != 1 {
		t.Errorf("got version %d, %v, want the first to stay", report.Version, err)
	}
	r.taken = nil
	if report, err := r.Apply(t.Context(), r.policy(2, "digits")); err != nil || report.Version != 2 {
		t.Errorf("got version %d, %v once the port is free", report.Version, err)
	}
}

func TestDoctor_Networks(t *testing.T) {
	lacking := edge.WithHint(errors.New("it is not there"), "get it")
	everything := wishes{networks: true, outward: true, ports: true}
	for name, test := range map[string]struct {
		got   host.Finding
		level host.Level
		words string
	}{
		"Plugins":          {examineNetworkPlugins(everything, nil), host.LevelOK, "bridge and host-local"},
		"PluginsMissing":   {examineNetworkPlugins(everything, lacking), host.LevelFail, "it is not there"},
		"PluginsUnneeded":  {examineNetworkPlugins(wishes{ports: true}, lacking), host.LevelOK, "no workload asks for it"},
		"Outward":          {examineOutward(everything, nil, []string{"192.0.2.53"}), host.LevelOK, "192.0.2.53"},
		"OutwardMissing":   {examineOutward(everything, lacking, nil), host.LevelFail, "it is not there"},
		"OutwardUnneeded":  {examineOutward(wishes{networks: true}, lacking, nil), host.LevelOK, "no workload asks for it"},
		"NoNames":          {examineOutward(everything, nil, nil), host.LevelWarn, "no server"},
		"NoNamesUnneeded":  {examineOutward(wishes{}, nil, nil), host.LevelOK, "no workload asks for it"},
		"RightsOfNobody":   {examineNetworkRights(everything, nil), host.LevelOK, "no agent"},
		"Rights":           {examineNetworkRights(everything, &edge.Status{PID: os.Getpid()}), host.LevelOK, "it may"},
		"RightsOfGone":     {examineNetworkRights(everything, &edge.Status{PID: 1<<22 + 1}), host.LevelOK, "cannot be seen"},
		"PortsOfNobody":    {examinePorts(0, nil, nil), host.LevelOK, "no agent"},
		"Ports":            {examinePorts(7, publishing(true), listens(7)), host.LevelOK, "1 are answered by process 7"},
		"PortsOfAnother":   {examinePorts(7, publishing(true), listens(8)), host.LevelFail, "127.0.0.1:8080 of line/web is taken by process 8 (nginx)"},
		"PortsWithoutUs":   {examinePorts(0, publishing(false), listens(8)), host.LevelFail, "is taken by"},
		"PortsUnanswered":  {examinePorts(0, publishing(true), listens(0)), host.LevelFail, "nobody listens at 127.0.0.1:8080"},
		"PortsNotRunning":  {examinePorts(0, publishing(false), listens(0)), host.LevelOK, "none"},
		"PortsByNobodySee": {examinePorts(7, publishing(true), func(string) (host.Listener, bool) { return host.Listener{}, true }), host.LevelFail, "cannot be seen"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.got.Level != test.level || !strings.Contains(test.got.Detail, test.words) || (test.got.Remedy == "") != (test.level == host.LevelOK) {
				t.Errorf("got %+v, want %s and %q", test.got, test.level, test.words)
			}
		})
	}
	if missing, err := missingRights(os.Getpid()); err != nil || len(missing) > 0 {
		t.Errorf("got %v, %v of root", missing, err)
	}
}

// publishing is a node whose one workload publishes a port.
func publishing(runs bool) *edge.Status {
	return &edge.Status{Workloads: []edge.WorkloadView{{
		Workload:  edge.Workload{App: "line", Name: "web", Ports: []edge.Port{{Port: 8080, Target: 80}}},
		Instances: []edge.InstanceView{{Instance: edge.Instance{Running: runs}}},
	}}}
}

// listens has one process at every port; 0: nobody.
func listens(pid int) func(string) (host.Listener, bool) {
	return func(string) (host.Listener, bool) { return host.Listener{PID: pid, Name: "nginx"}, pid != 0 }
}
