package containerd

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// hostMounts wants every mount of the host to be one that was given, and read-only if
// it was given so.
func hostMounts(s *specs.Spec, may permit) (found []finding) {
	for _, m := range s.Mounts {
		if isBind(m) && !slices.ContainsFunc(may.mounts, func(given specs.Mount) bool { return covers(given, m) }) {
			found = append(found, finding{"mounts " + m.Destination, "the host's " + m.Source})
		}
	}
	return found
}

// covers tells whether a mount is one that was given. The folder of an endpoint is
// given without saying where.
func covers(given, m specs.Mount) bool {
	return given.Source == m.Source && (given.Destination == "" || given.Destination == m.Destination) &&
		(!slices.Contains(given.Options, "ro") || slices.Contains(m.Options, "ro"))
}

func isBind(m specs.Mount) bool {
	return m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
}

// strangeMounts wants nothing but the file systems the kernel makes for a container,
// where they belong, beside what the host gives.
func strangeMounts(s *specs.Spec, _ permit) (found []finding) {
	home := map[string]string{"proc": "/proc", "sysfs": "/sys", "devpts": "/dev/pts", "mqueue": "/dev/mqueue"}
	for _, m := range s.Mounts {
		place, known := home[m.Type]
		if !isBind(m) && m.Type != "tmpfs" && (!known || place != m.Destination) {
			found = append(found, finding{"mounts " + m.Destination, "a mount of type " + m.Type})
		}
	}
	return found
}

// excessDevices wants no device but those that were given.
func excessDevices(s *specs.Spec, may permit) (found []finding) {
	for _, device := range s.Linux.Devices {
		same := func(given specs.LinuxDevice) bool {
			return given.Path == device.Path && given.Type == device.Type && given.Major == device.Major && given.Minor == device.Minor
		}
		if !slices.ContainsFunc(may.devices, same) {
			found = append(found, finding{"linux.devices", device.Path})
		}
	}
	for _, rule := range s.Linux.Resources.Devices {
		if rule.Allow && !slices.ContainsFunc(may.rules, func(given specs.LinuxDeviceCgroup) bool { return sameRule(given, rule) }) {
			found = append(found, finding{"linux.resources.devices", "devices of type " + rule.Type + " by rule"})
		}
	}
	return found
}

func sameRule(a, b specs.LinuxDeviceCgroup) bool {
	return a.Type == b.Type && a.Access == b.Access && sameNumber(a.Major, b.Major) && sameNumber(a.Minor, b.Minor)
}

func sameNumber(a, b *int64) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

// missingLimits wants every quantity bounded that a container could take from others.
func missingLimits(s *specs.Spec, _ permit) (found []finding) {
	r := s.Linux.Resources
	memory := r.Memory != nil && r.Memory.Limit != nil && *r.Memory.Limit > 0 && r.Memory.Swap != nil && *r.Memory.Swap == *r.Memory.Limit
	found = append(found, unless(memory, "linux.resources.memory", "memory or swap without a limit")...)
	found = append(found, unless(r.CPU != nil && r.CPU.Quota != nil && *r.CPU.Quota > 0, "linux.resources.cpu", "CPU without a limit")...)
	return append(found, unless(r.Pids != nil && r.Pids.Limit != nil && *r.Pids.Limit > 0, "linux.resources.pids", "processes without a limit")...)
}
