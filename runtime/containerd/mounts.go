package containerd

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"holdfast/edge"
)

// mounts lists what the container sees beside its root: the kernel's own file
// systems, small writable places, and the folder it shares with the host.
func (p plan) mounts() ([]specs.Mount, error) {
	mounts := p.kernelMounts()
	for _, place := range append([]edge.Tmpfs{{Path: "/run", Size: 1 << 20}, {Path: "/tmp", Size: smallTmpfs}}, p.workload.Tmpfs...) {
		m, err := tmpfs(place)
		if err != nil {
			return nil, fmt.Errorf("workload %q: %w", p.workload.Key(), err)
		}
		mounts = lay(mounts, m)
	}
	for _, m := range p.given.mounts {
		mounts = lay(mounts, m)
	}
	if p.endpoint != "" {
		mounts = lay(mounts, specs.Mount{
			Destination: path.Dir(p.endpoint), Type: "bind", Source: p.shared,
			Options: []string{"rbind", "rprivate", "nosuid", "nodev", "noexec"},
		})
	}
	for _, t := range p.trays {
		mounts = lay(mounts, t.mount())
	}
	// Parents before children, or they would hide them.
	edge.SortStable(mounts, func(a, b specs.Mount) int {
		return strings.Count(a.Destination, "/") - strings.Count(b.Destination, "/")
	})
	return mounts, nil
}

// lay adds a mount. A place that is named again replaces the default.
func lay(mounts []specs.Mount, m specs.Mount) []specs.Mount {
	mounts = slices.DeleteFunc(mounts, func(old specs.Mount) bool { return old.Destination == m.Destination })
	return append(mounts, m)
}

// kernelMounts are what every container has. /sys can be written by a privileged one
// alone.
func (p plan) kernelMounts() []specs.Mount {
	sys := []string{"nosuid", "noexec", "nodev", "ro"}
	if p.workload.Security.Privileged {
		sys = sys[:3]
	}
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=64k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", sizeOption(smallTmpfs)}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: sys},
	}
}

func tmpfs(place edge.Tmpfs) (specs.Mount, error) {
	where := path.Clean(place.Path)
	if !path.IsAbs(place.Path) || where == "/" || slices.Contains([]string{"/proc", "/sys", "/dev"}, where) {
		return specs.Mount{}, fmt.Errorf("tmpfs %q cannot be mounted there: %w", place.Path, edge.ErrInvalid)
	}
	size := place.Size
	if size == 0 {
		size = smallTmpfs
	}
	if size < 0 {
		return specs.Mount{}, fmt.Errorf("tmpfs %q cannot have a size of %d bytes: %w", place.Path, size, edge.ErrInvalid)
	}
	return specs.Mount{
		Destination: where, Type: "tmpfs", Source: "tmpfs",
		Options: []string{"nosuid", "nodev", "noexec", "mode=1777", sizeOption(size)},
	}, nil
}

// sizeOption rounds up to whole KiB, which the kernel rounds to pages.
func sizeOption(bytes int64) string { return fmt.Sprintf("size=%dk", (bytes+1023)/1024) }
