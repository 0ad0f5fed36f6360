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
	if len(missing) == 0 {
		return finding(code, LevelOK, subject, "controllers cpu, memory and pids are there", "")
	}
	remedy := "enable them in the kernel's configuration or on its command line"
	if slices.Contains(missing, "memory") {
		remedy = "add cgroup_enable=memory to the kernel's command line (on a Raspberry Pi: /boot/firmware/cmdline.txt) and restart"
	}
	return finding(code, LevelFail, subject, "missing controllers: "+strings.Join(missing, ", ")+"; limits of instances cannot be kept", remedy)
}
