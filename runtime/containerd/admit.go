package containerd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"holdfast/edge"
)

// permit is what a specification may have beyond the hardened default: what its
// workload says, which a policy admitted before.
type permit struct {
	privileged, hostNetwork, root bool

	capabilities []string
	mounts       []specs.Mount // of the host
	devices      []specs.LinuxDevice
	rules        []specs.LinuxDeviceCgroup
}

func (p plan) permit() permit {
	s := p.workload.Security
	may := permit{
		privileged: s.Privileged, hostNetwork: s.HostNetwork, root: s.RunAsRoot,
		capabilities: p.caps, mounts: p.given.mounts, devices: p.given.devices, rules: p.given.rules,
	}
	if p.endpoint != "" {
		may.mounts = append(slices.Clone(may.mounts), specs.Mount{Source: p.shared})
	}
	for _, t := range p.trays {
		may.mounts = append(slices.Clone(may.mounts), t.mount())
	}
	return may
}

// finding is a place in a specification that a control does not let pass.
type finding struct{ field, what string }

// admit is the last look at what is handed to the runtime, whatever wrote it: this
// package, containerd's default, or a later version of either.
func admit(s *specs.Spec, may permit) []edge.Violation {
	if s.Process == nil || s.Linux == nil || s.Linux.Resources == nil || s.Process.Capabilities == nil {
		return []edge.Violation{{Control: edge.ControlNamespaces, Field: "spec", Asked: "a specification without a process, its capabilities, Linux or resources"}}
	}
	var violations []edge.Violation
	for _, row := range controls() {
		for _, found := range row.find(s, may) {
			violations = append(violations, edge.Violation{Control: row.control, Field: found.field, Asked: found.what})
		}
	}
	return violations
}

type controlRow struct {
	control edge.Control
	find    func(*specs.Spec, permit) []finding
}

// controls is every row of the Pod Security Standards, restricted over baseline, with
// what it means for a specification, and after it what is ours.
func controls() []controlRow {
	return []controlRow{
		{edge.ControlHostProcess, func(s *specs.Spec, _ permit) []finding {
			return unless(s.Windows == nil && s.VM == nil, "windows", "another kind of host")
		}},
		{edge.ControlNamespaces, hostNamespaces},
		{edge.ControlPrivileged, privileges},
		{edge.ControlCapabilities, excessCapabilities},
		{edge.ControlHostPaths, hostMounts},
		// A port of the host can only be had by its network, which is another row, or by
		// a program that the runtime runs on the host.
		{edge.ControlHostPorts, func(s *specs.Spec, _ permit) []finding {
			return unless(s.Hooks == nil, "hooks", "a program on the host")
		}},
		{edge.ControlAppArmor, func(s *specs.Spec, _ permit) []finding {
			return unless(s.Process.ApparmorProfile != "unconfined", "process.apparmorProfile", s.Process.ApparmorProfile)
		}},
		{edge.ControlSELinux, func(s *specs.Spec, _ permit) []finding {
			return unless(isContainerLabel(s.Process.SelinuxLabel), "process.selinuxLabel", s.Process.SelinuxLabel)
		}},
		{edge.ControlProcMount, openPaths},
		{edge.ControlSeccomp, func(s *specs.Spec, may permit) []finding {
			filter := s.Linux.Seccomp
			return unless(may.privileged || filter != nil && isRefusal(filter.DefaultAction), "linux.seccomp", "no filter that refuses what it does not know")
		}},
		{edge.ControlSysctls, openSysctls},
		{edge.ControlVolumes, strangeMounts},
		{edge.ControlEscalation, func(s *specs.Spec, may permit) []finding {
			return unless(s.Process.NoNewPrivileges || may.privileged, "process.noNewPrivileges", "new privileges")
		}},
		{edge.ControlNonRoot, func(s *specs.Spec, may permit) []finding {
			return unless(s.Process.User.UID != 0 || may.root, "process.user.uid", "user 0")
		}},
		{edge.ControlDevices, excessDevices},
		{edge.ControlLimits, missingLimits},
	}
}

func unless(ok bool, field, what string) []finding {
	if ok {
		return nil
	}
	return []finding{{field, what}}
}

// hostNamespaces wants a new namespace of every kind that shows the host.
func hostNamespaces(s *specs.Spec, may permit) (found []finding) {
	wanted := []specs.LinuxNamespaceType{specs.PIDNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.MountNamespace, specs.NetworkNamespace}
	for _, kind := range wanted {
		at := slices.IndexFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
		own := at >= 0 && s.Linux.Namespaces[at].Path == ""
		if !own && (kind != specs.NetworkNamespace || !may.hostNetwork) {
			found = append(found, finding{"linux.namespaces", "the host's " + string(kind) + " namespace"})
		}
	}
	return found
}

// privileges are what a container has only if all of the host is open to it.
func privileges(s *specs.Spec, may permit) (found []finding) {
	if may.privileged {
		return nil
	}
	for i, rule := range s.Linux.Resources.Devices {
		if rule.Allow && (rule.Major == nil || rule.Minor == nil) {
			found = append(found, finding{fmt.Sprintf("linux.resources.devices[%d]", i), "a whole kind of devices"})
		}
	}
	for _, m := range s.Mounts {
		if (m.Type == "sysfs" || strings.HasPrefix(m.Type, "cgroup")) && !slices.Contains(m.Options, "ro") {
			found = append(found, finding{"mounts " + m.Destination, "a kernel's file system that can be written"})
		}
	}
	return found
}

func excessCapabilities(s *specs.Spec, may permit) (found []finding) {
	sets := s.Process.Capabilities
	for i, set := range [][]string{sets.Bounding, sets.Effective, sets.Permitted, sets.Inheritable, sets.Ambient} {
		for _, name := range set {
			if !slices.Contains(may.capabilities, name) {
				set := [...]string{"bounding", "effective", "permitted", "inheritable", "ambient"}[i]
				found = append(found, finding{"process.capabilities." + set, name})
			}
		}
	}
	return found
}

// openPaths wants what shows or changes the host out of reach, and /proc to be a new
// one. The lists are what every runtime hides by default; there may be more.
func openPaths(s *specs.Spec, may permit) (found []finding) {
	if may.privileged {
		return nil
	}
	for _, name := range []string{"/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"} {
		found = append(found, unless(slices.Contains(s.Linux.MaskedPaths, name), "linux.maskedPaths", name+" in sight")...)
	}
	for _, name := range []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"} {
		found = append(found, unless(slices.Contains(s.Linux.ReadonlyPaths, name), "linux.readonlyPaths", name+" to be written")...)
	}
	return found
}

// openSysctls wants none but those that concern the container alone.
func openSysctls(s *specs.Spec, _ permit) (found []finding) {
	safe := []string{
		"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
		"net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
		"net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
	}
	for name := range s.Linux.Sysctl {
		found = append(found, unless(slices.Contains(safe, name), "linux.sysctl", name)...)
	}
	return found
}

// isRefusal tells whether a filter's default keeps a call from happening.
func isRefusal(action specs.LinuxSeccompAction) bool {
	return action == specs.ActErrno || action == specs.ActKill || action == specs.ActKillProcess || action == specs.ActKillThread
}

// isContainerLabel tells whether an SELinux label is of a type that confines.
func isContainerLabel(label string) bool {
	fields := strings.Split(label, ":")
	return label == "" || len(fields) >= 3 &&
		slices.Contains([]string{"container_t", "container_init_t", "container_kvm_t", "container_engine_t"}, fields[2])
}
