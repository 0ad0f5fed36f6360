//go:build vm

package inside_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const cgroups = "/sys/fs/cgroup"

// read is the text of a file of the kernel's.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// TestMachine_Cgroups: the machine is what it is started for. Without that nothing else
// here means anything.
func TestMachine_Cgroups(t *testing.T) {
	var fs unix.Statfs_t
	if err := unix.Statfs(cgroups, &fs); err != nil {
		t.Fatal(err)
	}
	mounts := read(t, "/proc/self/mountinfo")
	if fs.Type != unix.CGROUP2_SUPER_MAGIC || strings.Contains(mounts, " - cgroup ") {
		t.Fatal("cgroups are not of the second version alone")
	}
	has := strings.Fields(read(t, filepath.Join(cgroups, "cgroup.controllers")))
	for _, controller := range []string{"cpu", "cpuset", "io", "memory", "pids"} {
		if !slices.Contains(has, controller) {
			t.Errorf("the kernel has no controller %s among %v", controller, has)
		}
	}
	t.Logf("%s, controllers %v", read(t, "/proc/version"), has)
}

// TestMachine_Systemd: its first process is systemd, and what the services are to stand in
// is there.
func TestMachine_Systemd(t *testing.T) {
	if got := read(t, "/proc/1/comm"); got != "systemd" {
		t.Errorf("the first process is %s", got)
	}
	if got := read(t, "/proc/1/cgroup"); got != "0::/init.scope" {
		t.Errorf("it stands in %s", got)
	}
}

// TestMachine_Pressure: the kernel tells how long is waited for memory, CPU and disk.
func TestMachine_Pressure(t *testing.T) {
	for _, of := range []string{"cpu", "memory", "io"} {
		if got := read(t, filepath.Join("/proc/pressure", of)); !strings.HasPrefix(got, "some ") {
			t.Errorf("pressure on %s is %q", of, got)
		}
	}
}
