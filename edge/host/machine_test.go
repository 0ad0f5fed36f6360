package host_test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// machine is a set of files that stands in for a whole one.
type machine map[string]string

// with is the machine with other files over its own.
func (m machine) with(more machine) machine {
	both := maps.Clone(m)
	maps.Copy(both, more)
	return both
}

func (m machine) without(path string) machine {
	rest := maps.Clone(m)
	delete(rest, path)
	return rest
}

// build writes the files below a root of their own.
func (m machine) build(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range m {
		write(t, filepath.Join(root, name), content)
	}
	return root
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// gateway is a machine where all is well, with cgroup v2.
var gateway = machine{
	"proc/sys/kernel/osrelease":             "6.1.0-28-arm64\n",
	"proc/sys/kernel/random/boot_id":        "5f0c9f0e-0000-4000-8000-000000000001\n",
	"proc/sys/kernel/seccomp/actions_avail": "kill_process kill_thread trap errno user_notif trace log allow\n",
	"proc/filesystems":                      "nodev\tsysfs\nnodev\toverlay\n\text4\n",
	"proc/self/mountinfo": "22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw\n" +
		"31 23 0:27 / /sys/fs/cgroup rw,nosuid,nodev shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
	"sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
	"proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units     \n" +
		"Max processes             7000                 7000                 processes \n" +
		"Max open files            524288               524288               files     \n",
	"etc/os-release":    "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n",
	"proc/meminfo":      "MemTotal:        1000000 kB\nMemFree:          100000 kB\nMemAvailable:     400000 kB\nBuffers:               0 kB\nCached:           300000 kB\n",
	"proc/stat":         "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 100 0 100 800 0 0 0 0 0 0\nbtime 1700000000\n",
	"proc/loadavg":      "0.50 0.40 0.30 1/100 1234\n",
	"proc/self/statm":   "5000 2000 1000 1 0 1000 0\n",
	"sys/class/hwmon/a": "",

	"proc/self/ns/mnt": "", "proc/self/ns/pid": "", "proc/self/ns/net": "", "proc/self/ns/ipc": "",
	"proc/self/ns/uts": "", "proc/self/ns/cgroup": "", "proc/self/ns/user": "",
}

const v1Mounts = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 - cgroup cgroup rw,cpu,cpuacct\n" +
	"35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
	"36 31 0:33 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio\n" +
	"37 31 0:34 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n" +
	"39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n" +
	"40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"

// Machines with the other cgroup versions.
var (
	v1     = gateway.with(machine{"proc/self/mountinfo": v1Mounts}).without("sys/fs/cgroup/cgroup.controllers")
	hybrid = v1.with(machine{
		"proc/self/mountinfo":                      v1Mounts + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
		"sys/fs/cgroup/unified/cgroup.controllers": "\n",
	})
)
