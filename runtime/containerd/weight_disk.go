package containerd

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"holdfast/edge"
)

// diskWeights are the files by which a cgroup's part of the disk is weighed: of the second
// version, or of the first before and since Linux 5.0.
func diskWeights(version string) []string {
	if version == "cgroup2" {
		return []string{"io.weight", "io.bfq.weight"}
	}
	return []string{"blkio.weight", "blkio.bfq.weight"}
}

// weighsDisk tells whether the kernel takes such weights. Where it does not the runtime
// would fail to start an instance that has one.
func (d *Driver) weighsDisk() bool {
	for _, home := range hierarchies("blkio") {
		if err := home.ensure(d.opts.CgroupParent); err != nil {
			continue
		}
		return len(weightFiles(home, filepath.Join(home.path, d.opts.CgroupParent))) > 0
	}
	return false
}

// weighDisk writes the weight of the second version's own controller where the runtime has
// written that of bfq: it takes the latter wherever bfq is loaded, whatever disk it schedules.
func weighDisk(group string, weight uint64) {
	for _, home := range hierarchies("blkio") {
		folder := filepath.Join(home.path, group)
		if weight == 0 || home.version != "cgroup2" || len(weightFiles(home, folder)) < 2 {
			continue
		}
		// The scale from 10 to 1,000 on that from 1 to 10,000, as the runtime has it.
		most := 1 + (weight-10)*9_999/990
		_ = writeExisting(filepath.Join(folder, "io.weight"), "default "+strconv.FormatUint(most, 10)) // or it has the weight that all have
	}
}

func weightFiles(home ownCgroup, folder string) []string {
	return slices.DeleteFunc(diskWeights(home.version), func(name string) bool {
		_, err := os.Stat(filepath.Join(folder, name))
		return err != nil
	})
}

// DiskWeights tells why weights of the disk come to nothing on this machine; nil where
// they count. An instance with a weight runs either way.
func (d *Driver) DiskWeights() error { return diskWeightsBelow("", hierarchies("blkio")) }

// diskWeightsBelow is DiskWeights for a machine whose files are below root.
func diskWeightsBelow(root string, homes []ownCgroup) error {
	var files []string
	for _, home := range homes {
		files = append(files, weightFilesOfAny(home)...)
	}
	if len(files) == 0 {
		return edge.WithHint(errors.New("the kernel has no weights of the disk"),
			"use a kernel built with CONFIG_BFQ_GROUP_IOSCHED or CONFIG_BLK_CGROUP_IOCOST")
	}
	if heeded(root, homes, files) {
		return nil
	}
	return edge.WithHint(errors.New("no disk is scheduled by weight"),
		"echo bfq > /sys/block/DISK/queue/scheduler, and at each start by a rule of udev")
}

// weightFilesOfAny looks for the files in whatever cgroup there is: the root has none.
func weightFilesOfAny(home ownCgroup) []string {
	entries, _ := os.ReadDir(home.path) // gone: none
	for _, entry := range entries {
		if entry.IsDir() {
			return weightFiles(home, filepath.Join(home.path, entry.Name()))
		}
	}
	return nil
}

// heeded tells whether what schedules any disk looks at a weight in these files.
func heeded(root string, homes []ownCgroup, files []string) bool {
	for _, home := range homes {
		costs, _ := os.ReadFile(filepath.Join(home.path, "io.cost.qos")) // only where the kernel has it
		if strings.Contains(string(costs), "enable=1") && slices.Contains(files, "io.weight") {
			return true
		}
	}
	schedulers, _ := filepath.Glob(root + "/sys/block/*/queue/scheduler") // the pattern is well formed
	return slices.ContainsFunc(schedulers, func(path string) bool {
		text, _ := os.ReadFile(path) // gone: none
		return strings.Contains(string(text), "[bfq]") && !slices.Equal(files, []string{"io.weight"}) ||
			strings.Contains(string(text), "[cfq]") && slices.Contains(files, "blkio.weight")
	})
}
