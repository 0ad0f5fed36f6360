package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// weigh gives all containers of the stand nearly all of the CPU where others on the machine want
// some too, so that what is measured is the node. What the others used all the same is in
// every report.
func weigh(group string) error {
	for path, most := range map[string]string{
		filepath.Join("/sys/fs/cgroup", group, "cpu.weight"):     "10000",  // version 2
		filepath.Join("/sys/fs/cgroup/cpu", group, "cpu.shares"): "262144", // version 1
	} {
		err := os.WriteFile(path, []byte(most), 0)
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot weigh containers: %w", err)
		}
	}
	return fmt.Errorf("cannot weigh containers: no cgroup %q takes a weight", group)
}
