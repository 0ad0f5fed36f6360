package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v3/mem"
)

// Facts are what does not change while the machine is up.
type Facts struct {
	Kernel        string   `json:"kernel"` // its release, such as 6.1.0-28-arm64
	OS            string   `json:"os"`     // the distribution, as it names itself
	Arch          string   `json:"arch"`   // as Go names it
	CgroupVersion string   `json:"cgroupVersion"`
	Controllers   []string `json:"controllers"` // cgroup controllers that can be used
	Memory        uint64   `json:"memory"`      // bytes
	CPUs          int      `json:"cpus"`
	BootID        string   `json:"bootId"`
}

// ReadFacts reads the facts below root; empty means the machine itself. What
// cannot be read is left out and named in the error.
func ReadFacts(root string) (Facts, error) {
	facts := Facts{Arch: goruntime.GOARCH, CPUs: cores()}
	groups, groupsErr := readCgroups(root)
	facts.CgroupVersion, facts.Controllers = groups.version, groups.controllers
	var kernelErr, bootErr, memoryErr error
	facts.Kernel, kernelErr = line(root + "/proc/sys/kernel/osrelease")
	facts.BootID, bootErr = line(root + "/proc/sys/kernel/random/boot_id")
	facts.OS = distribution(root)
	memory, memoryErr := mem.VirtualMemoryWithContext(below(context.Background(), root))
	if memoryErr == nil {
		facts.Memory = memory.Total
	}
	return facts, errors.Join(kernelErr, bootErr, groupsErr, memoryErr)
}

// line reads a file of one line.
func line(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read fact: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// distribution is the pretty name of os-release, which small systems may lack.
func distribution(root string) string {
	file, err := os.Open(root + "/etc/os-release")
	if err != nil {
		return goruntime.GOOS
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		value, found := strings.CutPrefix(lines.Text(), "PRETTY_NAME=")
		if !found {
			continue
		}
		if plain, err := strconv.Unquote(value); err == nil {
			return plain
		}
		return value
	}
	return goruntime.GOOS
}
