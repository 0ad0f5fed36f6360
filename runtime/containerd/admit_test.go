package containerd_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"holdfast/edge"
	"holdfast/runtime/containerd"
)

func specOf(t *testing.T, w edge.Workload) (*specs.Spec, containerd.Permit) {
	t.Helper()
	s, may, err := containerd.SpecOf(w, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, may
}

// TestAdmit holds every control of the Pod Security Standards, and ours, against a
// specification that passes and one that does not. Both begin from the hardened one.
func TestAdmit(t *testing.T) {
	bind := func(source string) specs.Mount {
		return specs.Mount{Destination: "/data", Type: "bind", Source: source, Options: []string{"bind", "ro"}}
	}
	without := func(kind specs.LinuxNamespaceType) func(*specs.Spec) {
		return func(s *specs.Spec) {
			s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
		}
	}
	label := func(text string) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Process.SelinuxLabel = text }
	}
	sysctl := func(name string) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{name: "1"} }
	}
	mount := func(m specs.Mount) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Mounts = append(s.Mounts, m) }
	}
	number := func(n int64) *int64 { return &n }
	type spec = specs.Spec
	for name, test := range map[string]struct {
		control    edge.Control
		pass, fail func(*spec)
	}{
		"HostProcess":     {edge.ControlHostProcess, nil, func(s *spec) { s.Windows = &specs.Windows{} }},
		"PIDs":            {edge.ControlNamespaces, nil, without(specs.PIDNamespace)},
		"IPC":             {edge.ControlNamespaces, nil, without(specs.IPCNamespace)},
		"UTS":             {edge.ControlNamespaces, nil, without(specs.UTSNamespace)},
		"Mounts":          {edge.ControlNamespaces, nil, without(specs.MountNamespace)},
		"Network":         {edge.ControlNamespaces, nil, without(specs.NetworkNamespace)},
		"JoinedNamespace": {edge.ControlNamespaces, nil, func(s *spec) { s.Linux.Namespaces[0].Path = "/proc/1/ns/pid" }},
		"NoProcess":       {edge.ControlNamespaces, nil, func(s *spec) { s.Process = nil }},
		"WritableSys":     {edge.ControlPrivileged, nil, mount(specs.Mount{Destination: "/sys", Type: "sysfs"})},
		"BoundingSet":     {edge.ControlCapabilities, func(s *spec) { s.Process.Capabilities.Bounding = nil }, func(s *spec) { s.Process.Capabilities.Bounding = []string{"CAP_NET_RAW"} }},
		"EffectiveSet":    {edge.ControlCapabilities, nil, func(s *spec) { s.Process.Capabilities.Effective = []string{"CAP_SYS_ADMIN"} }},
		"PermittedSet":    {edge.ControlCapabilities, nil, func(s *spec) { s.Process.Capabilities.Permitted = []string{"CAP_SYS_ADMIN"} }},
		"InheritableSet":  {edge.ControlCapabilities, nil, func(s *spec) { s.Process.Capabilities.Inheritable = []string{"CAP_SYS_ADMIN"} }},
		"AmbientSet":      {edge.ControlCapabilities, nil, func(s *spec) { s.Process.Capabilities.Ambient = []string{"CAP_SYS_ADMIN"} }},
		"HostPath":        {edge.ControlHostPaths, nil, mount(bind("/etc"))},
		"HostPathUntyped": {edge.ControlHostPaths, nil, mount(specs.Mount{Destination: "/d", Source: "/etc", Options: []string{"rbind"}})},
		"HostPorts":       {edge.ControlHostPorts, nil, func(s *spec) { s.Hooks = &specs.Hooks{} }},
		"AppArmor":        {edge.ControlAppArmor, func(s *spec) { s.Process.ApparmorProfile = "runtime/default" }, func(s *spec) { s.Process.ApparmorProfile = "unconfined" }},
		"SELinux":         {edge.ControlSELinux, label("system_u:system_r:container_t:s0:c1,c2"), label("system_u:system_r:spc_t:s0")},
		"SELinuxShort":    {edge.ControlSELinux, label(""), label("container_t")},
		"ProcMasked":      {edge.ControlProcMount, func(s *spec) { s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/proc/more") }, func(s *spec) { s.Linux.MaskedPaths = s.Linux.MaskedPaths[1:] }},
		"ProcReadOnly":    {edge.ControlProcMount, nil, func(s *spec) { s.Linux.ReadonlyPaths = nil }},
		"Seccomp":         {edge.ControlSeccomp, func(s *spec) { s.Linux.Seccomp.DefaultAction = specs.ActKillProcess }, func(s *spec) { s.Linux.Seccomp = nil }},
		"SeccompAllows":   {edge.ControlSeccomp, nil, func(s *spec) { s.Linux.Seccomp.DefaultAction = specs.ActAllow }},
		"SeccompLogs":     {edge.ControlSeccomp, nil, func(s *spec) { s.Linux.Seccomp.DefaultAction = specs.ActLog }},
		"Sysctls":         {edge.ControlSysctls, sysctl("net.ipv4.tcp_syncookies"), sysctl("kernel.core_pattern")},
		"VolumeType":      {edge.ControlVolumes, mount(specs.Mount{Destination: "/scratch", Type: "tmpfs"}), mount(specs.Mount{Destination: "/data", Type: "ext4", Source: "/dev/sda1"})},
		"ProcElsewhere":   {edge.ControlVolumes, nil, mount(specs.Mount{Destination: "/host/proc", Type: "proc"})},
		"Cgroups":         {edge.ControlVolumes, nil, mount(specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Options: []string{"ro"}})},
		"Escalation":      {edge.ControlEscalation, nil, func(s *spec) { s.Process.NoNewPrivileges = false }},
		"Root":            {edge.ControlNonRoot, func(s *spec) { s.Process.User.UID = 1 }, func(s *spec) { s.Process.User.UID = 0 }},
		"DeviceNode": {edge.ControlDevices, nil, func(s *spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/mem", Type: "c", Major: 1, Minor: 1}}
		}},
		"DeviceRule": {edge.ControlDevices, nil, func(s *spec) {
			s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: number(1), Minor: number(1), Access: "r"})
		}},
		"MemoryLimit":  {edge.ControlLimits, nil, func(s *spec) { s.Linux.Resources.Memory = nil }},
		"SwapLimit":    {edge.ControlLimits, nil, func(s *spec) { s.Linux.Resources.Memory.Swap = number(-1) }},
		"CPULimit":     {edge.ControlLimits, nil, func(s *spec) { s.Linux.Resources.CPU.Quota = nil }},
		"ProcessLimit": {edge.ControlLimits, nil, func(s *spec) { s.Linux.Resources.Pids.Limit = number(0) }},
	} {
		t.Run(name, func(t *testing.T) {
			s, may := specOf(t, behave("sleep"))
			if test.pass != nil {
				test.pass(s)
			}
			if got := containerd.Admit(s, may); len(got) > 0 {
				t.Fatalf("got %q for what passes", got)
			}
			test.fail(s)
			got := containerd.Admit(s, may)
			if len(got) == 0 || slices.ContainsFunc(got, func(v edge.Violation) bool { return v.Control != test.control }) {
				t.Errorf("got %q, want violations of %s alone", got, test.control)
			}
		})
	}
	t.Run("AllAtOnce", func(t *testing.T) {
		// What root gets from containerd by default, but for what it needs to be looked at.
		s, may := specOf(t, behave("sleep"))
		s.Process.User.UID, s.Process.NoNewPrivileges, s.Linux.Seccomp = 0, false, nil
		s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Access: "rwm"})
		want := []edge.Control{edge.ControlPrivileged, edge.ControlSeccomp, edge.ControlEscalation, edge.ControlNonRoot, edge.ControlDevices}
		var got []edge.Control
		for _, violation := range containerd.Admit(s, may) {
			got = append(got, violation.Control)
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// relaxations ask for all a policy can permit, one by one. The files and devices are
// there on every Linux.
func relaxations() map[string]func(*edge.Workload) {
	return map[string]func(*edge.Workload){
		"Nothing":     func(*edge.Workload) {},
		"Model":       func(w *edge.Workload) { w.Serve = &edge.Serve{Model: "m", Endpoint: "unix:///run/model/model.sock"} },
		"Capability":  func(w *edge.Workload) { w.Security.CapAdd = []string{"CAP_NET_ADMIN"} },
		"Root":        func(w *edge.Workload) { w.Security.RunAsRoot = true },
		"HostNetwork": func(w *edge.Workload) { w.Security.HostNetwork = true },
		"Bind":        func(w *edge.Workload) { w.Binds = []edge.Bind{{Source: "/etc", Target: "/host", ReadOnly: true}} },
		"Device": func(w *edge.Workload) {
			w.Devices = []edge.Device{{Host: "/dev/null", Path: "/dev/nothing", Access: "rw"}}
		},
		"Privileged": func(w *edge.Workload) { w.Security.Privileged = true },
	}
}

// TestAdmit_Permitted: what a workload may have passes for it, and for no other.
func TestAdmit_Permitted(t *testing.T) {
	_, plain := specOf(t, behave("sleep"))
	for name, relax := range relaxations() {
		t.Run(name, func(t *testing.T) {
			w := behave("sleep")
			relax(&w)
			s, may := specOf(t, w)
			if got := containerd.Admit(s, may); len(got) > 0 {
				t.Errorf("got %q for what is permitted", got)
			}
			if got := containerd.Admit(s, plain); (len(got) == 0) != (name == "Nothing") {
				t.Errorf("got %q for what is not permitted", got)
			}
		})
	}
	t.Run("ReadOnlyMadeWritable", func(t *testing.T) {
		w := behave("sleep")
		relaxations()["Bind"](&w)
		s, may := specOf(t, w)
		at := slices.IndexFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/host" })
		s.Mounts[at].Options = []string{"bind"}
		if got := containerd.Admit(s, may); len(got) != 1 || got[0].Control != edge.ControlHostPaths {
			t.Errorf("got %q, want the mount found out", got)
		}
	})
	t.Run("SetAside", func(t *testing.T) {
		w := behave("sleep")
		w.Request = edge.Request{CPUs: 0.5, Memory: 1 << 40}
		s, _ := specOf(t, w)
		if got := *s.Linux.Resources.CPU.Shares; got != 512 {
			t.Errorf("got %d shares, want 512", got)
		}
		if got, most := *s.Linux.Resources.Memory.Reservation, *s.Linux.Resources.Memory.Limit; got != most {
			t.Errorf("got %d bytes set aside, want the limit, %d", got, most)
		}
	})
}

// TestLend holds links of the host against the policy's list.
func TestLend(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"listed", "secret"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	listed := filepath.Join(dir, "listed")
	for name, target := range map[string]string{"out": "../secret", "in": "sub", "device": "/dev/null", "nowhere": "none"} {
		if err := os.Symlink(target, filepath.Join(listed, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(listed, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	policy := &edge.Policy{Security: edge.SecurityPolicy{HostPaths: []string{listed}}}
	bound := func(source string) edge.Workload {
		w := behave("sleep")
		w.Binds = []edge.Bind{{Source: source, Target: "/data"}}
		return w
	}
	for name, test := range map[string]struct {
		source string
		want   string // where the mount comes from, empty for a refusal
	}{
		"Itself":      {listed, listed},
		"Below":       {listed + "/sub", listed + "/sub"},
		"LinkInside":  {listed + "/in", listed + "/sub"},
		"LinkLeadOut": {listed + "/out", ""},
		"LinkBelow":   {listed + "/out/../secret", ""},
		"Dangling":    {listed + "/nowhere", ""},
		"Missing":     {listed + "/none", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, _, err := containerd.SpecOf(bound(test.source), policy)
			if (err == nil) != (test.want != "") {
				t.Fatalf("got %v", err)
			}
			if err != nil {
				return
			}
			at := slices.IndexFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == "/data" })
			if got := s.Mounts[at].Source; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	t.Run("SaysWhere", func(t *testing.T) {
		_, _, err := containerd.SpecOf(bound(listed+"/out"), policy)
		var violation edge.Violation
		if want := "security.hostPaths: [" + dir + "/secret]"; !errors.As(err, &violation) || violation.Allow != want {
			t.Errorf("got %v, want to hear of %q", err, want)
		}
	})
	t.Run("WithoutPolicyLinksLeadAnywhere", func(t *testing.T) {
		if _, _, err := containerd.SpecOf(bound(listed+"/out"), nil); err != nil {
			t.Errorf("got %v", err)
		}
	})
	t.Run("DeviceLinkLeadsOut", func(t *testing.T) {
		w := behave("sleep")
		w.Devices = []edge.Device{{Host: listed + "/device", Path: "/dev/x"}}
		var violation edge.Violation
		if _, _, err := containerd.SpecOf(w, policy); !errors.As(err, &violation) || violation.Control != edge.ControlDevices {
			t.Errorf("got %v, want the link found out", err)
		}
	})
	for name, change := range map[string]func(*edge.Workload){
		"NoDevice": func(w *edge.Workload) { w.Devices = []edge.Device{{Host: "/etc/passwd", Path: "/dev/x"}} },
		"OverProc": func(w *edge.Workload) { w.Binds = []edge.Bind{{Source: "/etc", Target: "/proc/sys"}} },
		"OverRoot": func(w *edge.Workload) { w.Binds = []edge.Bind{{Source: "/etc", Target: "/"}} },
		"TwiceAtOnce": func(w *edge.Workload) {
			w.Binds = []edge.Bind{{Source: "/etc", Target: "/a"}, {Source: "/usr", Target: "/a"}}
		},
		"Relative":      func(w *edge.Workload) { w.Binds = []edge.Bind{{Source: "etc", Target: "/a"}} },
		"AccessUnknown": func(w *edge.Workload) { w.Devices = []edge.Device{{Host: "/dev/null", Access: "x"}} },
	} {
		t.Run(name, func(t *testing.T) {
			w := behave("sleep")
			change(&w)
			if _, _, err := containerd.SpecOf(w, nil); !errors.Is(err, edge.ErrInvalid) {
				t.Errorf("got %v, want %v", err, edge.ErrInvalid)
			}
		})
	}
}

// TestDriver_Lends starts what a policy permits on the real daemon.
func TestDriver_Lends(t *testing.T) {
	n := newNode(t)
	output := func(t *testing.T, w edge.Workload) string {
		t.Helper()
		var out strings.Builder
		if _, err := n.RunOnce(t.Context(), w, "once", &out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	t.Run("Device", func(t *testing.T) {
		w := behave("write", "/dev/thing", "/dev/fuse")
		if got, want := output(t, w), "/dev/thing false\n/dev/fuse false\n"; got != want {
			t.Errorf("got %q by default, want %q", got, want)
		}
		w.Devices = []edge.Device{{Host: "/dev/null", Path: "/dev/thing"}, {Host: "/dev/kmsg", Path: "/dev/fuse", Access: "r"}}
		if got, want := output(t, w), "/dev/thing true\n/dev/fuse false\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("Bind", func(t *testing.T) {
		dir := t.TempDir()
		if err := errors.Join(os.Chmod(dir, 0o777), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
			t.Fatal(err)
		}
		w := behave("write", "/data/new", "/also/new")
		w.Binds = []edge.Bind{{Source: dir, Target: "/data", ReadOnly: true}}
		if got, want := output(t, w), "/data/new false\n/also/new false\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		w.Security.RunAsRoot = true // nor can root, who may write anywhere
		if got, want := output(t, w), "/data/new false\n/also/new false\n"; got != want {
			t.Errorf("got %q as root, want %q", got, want)
		}
		w.Security.RunAsRoot = false
		w.Binds[0].ReadOnly = false
		if got, want := output(t, w), "/data/new true\n/also/new false\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "new")); string(text) != "x" || err != nil {
			t.Errorf("got %q, %v on the host", text, err)
		}
	})
	t.Run("HostNetwork", func(t *testing.T) {
		ours, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		for id, host := range map[string]bool{"apart": false, "joined": true} {
			w := behave("sleep")
			w.Security.HostNetwork = host
			instance := n.start(t, w, id)
			theirs, err := os.Readlink("/proc/" + pid(instance) + "/ns/net")
			if err != nil || (theirs == ours) != host {
				t.Errorf("%s: got %q, %v beside the host's %q", id, theirs, err, ours)
			}
		}
	})
	t.Run("Privileged", func(t *testing.T) {
		w := behave("sleep")
		w.Security = edge.Security{Privileged: true, RunAsRoot: true}
		instance := n.start(t, w, "mighty")
		bounding := status(t, 1)["CapBnd"] // of the machine's first process
		expect(t, status(t, instance.PID), map[string]string{"Uid": "0 0 0 0", "CapEff": bounding, "CapBnd": bounding, "NoNewPrivs": "0", "Seccomp": "0"})
		if _, err := os.Stat("/proc/" + pid(instance) + "/root/dev/kmsg"); err != nil {
			t.Errorf("the host's devices are not there: %v", err)
		}
	})
}

// TestVerifyBinds: what is inside is found by what it is, not by how it is called, so
// that a link put in the place of a source between two looks is found out.
func TestVerifyBinds(t *testing.T) {
	n := newNode(t)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	source, secret := filepath.Join(dir, "a b"), filepath.Join(dir, "secret")
	if err := errors.Join(os.Mkdir(source, 0o755), os.Mkdir(secret, 0o755)); err != nil {
		t.Fatal(err)
	}
	w := behave("sleep")
	w.Binds = []edge.Bind{{Source: source, Target: "/data"}}
	instance := n.start(t, w, "bound")
	mount := func(source string) []specs.Mount { return []specs.Mount{{Source: source, Destination: "/data"}} }
	if err := containerd.VerifyBinds(instance.PID, mount(source)); err != nil {
		t.Errorf("got %v for what was given", err)
	}
	if err := containerd.VerifyBinds(instance.PID, mount(secret)); err == nil || !strings.Contains(err.Error(), "/data") {
		t.Errorf("got %v for another folder, want it found out", err)
	}
	twice := append(mount(source), specs.Mount{Source: source, Destination: "/again"})
	if err := containerd.VerifyBinds(instance.PID, twice); err == nil || !strings.Contains(err.Error(), "/again") || errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("got %v where only one of two mounts is honest, want the other found out and the start failed", err)
	}
	if err := errors.Join(os.Remove(source), os.Symlink("secret", source)); err != nil {
		t.Fatal(err)
	}
	if err := containerd.VerifyBinds(instance.PID, mount(secret)); err == nil {
		t.Error("a folder that took the place of another passes")
	}
	const noProcess = 1 << 30 // above the kernel's highest pid
	if err := containerd.VerifyBinds(noProcess, mount(source)); err != nil {
		t.Errorf("got %v for a process that has ended", err)
	}
	t.Run("Places", func(t *testing.T) {
		const text = "1 0 8:1 / / rw - ext4 x rw\n2 1 0:5 /sub\\040x /srv rw - btrfs x rw\n3 2 0:6 / /srv/deep rw - tmpfs x rw\n" +
			"4 1 8:1 /var/hosts /etc/hosts rw - ext4 x rw\n5 1 0:7 / /srv/deep rw - tmpfs x rw\nodd\n"
		for name, want := range map[string][2]string{
			"/":             {"8:1", "/"},
			"/etc/hosts":    {"8:1", "/var/hosts"},
			"/etc/hosts2":   {"8:1", "/etc/hosts2"},
			"/srv/data":     {"0:5", "/sub x/data"},
			"/srv":          {"0:5", "/sub x"},
			"/srvs":         {"8:1", "/srvs"},
			"/srv/deep/a/b": {"0:7", "/a/b"},
		} {
			if device, path := containerd.PlaceOf(name, text); [2]string{device, path} != want {
				t.Errorf("%s: got %s on %s, want %q", name, path, device, want)
			}
		}
	})
	t.Run("Confined", func(t *testing.T) {
		w := behave("sleep")
		w.Binds = []edge.Bind{{Source: secret, Target: "/data", ReadOnly: true}}
		w.Devices = []edge.Device{{Host: "/dev/null", Path: "/dev/thing"}}
		w.Security = edge.Security{HostNetwork: true}
		if complaint := (errand{Node: n.place(), Workload: w, ID: "confined"}).send(t); complaint != "" {
			t.Error(complaint)
		}
	})
}

// TestDriver_Policy: the policy in force is asked before each start.
func TestDriver_Policy(t *testing.T) {
	n := newNode(t)
	policy := &edge.Policy{}
	n.opts.Policy = func() *edge.Policy { return policy }
	driver := n.again(t)
	pinned, _, _ := strings.Cut(imageName, ":")
	images, err := driver.Images(t.Context())
	if err != nil || len(images) == 0 {
		t.Fatalf("got %v, %v", images, err)
	}
	name := pinned + "@" + images[0].Digest
	for title, relax := range relaxations() {
		t.Run(title, func(t *testing.T) {
			w := behave("sleep")
			w.Image = name
			relax(&w)
			_, err := driver.Start(t.Context(), w, "refused")
			refused := title != "Nothing" && title != "Model"
			var violation edge.Violation
			if errors.As(err, &violation) != refused || !refused && err != nil {
				t.Errorf("got %v", err)
			}
			if refused {
				if left := n.leavings(t.Context()); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
				return
			}
			if err := driver.Remove(t.Context(), "refused"); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("FollowsTheOneInForce", func(t *testing.T) {
		w := behave("sleep")
		w.Image = name
		w.Security.HostNetwork = true
		policy = &edge.Policy{Security: edge.SecurityPolicy{HostNetwork: edge.Allow}}
		if _, err := driver.Start(t.Context(), w, "admitted"); err != nil {
			t.Errorf("got %v", err)
		}
		policy = nil
		w.Security.Privileged = true
		if _, err := driver.Start(t.Context(), w, "ungoverned"); err != nil {
			t.Errorf("got %v without a policy", err)
		}
	})
	t.Run("AllNamed", func(t *testing.T) {
		policy = &edge.Policy{}
		w := behave("sleep")
		w.Image = name
		w.Security = edge.Security{HostNetwork: true, Privileged: true}
		_, err := driver.Start(t.Context(), w, "refused")
		if err == nil || !strings.Contains(err.Error(), "security.hostNetwork: allow") || !strings.Contains(err.Error(), "security.privileged: allow") {
			t.Errorf("got %v, want both named with the lines that allow them", err)
		}
	})
}

// FuzzAdmit: no specification, however odd, stops the look at it.
func FuzzAdmit(f *testing.F) {
	s, may, err := containerd.SpecOf(behave("sleep"), nil)
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"process":{"capabilities":{}},"linux":{"resources":{"cpu":{},"memory":{},"pids":{}},"seccomp":{}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s specs.Spec
		if json.Unmarshal(text, &s) != nil {
			return
		}
		if got := containerd.Admit(&s, may); len(got) == 0 && (s.Process == nil || s.Process.User.UID == 0 || !s.Process.NoNewPrivileges) {
			t.Error("an open specification passes")
		}
	})
}

func pid(instance edge.Instance) string { return strconv.Itoa(int(instance.PID)) }
