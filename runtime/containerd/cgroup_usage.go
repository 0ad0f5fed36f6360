package containerd

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Portion is what the instances in one cgroup use of the memory they may have together.
type Portion struct {
	Tenant string // empty: all instances
	Used   int64  // bytes, without the page cache that can be dropped
	Most   int64  // bytes
	// First is the instance that the kernel ends first when they want more: the one that
	// uses most, where what has memory set aside counts for less (see oomScore).
	First string
}

// Portions measures what has a bound: all instances together, and each tenant.
func (d *Driver) Portions() []Portion {
	var portions []Portion
	for _, home := range hierarchies("memory") {
		for _, group := range append([]string{"/" + d.opts.CgroupParent}, d.tenantGroups()...) {
			folder := filepath.Join(home.path, group)
			most, err := readNumber(filepath.Join(folder, limitName(home.version)))
			if err != nil || most == unbounded {
				continue
			}
			tenant, _ := strings.CutPrefix(filepath.Base(group), tenantMark)
			if group == filepath.Join("/", d.opts.CgroupParent) {
				tenant = ""
			}
			portions = append(portions, Portion{
				Tenant: tenant, Used: workingSet(home.version, folder), Most: int64(most),
				First: first(home.version, folder, int64(most)),
			})
		}
	}
	return portions
}

func limitName(version string) string {
	if version == "cgroup2" {
		return "memory.max"
	}
	return "memory.limit_in_bytes"
}

func usageName(version string) string {
	if version == "cgroup2" {
		return "memory.current"
	}
	return "memory.usage_in_bytes"
}

// workingSet is what a cgroup uses but for files that were not read lately.
func workingSet(version, folder string) int64 {
	used, err := readNumber(filepath.Join(folder, usageName(version)))
	if err != nil {
		return 0
	}
	key := "total_inactive_file"
	if version == "cgroup2" {
		key = "inactive_file"
	}
	stat, _ := os.ReadFile(filepath.Join(folder, "memory.stat")) // gone: nothing can be dropped
	return int64(used - min(used, keyed(stat, key)))
}

// first finds the instance below a cgroup whose end would give back most, by the reckoning
// of the kernel: a thousandth of the memory in question counts as much as one of the score.
func first(version, folder string, most int64) string {
	id, _ := worst(version, folder, most)
	return id
}

// worst finds the instance of the greatest badness, and that, in a cgroup and in those of
// tenants below it.
func worst(version, folder string, most int64) (id string, by int64) {
	entries, _ := os.ReadDir(folder) // gone: none
	for _, entry := range entries {
		name, below := entry.Name(), filepath.Join(folder, entry.Name())
		bad := int64(0)
		switch {
		case !entry.IsDir():
		case strings.HasPrefix(name, tenantMark):
			name, bad = worst(version, below, most)
		default:
			bad = badness(version, below, most)
		}
		if bad > by {
			id, by = name, bad
		}
	}
	return id, by
}

func badness(version, folder string, most int64) int64 {
	members := membersOf(folder)
	if len(members) == 0 {
		return 0
	}
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(members[0]) + "/oom_score_adj") // gone: 0
	score, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)          // the kernel writes numbers
	return workingSet(version, folder) + score*(most/1000)
}
