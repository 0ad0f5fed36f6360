package containerd

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// In the second version of cgroups the kernel leaves an instance the memory it has set
// aside, files it reads again and again included, while others can give any: memory.low,
// which the runtime writes. But what a cgroup is left is part of what the one above is left,
// which is nothing where nobody says so. So those above have what all in them have.

// protectLocked brings what the cgroups above instances are left up to date.
func (d *Driver) protectLocked() {
	for _, home := range hierarchies("memory") {
		if home.version == "cgroup2" {
			protect(filepath.Join(home.path, d.opts.CgroupParent))
		}
	}
}

// protect lets a cgroup have the sum of what those below it have, and returns it.
func protect(folder string) (sum uint64) {
	entries, _ := os.ReadDir(folder) // gone: none
	for _, entry := range entries {
		below := filepath.Join(folder, entry.Name())
		switch {
		case !entry.IsDir():
		case strings.HasPrefix(entry.Name(), tenantMark):
			sum += protect(below)
		default:
			low, _ := readNumber(filepath.Join(below, lowName)) // gone: nothing
			sum += low
		}
	}
	file := filepath.Join(folder, lowName)
	if now, err := readNumber(file); err == nil && now != sum {
		_ = writeExisting(file, strconv.FormatUint(sum, 10)) // or it is left as much as before
	}
	return sum
}

const lowName = "memory.low"
