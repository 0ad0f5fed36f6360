package host

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// The versions of the cgroup interface.
const (
	cgroupV1     = "v1"
	cgroupV2     = "v2"
	cgroupHybrid = "hybrid" // controllers on v1, and a v2 tree without them beside it
)

// cgroups is what a machine has of them.
type cgroups struct {
	version     string // empty: none are mounted
	controllers []string
}

// readCgroups looks at what is mounted, since that is what a runtime can use;
// what the kernel has been built with tells less.
func readCgroups(root string) (cgroups, error) {
	content, err := os.ReadFile(root + "/proc/self/mountinfo")
	if err != nil {
		return cgroups{}, fmt.Errorf("cannot read mounts: %w", err)
	}
	var groups cgroups
	unified := ""
	for entry := range strings.Lines(string(content)) {
		point, kind, options := mount(entry)
		switch kind {
		case "cgroup2":
			unified = point
		case "cgroup":
			groups.controllers = append(groups.controllers, v1Controllers(options)...)
		}
	}
	switch {
	case unified != "" && len(groups.controllers) > 0:
		groups.version = cgroupHybrid
	case unified != "":
		groups.version = cgroupV2
	case len(groups.controllers) > 0:
		groups.version = cgroupV1
	}
	if unified != "" {
		available, err := line(root + unified + "/cgroup.controllers")
		if err != nil {
			return groups, err
		}
		groups.controllers = append(groups.controllers, strings.Fields(available)...)
	}
	slices.Sort(groups.controllers)
	groups.controllers = slices.Compact(groups.controllers)
	return groups, nil
}

// mount takes a line of mountinfo apart: mount point, type and the options of the
// file system. Optional fields stand between the first six and a lone dash.
func mount(entry string) (point, kind, options string) {
	fields := strings.Fields(entry)
	dash := slices.Index(fields, "-")
	if dash < 5 || len(fields) < dash+4 {
		return "", "", ""
	}
	return fields[4], fields[dash+1], fields[dash+3]
}

// v1Controllers are the options that name one: not rw, and not a named tree.
func v1Controllers(options string) []string {
	var names []string
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory", "misc", "net_cls", "net_prio", "perf_event", "pids", "rdma":
			names = append(names, option)
		}
	}
	return names
}
