package containerd

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// hierarchies finds where the cgroups of a controller are that this process sees whole:
// one of either version, or none where the kernel has not got it.
func hierarchies(controller string) []ownCgroup {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return hierarchiesAmong(string(mounts), controller, func(point string) []string {
		text, _ := os.ReadFile(filepath.Join(point, "cgroup.controllers")) // gone: none
		return strings.Fields(string(text))
	})
}

// hierarchiesAmong is hierarchies by what the kernel tells of mounts, and of the
// controllers at a mount of the second version.
func hierarchiesAmong(mounts, controller string, at func(point string) []string) []ownCgroup {
	var found []ownCgroup
	for line := range strings.Lines(mounts) {
		m, ok := parseMount(line, controller)
		if !ok || m.version == "cgroup2" && !slices.Contains(at(m.point), unifiedName(controller)) {
			continue
		}
		if !slices.ContainsFunc(found, func(c ownCgroup) bool { return c.version == m.version }) {
			found = append(found, ownCgroup{m.version, m.point})
		}
	}
	return found
}

// unifiedName is what the second version calls a controller of the first.
func unifiedName(controller string) string {
	if controller == "blkio" {
		return "io"
	}
	return controller
}

// ensure makes a cgroup below the hierarchy's root, and in the second version lets those
// below it have their own bounds.
func (c ownCgroup) ensure(group string) error {
	if c.version != "cgroup2" {
		return os.MkdirAll(filepath.Join(c.path, group), 0o755)
	}
	folder := c.path
	for _, name := range append([]string{""}, strings.Split(strings.Trim(group, "/"), "/")...) {
		folder = filepath.Join(folder, name)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		for _, controller := range [...]string{"cpu", "memory", "io", "pids"} { // one that is not there must not keep the others
			_ = writeExisting(filepath.Join(folder, "cgroup.subtree_control"), "+"+controller)
		}
	}
	return nil
}

// cgroupFolders are where a cgroup may be, in either version: one folder, or one in each
// hierarchy.
func (d *Driver) cgroupFolders(group string) []string {
	folders := []string{filepath.Join(cgroupRoot, group)}
	entries, _ := os.ReadDir(cgroupRoot) // without it there are none
	for _, entry := range entries {
		if entry.IsDir() { // a link names two controllers of one hierarchy
			folders = append(folders, filepath.Join(cgroupRoot, entry.Name(), group))
		}
	}
	return folders
}

// groupsOf are the cgroups an instance may have: below that of all, or of any tenant.
func (d *Driver) groupsOf(id string) []string {
	groups := []string{d.cgroupPath(id)}
	for _, tenant := range d.tenantGroups() {
		groups = append(groups, filepath.Join(tenant, id))
	}
	return groups
}
