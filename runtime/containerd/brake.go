package containerd

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/edge"
)

// brake is a file by which the kernel halts all processes of a cgroup and of those below
// it, and what is written there.
type brake struct{ file, on, off string }

// brakeAt is the brake in the folder of a cgroup of either version.
func brakeAt(version, folder string) brake {
	if version == "cgroup2" {
		return brake{filepath.Join(folder, "cgroup.freeze"), "1", "0"}
	}
	return brake{filepath.Join(folder, "freezer.state"), "FROZEN", "THAWED"}
}

// brakesOf finds the brakes of the instance whose process this is, the one to use first.
// An error says why there is none.
func brakesOf(pid uint32, id string) ([]brake, error) {
	if pid == 0 {
		return nil, fmt.Errorf("its process is not known: %w", edge.ErrNotFound)
	}
	groups, mounts, err := readCgroups(pid)
	if err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(brakesAmong(groups, mounts, id), func(b brake) bool {
		_, err := os.Stat(b.file)
		return err != nil
	})
	if len(found) == 0 {
		return nil, edge.WithHint(errors.New("its cgroup has no freezer"),
			"suspending takes cgroup v2 and Linux 5.2 or later, or the freezer controller of cgroup v1, mounted")
	}
	return found, nil
}

// readCgroups reads what the kernel tells of a process's cgroups, and of mounts.
func readCgroups(pid uint32) (groups, mounts string, err error) {
	read, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", "", fmt.Errorf("cannot read its cgroups: %w", err)
	}
	mounted, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", "", fmt.Errorf("cannot read mounts: %w", err)
	}
	return string(read), string(mounted), nil
}

// brakesAmong finds the places of brakes from what the kernel tells of a process and of
// mounts. Only a cgroup named after the instance is its own: what stands in another
// shares it. Where both versions are there the second comes first: what it froze can be
// killed as it is, and it takes half as long.
func brakesAmong(groups, mounts, id string) []brake {
	var brakes []brake
	for _, f := range ownFolders(groups, mounts, id, "freezer") {
		brakes = append(brakes, brakeAt(f.version, f.path))
	}
	return brakes
}

// ownCgroup is the folder of the cgroup of an instance in one hierarchy.
type ownCgroup struct{ version, path string }

// ownFolders finds where the instance's own cgroup is in the hierarchies that may have a
// controller, the one of the second version first.
func ownFolders(groups, mounts, id, controller string) []ownCgroup {
	var first, second []ownCgroup
	for line := range strings.Lines(mounts) {
		m, ok := parseMount(line, controller)
		if !ok {
			continue
		}
		group, ok := groupIn(groups, m, controller)
		if !ok {
			continue
		}
		folder, ok := ownFolder(m, group, id)
		switch {
		case !ok:
		case m.version == "cgroup2":
			second = append(second, ownCgroup{m.version, folder})
		default:
			first = append(first, ownCgroup{m.version, folder})
		}
	}
	return append(second, first...)
}

// cgroupMount is a place where cgroups that may have a controller are mounted.
type cgroupMount struct{ version, root, point string }

// parseMount reads a line of mountinfo, such as
//
//	37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
func parseMount(line, controller string) (cgroupMount, bool) {
	before, after, found := strings.Cut(line, " - ")
	left, right := strings.Fields(before), strings.Fields(after)
	if !found || len(left) < 5 || len(right) < 3 {
		return cgroupMount{}, false
	}
	m := cgroupMount{version: right[0], root: unescaped(left[3]), point: unescaped(left[4])}
	has := m.version == "cgroup2" ||
		m.version == "cgroup" && slices.Contains(strings.Split(right[2], ","), controller)
	return m, has
}

// unescaped undoes how the kernel writes what would end a field.
func unescaped(field string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(field)
}

// groupIn finds the cgroup in the hierarchy of a mount among lines such as
// "6:freezer:/holdfast/a" and, in the second version, "0::/holdfast/a".
func groupIn(groups string, m cgroupMount, controller string) (string, bool) {
	lines := bufio.NewScanner(strings.NewReader(groups))
	for lines.Scan() {
		number, rest, _ := strings.Cut(lines.Text(), ":")
		controllers, group, found := strings.Cut(rest, ":")
		if !found {
			continue
		}
		if m.version == "cgroup2" && number == "0" && controllers == "" ||
			m.version == "cgroup" && slices.Contains(strings.Split(controllers, ","), controller) {
			return group, true
		}
	}
	return "", false
}

// ownFolder is where the instance's own cgroup, or the one of its own above the group,
// can be reached.
func ownFolder(m cgroupMount, group, id string) (string, bool) {
	if slices.Contains(strings.Split(group, "/"), "..") { // outside our namespace of cgroups
		return "", false
	}
	below := path.Clean(group)
	if m.root != "/" {
		rest, inside := strings.CutPrefix(below, m.root+"/")
		if !inside {
			return "", false
		}
		below = "/" + rest
	}
	parts := strings.Split(below, "/")
	at := slices.Index(parts, id)
	if at < 0 || id == "" {
		return "", false
	}
	return filepath.Join(m.point, filepath.Join(parts[:at+1]...)), true
}

// thawGroups lets whatever stands in these cgroups go on.
func thawGroups(folders []string) {
	for _, folder := range folders {
		for _, version := range [...]string{"cgroup2", "cgroup"} {
			b := brakeAt(version, folder)
			_ = writeExisting(b.file, b.off) // where it is not, nothing was halted by it
		}
	}
}
