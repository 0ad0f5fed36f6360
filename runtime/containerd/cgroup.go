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

// starvation looks at an instance that was killed: whether the kernel did that for want of
// memory, in either version of cgroups, and whose memory was used up where it was not the
// instance's own limit.
func (d *Driver) starvation(id string) (starved bool, of string) {
	for _, group := range d.groupsOf(id) {
		for _, home := range hierarchies("memory") {
			folder := filepath.Join(home.path, group)
			if oomKills(home.version, folder) == 0 {
				continue
			}
			if reached(home.version, folder) {
				return true, ""
			}
			return true, d.shortAbove(home, group)
		}
	}
	return false, ""
}

// kills counts what the kernel killed in an instance for want of memory; nobody knows
// where its cgroup is gone.
func (d *Driver) kills(id string) (n uint64, known bool) {
	for _, group := range d.groupsOf(id) {
		for _, home := range hierarchies("memory") {
			folder := filepath.Join(home.path, group)
			if _, err := os.Stat(folder); err == nil {
				return oomKills(home.version, folder), true
			}
		}
	}
	return 0, false
}

// shortAbove names the nearest of the cgroups above an instance's whose bound was reached.
func (d *Driver) shortAbove(home ownCgroup, group string) string {
	above := filepath.Dir(group)
	tenant, isTenant := strings.CutPrefix(filepath.Base(above), tenantMark)
	if isTenant {
		if reached(home.version, filepath.Join(home.path, above)) {
			return "tenant " + tenant
		}
		above = filepath.Dir(above)
	}
	if reached(home.version, filepath.Join(home.path, above)) {
		return "all instances together"
	}
	return "the node"
}

// oomKills counts what the kernel killed in a cgroup for want of memory.
func oomKills(version, folder string) uint64 {
	name := "memory.oom_control"
	if version == "cgroup2" {
		name = "memory.events"
	}
	text, _ := os.ReadFile(filepath.Join(folder, name)) // gone: none
	return keyed(text, "oom_kill")
}

// reached tells whether a cgroup's own bound kept somebody from more memory: for good in
// the second version; in the first perhaps until some of the page cache was dropped.
func reached(version, folder string) bool {
	if version != "cgroup2" {
		// Not memory.failcnt: with swap accounted for, it is another limit that fails first.
		most, err := readNumber(filepath.Join(folder, "memory.max_usage_in_bytes"))
		limit, failed := readNumber(filepath.Join(folder, "memory.limit_in_bytes"))
		return err == nil && failed == nil && most >= limit
	}
	text, err := os.ReadFile(filepath.Join(folder, "memory.events.local"))
	if err != nil { // before Linux 5.2
		text, _ = os.ReadFile(filepath.Join(folder, "memory.events"))
	}
	return keyed(text, "oom") > 0
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
