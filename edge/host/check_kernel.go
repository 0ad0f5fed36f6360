package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// oldestKernel is that of Debian 10, the oldest whose cgroups and seccomp filters
// today's runc is tested on.
var oldestKernel = [2]int{4, 19}

func checkKernel(o CheckOptions) Finding {
	release, err := line(o.Root + "/proc/sys/kernel/osrelease")
	if err != nil {
		return finding("kernel", LevelFail, "kernel", err.Error(), "mount /proc")
	}
	var version [2]int
	if _, err := fmt.Sscanf(release, "%d.%d", &version[0], &version[1]); err != nil {
		return finding("kernel", LevelWarn, release, "the release is no version", "check that it is at least 4.19")
	}
	if slices.Compare(version[:], oldestKernel[:]) < 0 {
		return finding("kernel", LevelFail, release, "is older than 4.19", "install a newer kernel")
	}
	return finding("kernel", LevelOK, release, "is at least 4.19", "")
}

// checkSeccomp asks for filters, which every instance runs under.
func checkSeccomp(o CheckOptions) Finding {
	actions, err := line(o.Root + "/proc/sys/kernel/seccomp/actions_avail")
	if err != nil || !slices.Contains(strings.Fields(actions), "errno") {
		return finding("seccomp", LevelFail, "seccomp", "the kernel has no seccomp filters",
			"use a kernel built with CONFIG_SECCOMP_FILTER")
	}
	return finding("seccomp", LevelOK, "seccomp", "filters are available", "")
}

// checkOverlay looks for overlayfs in use, built in, or as a module that can be
// loaded.
func checkOverlay(o CheckOptions) Finding {
	const code, subject = "overlayfs", "overlayfs"
	known, err := os.ReadFile(o.Root + "/proc/filesystems")
	if err == nil && slices.Contains(strings.Fields(string(known)), "overlay") {
		return finding(code, LevelOK, subject, "is available", "")
	}
	release, _ := line(o.Root + "/proc/sys/kernel/osrelease") // missing: reported by checkKernel
	modules, _ := filepath.Glob(o.Root + "/lib/modules/" + release + "/kernel/fs/overlayfs/overlay.ko*")
	if len(modules) > 0 {
		return finding(code, LevelOK, subject, "is a module that is loaded when needed", "")
	}
	return finding(code, LevelFail, subject, "the kernel has no overlayfs, so images cannot be unpacked in layers",
		"modprobe overlay, or use a kernel built with CONFIG_OVERLAY_FS")
}

// checkCgroups asks for the controllers that limits need.
func checkCgroups(o CheckOptions) Finding {
	const code = "cgroups"
	groups, err := readCgroups(o.Root)
	if err != nil || groups.version == "" {
		return finding(code, LevelFail, "cgroups", "no cgroups are mounted", "mount -t cgroup2 none /sys/fs/cgroup, or let the service manager do it")
	}
	var missing []string
	for _, needed := range []string{"cpu", "memory", "pids"} {
		if !slices.Contains(groups.controllers, needed) {
			missing = append(missing, needed)
		}
	}
	subject := "cgroups " + groups.version
	if len(missing) == 0 && !slices.Contains(groups.controllers, "io") && !slices.Contains(groups.controllers, "blkio") {
		return finding(code, LevelWarn, subject, "missing controller: io; instances share the disk as they come",
			"use a kernel built with CONFIG_BLK_CGROUP; without it all else works")
	}
	if len(missing) == 0 {
		return finding(code, LevelOK, subject, "controllers cpu, memory, pids and io are there", "")
	}
	remedy := "enable them in the kernel's configuration or on its command line"
	if slices.Contains(missing, "memory") {
		remedy = "add cgroup_enable=memory to the kernel's command line (on a Raspberry Pi: /boot/firmware/cmdline.txt) and restart"
	}
	return finding(code, LevelFail, subject, "missing controllers: "+strings.Join(missing, ", ")+"; limits of instances cannot be kept", remedy)
}

// checkNamespaces asks for what keeps instances apart.
func checkNamespaces(o CheckOptions) Finding {
	const code, subject = "namespaces", "namespaces"
	lacks := func(names ...string) (missing []string) {
		for _, name := range names {
			if _, err := os.Lstat(o.Root + "/proc/self/ns/" + name); err != nil {
				missing = append(missing, name)
			}
		}
		return missing
	}
	if missing := lacks("mnt", "pid", "net", "ipc", "uts"); len(missing) > 0 {
		return finding(code, LevelFail, subject, "missing: "+strings.Join(missing, ", "), "use a kernel built with CONFIG_NAMESPACES and all below it")
	}
	if missing := lacks("cgroup", "user"); len(missing) > 0 {
		return finding(code, LevelWarn, subject, "missing: "+strings.Join(missing, ", ")+"; instances see more of the node than they need",
			"use a kernel built with CONFIG_CGROUPS and CONFIG_USER_NS")
	}
	return finding(code, LevelOK, subject, "all kinds are there", "")
}

// The kernels from which on a cgroup can be frozen in version 2, and be given only what
// processor time nobody else wants.
var (
	freezesFrom = [2]int{5, 2}
	idlesFrom   = [2]int{5, 15}
)

// checkFreezer asks whether an instance can be suspended for a more urgent task.
func checkFreezer(o CheckOptions) Finding {
	const code, subject = "freezer", "suspending"
	groups, err := readCgroups(o.Root)
	switch {
	case err != nil || groups.version == "":
		return finding(code, LevelWarn, subject, "there are no cgroups to freeze", "see cgroups")
	case slices.Contains(groups.controllers, "freezer"):
		return finding(code, LevelOK, subject, "the freezer of cgroups v1 is there", "")
	case groups.version != cgroupV1 && o.atLeast(freezesFrom):
		return finding(code, LevelOK, subject, "cgroups v2 can be frozen", "")
	}
	return finding(code, LevelWarn, subject, "nothing freezes a cgroup, so what runs is not suspended for what is urgent",
		"mount the freezer of cgroups v1, or use Linux 5.2 or newer with cgroups v2")
}

// checkIdle asks whether batch work can be given idle time alone.
func checkIdle(o CheckOptions) Finding {
	const code, subject = "cpu-idle", "idle time"
	if !o.atLeast(idlesFrom) {
		return finding(code, LevelWarn, subject, "the kernel has no cpu.idle: batch work gets the least weight instead", "use Linux 5.15 or newer; all else works without")
	}
	return finding(code, LevelOK, subject, "cpu.idle is there", "")
}

// atLeast tells whether the kernel is of a version or newer.
func (o CheckOptions) atLeast(version [2]int) bool {
	release, err := line(o.Root + "/proc/sys/kernel/osrelease")
	var is [2]int
	if _, scanErr := fmt.Sscanf(release, "%d.%d", &is[0], &is[1]); err != nil || scanErr != nil {
		return false
	}
	return slices.Compare(is[:], version[:]) >= 0
}
