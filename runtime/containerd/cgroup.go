package containerd

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroupRoot is where every Linux distribution mounts its cgroups.
const cgroupRoot = "/sys/fs/cgroup"

// oomKills counts how often the kernel killed in the instance's cgroup for want
// of memory, in either version of cgroups.
func (d *Driver) oomKills(id string) uint64 {
	group := d.cgroupPath(id)
	for _, path := range []string{
		filepath.Join(cgroupRoot, group, "memory.events"),
		filepath.Join(cgroupRoot, "memory", group, "memory.oom_control"),
	} {
		if text, err := os.ReadFile(path); err == nil {
			return keyed(text, "oom_kill")
		}
	}
	return 0
}

// keyed finds a value in lines of "key value".
func keyed(text []byte, key string) uint64 {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, found := strings.Cut(lines.Text(), " ")
		if !found || name != key {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	return 0
}
