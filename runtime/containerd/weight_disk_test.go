package containerd_test

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/runtime/containerd"
)

func TestDiskWeights(t *testing.T) {
	for name, c := range map[string]struct {
		version string
		files   map[string]string // below the machine's root, cgroups in groups
		want    string
	}{
		"First":           {"cgroup", map[string]string{"groups/a/blkio.bfq.weight": "100", "sys/block/sda/queue/scheduler": "none [bfq]"}, ""},
		"FirstBefore50":   {"cgroup", map[string]string{"groups/a/blkio.weight": "500", "sys/block/sda/queue/scheduler": "noop [cfq]"}, ""},
		"Second":          {"cgroup2", map[string]string{"groups/a/io.bfq.weight": "100", "sys/block/sda/queue/scheduler": "none [bfq]"}, ""},
		"SecondByCost":    {"cgroup2", map[string]string{"groups/a/io.weight": "100", "groups/io.cost.qos": "8:0 enable=1 ctrl=auto"}, ""},
		"CostIsOff":       {"cgroup2", map[string]string{"groups/a/io.weight": "100", "groups/io.cost.qos": "8:0 enable=0 ctrl=auto", "sys/block/sda/queue/scheduler": "none [bfq]"}, "no disk is scheduled by weight"},
		"OtherScheduler":  {"cgroup", map[string]string{"groups/a/blkio.bfq.weight": "100", "sys/block/sda/queue/scheduler": "[none] bfq"}, "no disk is scheduled by weight"},
		"KernelHasNone":   {"cgroup", map[string]string{"groups/a/tasks": "", "sys/block/sda/queue/scheduler": "[none]"}, "the kernel has no weights of the disk"},
		"NothingIsThere":  {"cgroup2", map[string]string{"groups/cgroup.procs": ""}, "the kernel has no weights of the disk"},
		"OneDiskOfTwoIs":  {"cgroup", map[string]string{"groups/a/blkio.bfq.weight": "100", "sys/block/sda/queue/scheduler": "[none]", "sys/block/sdb/queue/scheduler": "[bfq]"}, ""},
		"CfqNeedsItsFile": {"cgroup", map[string]string{"groups/a/blkio.bfq.weight": "100", "sys/block/sda/queue/scheduler": "[cfq]"}, "no disk is scheduled by weight"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for file, text := range c.files {
				path := filepath.Join(root, file)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := ""
			if err := containerd.DiskWeightsBelow(root, c.version, filepath.Join(root, "groups")); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestDriver_DiskWeight gives a real container a weight of the disk; where the kernel has
// none it runs all the same.
func TestDriver_DiskWeight(t *testing.T) {
	n := newNode(t)
	w := behave("sleep")
	w.IOWeight = 300
	if n.start(t, w, "weighed"); !n.WeighsDisk() {
		if n.DiskWeights() == nil {
			t.Error("weights are said to count on a kernel that has none")
		}
		return
	}
	if got := kernelSays(t, n.opts.CgroupParent+"/weighed", "blkio.weight", "blkio.bfq.weight", "io.bfq.weight", "io.weight"); got != "300" && got != "default 300" && got != "default 2930" {
		t.Errorf("got a weight of %q, want 300 or what the second version has for it", got)
	}
}
