package e2e_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// memory reads one figure of the agent's memory in bytes: VmRSS is what it holds
// now, VmHWM the most it ever held.
func (n *node) memory(figure string) uint64 {
	n.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.AgentPID()))
	if err != nil {
		n.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); name == figure {
			kib, err := strconv.ParseUint(strings.Fields(value)[0], 10, 64)
			if err != nil {
				n.t.Fatal(err)
			}
			return kib << 10
		}
	}
	n.t.Fatalf("the kernel says nothing of %s", figure)
	return 0
}

// descriptors counts the agent's open files and connections.
func (n *node) descriptors() int {
	n.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.AgentPID()))
	if err != nil {
		n.t.Fatal(err)
	}
	return len(entries)
}

// threads counts the agent's operating system threads.
func (n *node) threads() int {
	n.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", n.AgentPID()))
	if err != nil {
		n.t.Fatal(err)
	}
	return len(entries)
}

func mebibytes(bytes uint64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
