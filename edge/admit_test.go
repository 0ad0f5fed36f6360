package edge_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"holdfast/edge"
)

// governed is a policy that relaxes nothing, with one workload of tenant vision.
func governed() *edge.Policy {
	return &edge.Policy{
		Tenants: map[string]edge.TenantPolicy{"vision": {CPU: 1, Memory: 512 << 20}, "crew": {Instances: 3}, edge.DefaultTenant: {Memory: 128 << 20}},
		Limits: edge.LimitsPolicy{
			Default:        edge.InstanceLimits{CPUs: 0.5, Memory: 128 << 20, Pids: 64},
			DefaultRequest: edge.InstanceLimits{CPUs: 0.2, Memory: 64 << 20},
		},
		Workloads: []edge.Workload{asking(func(w *edge.Workload) { w.Name, w.Replicas = "other", 2 })},
	}
}

// asking is a workload that asks for nothing but what a change adds.
func asking(change func(*edge.Workload)) edge.Workload {
	w := edge.Workload{App: "line", Name: "digits", Image: "line.example/digits:1" + digest, Replicas: 1, Tenant: "vision", Restart: edge.RestartAlways}
	change(&w)
	return w
}

// TestPolicy_Admit holds every control against what violates it, against the one line
// that allows it, and against what needs none.
func TestPolicy_Admit(t *testing.T) {
	type policy = edge.Policy
	type workload = edge.Workload
	devices := func(host string) func(*workload) {
		return func(w *workload) { w.Devices = []edge.Device{{Host: host}} }
	}
	binds := func(source string) func(*workload) {
		return func(w *workload) { w.Binds = []edge.Bind{{Source: source, Target: "/data"}} }
	}
	capability := func(name string) func(*workload) {
		return func(w *workload) { w.Security.CapAdd = []string{name} }
	}
	ports := func(ports ...edge.Port) func(*workload) {
		return func(w *workload) { w.Ports = ports }
	}
	paths := func(listed ...string) func(*policy) {
		return func(p *policy) { p.Security.HostPaths = listed }
	}
	for name, test := range map[string]struct {
		asks  func(*workload)
		want  edge.Violation // Asked is looked for in it
		relax func(*policy)  // nil: nothing allows it
	}{
		"ImageByTag": {
			func(w *workload) { w.Image = "line.example/digits:1" },
			edge.Violation{Control: edge.ControlImages, Field: "image", Asked: "without a sha256 digest"}, nil,
		},
		"Privileged": {
			func(w *workload) { w.Security.Privileged = true },
			edge.Violation{Control: edge.ControlPrivileged, Field: "security.privileged", Asked: "privileged", Allow: "security.privileged: allow"},
			func(p *policy) { p.Security.Privileged = edge.Allow },
		},
		"PrivilegedWithCapability": {
			func(w *workload) { w.Security.Privileged, w.Security.CapAdd = true, []string{"CAP_SYS_ADMIN"} },
			edge.Violation{Control: edge.ControlPrivileged, Field: "security.privileged", Asked: "privileged", Allow: "security.privileged: allow"},
			func(p *policy) { p.Security.Privileged = edge.Allow },
		},
		"HostNetwork": {
			func(w *workload) { w.Security.HostNetwork = true },
			edge.Violation{Control: edge.ControlNamespaces, Field: "security.hostNetwork", Asked: "network", Allow: "security.hostNetwork: allow"},
			func(p *policy) { p.Security.HostNetwork = edge.Allow },
		},
		"Root": {
			func(w *workload) { w.Security.RunAsRoot, w.User = true, "root" },
			edge.Violation{Control: edge.ControlNonRoot, Field: "security.runAsRoot", Asked: "root", Allow: "security.runAsRoot: allow"},
			func(p *policy) { p.Security.RunAsRoot = edge.Allow },
		},
		"RootUnsaid": {
			func(w *workload) { w.User = "00:1" },
			edge.Violation{Control: edge.ControlNonRoot, Field: "user", Asked: "without runAsRoot"}, nil,
		},
		"Capability": {
			capability("CAP_NET_ADMIN"),
			edge.Violation{Control: edge.ControlCapabilities, Field: "security.capAdd[0]", Asked: "CAP_NET_ADMIN", Allow: "security.capabilities: [NET_ADMIN]"},
			func(p *policy) { p.Security.Capabilities = []string{"NET_ADMIN"} },
		},
		"CapabilityUnknown": {
			capability("ALL"),
			edge.Violation{Control: edge.ControlCapabilities, Field: "security.capAdd[0]", Asked: "ALL"}, nil,
		},
		"Bind": {
			binds("/srv/data"),
			edge.Violation{Control: edge.ControlHostPaths, Field: "binds[0].source", Asked: "/srv/data", Allow: "security.hostPaths: [/srv/data]"},
			paths("/srv/data"),
		},
		"BindBelow": {
			binds("/srv/data/a"),
			edge.Violation{Control: edge.ControlHostPaths, Field: "binds[0].source", Asked: "/srv/data/a", Allow: "security.hostPaths: [/srv/data/a]"},
			paths("/etc", "/srv/data"),
		},
		"Device": {
			devices("/dev/video0"),
			edge.Violation{Control: edge.ControlDevices, Field: "devices[0].host", Asked: "/dev/video0", Allow: "security.hostPaths: [/dev/video0]"},
			paths("/dev/video0"),
		},
		"HostPort": {
			ports(edge.Port{Host: "0.0.0.0", Port: 8080, Target: 80}),
			edge.Violation{Control: edge.ControlHostPorts, Field: "ports[0]", Asked: "0.0.0.0:8080", Allow: `security.hostPorts: ["0.0.0.0:8080"]`},
			func(p *policy) { p.Security.HostPorts = []string{"0.0.0.0:8080"} },
		},
		"HostPortAtOneOfAll": {
			ports(edge.Port{Port: 8081, Target: 80}, edge.Port{Host: "192.0.2.7", Port: 8080, Target: 80}),
			edge.Violation{Control: edge.ControlHostPorts, Field: "ports[1]", Asked: "192.0.2.7:8080", Allow: `security.hostPorts: ["192.0.2.7:8080"]`},
			func(p *policy) { p.Security.HostPorts = []string{"192.0.2.7:8081", "0.0.0.0:8080"} },
		},
		"Outward": {
			func(w *workload) { w.Networks, w.Outward = []string{"lan"}, []string{"lan"} },
			edge.Violation{Control: edge.ControlNetworks, Field: "outward[0]", Asked: "leads outside", Allow: "security.outward: allow"},
			func(p *policy) { p.Security.Outward = edge.Allow },
		},
		"Link": {
			func(w *workload) { w.Links = []string{"plant"} },
			edge.Violation{Control: edge.ControlNetworks, Field: "links[0]", Asked: "which apps share", Allow: "security.links: {plant: [line]}"},
			func(p *policy) { p.Security.Links = edge.Links{"plant": {"office", "line"}} },
		},
		"SecretOfNode": {
			func(w *workload) { w.Secrets = []edge.Secret{{Name: "db"}} },
			edge.Violation{Control: edge.ControlSecrets, Field: "secrets[0].name", Asked: "db", Allow: "security.secrets: [db]"},
			func(p *policy) { p.Security.Secrets = []string{"other", "db"} },
		},
		"SecretOfPolicy": {
			func(w *workload) { w.Secrets = []edge.Secret{{Name: "db"}} },
			edge.Violation{Control: edge.ControlSecrets, Field: "secrets[0].name", Asked: "db", Allow: "security.secrets: [db]"},
			func(p *policy) { p.Secrets = map[string]edge.SealedSecret{"db": {Sealed: "eA=="}} },
		},
		"TenantUnknown": {
			func(w *workload) { w.Tenant = "audio" },
			edge.Violation{Control: edge.ControlTenant, Field: "tenant", Asked: "audio", Allow: "tenants.audio"},
			func(p *policy) { p.Tenants["audio"] = edge.TenantPolicy{CPU: 1} },
		},
		"TenantMemory": {
			func(w *workload) { w.Limits.Memory = 300 << 20 },
			edge.Violation{Control: edge.ControlTenant, Field: "limits.memory", Asked: "556Mi", Allow: "tenants.vision.memory: 556Mi"},
			func(p *policy) { p.Tenants["vision"] = edge.TenantPolicy{Memory: 556 << 20} },
		},
		"TenantMemoryOfReplicas": {
			func(w *workload) { w.Replicas = 3 },
			edge.Violation{Control: edge.ControlTenant, Field: "limits.memory", Asked: "640Mi", Allow: "tenants.vision.memory: 640Mi"},
			func(p *policy) { p.Tenants["vision"] = edge.TenantPolicy{CPU: 1, Memory: 640 << 20} },
		},
		"TenantCPU": {
			func(w *workload) { w.Limits.CPUs, w.Request.CPUs = 1, 0.7 },
			edge.Violation{Control: edge.ControlTenant, Field: "limits.cpus", Asked: "1.1 cores", Allow: "tenants.vision.cpu: 1.1"},
			func(p *policy) { p.Tenants["vision"] = edge.TenantPolicy{CPU: 1.1} },
		},
		"TenantInstances": {
			func(w *workload) { w.Tenant, w.Replicas = "crew", 4 },
			edge.Violation{Control: edge.ControlTenant, Field: "replicas", Asked: "4 instances", Allow: "tenants.crew.instances: 4"},
			func(p *policy) { p.Tenants["crew"] = edge.TenantPolicy{Instances: 4} },
		},
		"TenantNeedsLimit": {
			func(w *workload) { w.Tenant = "" },
			edge.Violation{Control: edge.ControlLimits, Field: "limits.memory", Asked: "without a limit", Allow: "limits.default.memory"},
			func(p *policy) { p.Limits.Default.Memory = 64 << 20 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := governed()
			if test.want.Control == edge.ControlTenant && test.want.Field == "tenant" {
				delete(p.Tenants, edge.DefaultTenant)
			}
			if test.want.Control == edge.ControlLimits {
				p.Limits = edge.LimitsPolicy{}
			}
			w := asking(test.asks)
			got := p.Admit(w)
			if len(got) != 1 || got[0].Control != test.want.Control || got[0].Field != test.want.Field ||
				got[0].Allow != test.want.Allow || !strings.Contains(got[0].Asked, test.want.Asked) {
				t.Fatalf("got %q, want %+v", got, test.want)
			}
			if !errors.Is(got[0], edge.ErrInvalid) || !strings.Contains(got[0].Error(), string(test.want.Control)) {
				t.Errorf("got %v, want an error that names its control", got[0])
			}
			if test.relax == nil {
				return
			}
			if test.relax(p); len(p.Admit(w)) > 0 {
				t.Errorf("got %q though the policy allows it", p.Admit(w))
			}
		})
	}
	for name, asks := range map[string]func(*workload){
		"Nothing":         func(*workload) {},
		"Bind port":       capability("net_bind_service"),
		"Writable root":   func(w *workload) { w.Security.WritableRoot = true },
		"No instance":     func(w *workload) { w.Replicas, w.Limits.Memory = 0, 1<<40 },
		"Stands in":       func(w *workload) { w.Name, w.Replicas = "other", 4 },
		"Below a pattern": func(w *workload) { w.Image = "line.example:5000/a/digits" + digest },
	} {
		t.Run("Permitted"+name, func(t *testing.T) {
			p := governed()
			p.Security.Images.Allow = []string{"line.example/*", "line.example:5000/*/digits"}
			if got := p.Admit(asking(asks)); len(got) > 0 {
				t.Errorf("got %q, want nothing", got)
			}
		})
	}
	t.Run("ImageOutsidePattern", func(t *testing.T) {
		p := governed()
		p.Security.Images.Allow = []string{"other.example/*"}
		want := []edge.Violation{{edge.ControlImages, "image", `"line.example/digits:1@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1"…`, `security.images.allow: ["line.example/digits"]`}}
		got := p.Admit(asking(func(*workload) {}))
		if len(got) != 1 || got[0].Allow != want[0].Allow || got[0].Control != want[0].Control {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
	t.Run("AllAtOnce", func(t *testing.T) {
		w := asking(func(w *workload) {
			w.Security = edge.Security{Privileged: true, HostNetwork: true, RunAsRoot: true}
			binds("/etc")(w)
			devices("/dev/mem")(w)
		})
		if got := governed().Admit(w); len(got) != 5 {
			t.Errorf("got %q, want all five", got)
		}
	})
}

func TestPolicy_Fill(t *testing.T) {
	p := governed()
	t.Run("Empty", func(t *testing.T) {
		got := p.Fill(edge.Workload{})
		want := edge.Workload{
			Tenant: edge.DefaultTenant, Limits: edge.Limits{CPUs: 0.5, Memory: 128 << 20, Pids: 64},
			Request: edge.Request{CPUs: 0.2, Memory: 64 << 20},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if again := p.Fill(got); !reflect.DeepEqual(again, got) {
			t.Errorf("got %+v the second time, want %+v", again, got)
		}
	})
	t.Run("OwnWordsCount", func(t *testing.T) {
		own := edge.Workload{Tenant: "vision", Limits: edge.Limits{CPUs: 2, Memory: 1 << 30, Pids: 9}, Request: edge.Request{CPUs: 1, Memory: 1 << 29}}
		if got := p.Fill(own); !reflect.DeepEqual(got, own) {
			t.Errorf("got %+v, want %+v", got, own)
		}
	})
	t.Run("SetAsideWithinLimits", func(t *testing.T) {
		got := p.Fill(edge.Workload{Limits: edge.Limits{CPUs: 0.1, Memory: 1 << 20}}).Request
		if want := (edge.Request{CPUs: 0.1, Memory: 1 << 20}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
	t.Run("PolicyThatSaysNothing", func(t *testing.T) {
		w := sample()
		want := w
		want.Tenant = edge.DefaultTenant
		if got := (&edge.Policy{}).Fill(w); !reflect.DeepEqual(got, want) || got.SpecHash() != w.SpecHash() {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// TestPolicy_CheckWorkloads holds what a policy may not say of its own workloads.
func TestPolicy_CheckWorkloads(t *testing.T) {
	surface := `"security": {}, "restart": "always"`
	asks := func(text string) string { return `"security": ` + text + `, "restart": "always"` }
	given := func(text string) string { return surface + ", " + text }
	for name, test := range map[string]struct{ old, new, field string }{
		"Privileged":        {surface, asks(`{"privileged": true}`), "workloads[0].security.privileged"},
		"HostNetwork":       {surface, asks(`{"hostNetwork": true}`), "workloads[0].security.hostNetwork"},
		"Root":              {surface, asks(`{"runAsRoot": true}`), "workloads[0].security.runAsRoot"},
		"Capability":        {surface, asks(`{"capAdd": ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]}`), "workloads[0].security.capAdd[1]"},
		"Bind":              {surface, given(`"binds": [{"source": "/etc", "target": "/data"}]`), "workloads[0].binds[0].source"},
		"BindRelative":      {surface, given(`"binds": [{"source": "/dev/video0", "target": "data"}]`), "workloads[0].binds[0].target"},
		"BindOverKernel":    {surface, given(`"binds": [{"source": "/dev/video0", "target": "/proc/sys"}]`), "workloads[0].binds[0].target"},
		"Device":            {surface, given(`"devices": [{"host": "/dev/video1"}]`), "workloads[0].devices[0].host"},
		"DeviceUnclean":     {surface, given(`"devices": [{"host": "/dev/video0/../mem"}]`), "workloads[0].devices[0].host"},
		"DeviceElsewhere":   {surface, given(`"devices": [{"host": "/dev/video0", "path": "/video"}]`), "workloads[0].devices[0].path"},
		"DeviceAccess":      {surface, given(`"devices": [{"host": "/dev/video0", "access": "rr"}]`), "workloads[0].devices[0].access"},
		"RequestAboveLimit": {surface, given(`"request": {"memory": 134217729}`), "workloads[0].request.memory"},
		"TenantName":        {`"tenant": "vision", "limits"`, `"tenant": "a/b", "limits"`, "workloads[0].tenant"},
		"TenantTotal":       {`"memory": 134217728`, `"memory": 536870913`, "tenants.vision.memory"},
		"TenantTotalCPU":    {surface, given(`"request": {"cpus": 0.5}, "replicas": 4`), "tenants.vision.cpu"},
		"TenantInstances":   {`"instances": 3`, `"instances": -1`, "tenants.vision.instances"},
		"TenantReplicas":    {surface, given(`"request": {"cpus": 0.1}, "replicas": 4`), "tenants.vision.instances"},
		"IOWeight":          {surface, given(`"ioWeight": 9`), "workloads[0].ioWeight"},
		"CapabilityName":    {`["NET_ADMIN"]`, `["NET_ADMINS"]`, "security.capabilities[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(document, test.old, test.new, 1)
			if name == "TenantTotalCPU" || name == "TenantReplicas" {
				text = strings.Replace(text, `"replicas": 1, "entrypoint": null, "command": []`, `"entrypoint": null, "command": []`, 1)
			}
			_, err := edge.DecodePolicy([]byte(text))
			var problem *edge.FieldProblem
			if !errors.As(err, &problem) || problem.Field != test.field {
				t.Errorf("got %v, want a problem of %s", err, test.field)
			}
		})
	}
	t.Run("Permitted", func(t *testing.T) {
		text := strings.Replace(document, surface, asks(`{"capAdd": ["CAP_NET_ADMIN"]}`)+
			`, "devices": [{"host": "/dev/video0", "path": "/dev/camera", "access": "rw"}], "request": {"cpus": 0.1, "memory": 1024}`, 1)
		w := decode(t, text).Workloads[0]
		want := []edge.Device{{Host: "/dev/video0", Path: "/dev/camera", Access: "rw"}}
		if !reflect.DeepEqual(w.Devices, want) || w.Request.Memory != 1024 {
			t.Errorf("got %+v and %+v, want %+v", w.Devices, w.Request, want)
		}
	})
}

func TestSecurityPolicy_AllowsPath(t *testing.T) {
	for _, test := range []struct {
		listed, asked string
		want          bool
	}{
		{"/srv/data", "/srv/data", true},
		{"/srv/data", "/srv/data/a/b", true},
		{"/srv/data", "/srv/database", false},
		{"/srv/data", "/srv", false},
		{"/srv/data", "/srv/data/../secret", false},
		{"/srv/data", "srv/data", false},
		{"/srv/data", "", false},
		{"/", "/etc", true},
	} {
		if got := (edge.SecurityPolicy{HostPaths: []string{test.listed}}).AllowsPath(test.asked); got != test.want {
			t.Errorf("%q with %q listed: got %t, want %t", test.asked, test.listed, got, test.want)
		}
	}
	if (edge.SecurityPolicy{}).AllowsPath("/srv") {
		t.Error("a path is allowed where none is listed")
	}
}
