//go:build vm

package inside_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestService_Boot: the service is in service once the machine is up. What that took, and
// what of it is the kernel's, is told; on an emulated machine these are figures to compare
// with each other alone.
func TestService_Boot(t *testing.T) {
	n := theNode(t)
	if got := property(t, "ActiveState", "holdfast"); got != "active" {
		t.Errorf("the service is %s", got)
	}
	if got := property(t, "NRestarts", "holdfast"); got != "0" {
		t.Errorf("it was started again %s times", got)
	}
	kernel := moment(t, "UserspaceTimestampMonotonic")
	started, ready := moment(t, "ExecMainStartTimestampMonotonic", "holdfast"), moment(t, "ActiveEnterTimestampMonotonic", "holdfast")
	t.Logf("figure: kernel's start to READY %v: the kernel's %v, systemd's until the agent's start %v, the agent's %v",
		ready, kernel, started-kernel, ready-started)
	var available int
	_, after, _ := strings.Cut(read(t, "/proc/meminfo"), "MemAvailable:")
	total := 0
	if _, err := fmt.Sscanf(after, "%d kB", &available); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(read(t, "/proc/meminfo"), "MemTotal: %d kB", &total); err != nil {
		t.Fatal(err)
	}
	services := filepath.Join(cgroups, "system.slice")
	t.Logf("figure: memory in use with %d instances: %d MiB of %d; the agent %s (%s of its own), containerd and its shims %s, instances %s", len(n.ready()),
		(total-available)>>10, total>>10, memoryOf(t, filepath.Join(services, "holdfast.service")), anonymous(t, mainPID(t)),
		memoryOf(t, filepath.Join(services, "containerd.service")), memoryOf(t, filepath.Join(cgroups, parent)))
}

// anonymous is the memory of a process that no file stands for.
func anonymous(t *testing.T, pid int) string {
	t.Helper()
	_, after, _ := strings.Cut(read(t, fmt.Sprintf("/proc/%d/status", pid)), "RssAnon:")
	line, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(line)
}

// TestService_Exposure tells what systemd says of the sandbox of the unit it runs.
func TestService_Exposure(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "security", "--no-pager", "--threshold=40", "holdfast.service").CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	t.Logf("figure: %s", lines[len(lines)-1])
	if err != nil {
		t.Errorf("exposure is above 4.0: %v", err)
	}
}

// TestService_Sandbox: the walls of the unit stand around the agent.
func TestService_Sandbox(t *testing.T) {
	theNode(t)
	pid := mainPID(t)
	status := map[string]string{}
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/status", pid))) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.TrimSpace(value)
	}
	// CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER and CAP_KILL, and filtered calls. Where the
	// drop-in for networks came with the system, what that adds.
	capabilities := "000000000000002b"
	if strings.Contains(property(t, "DropInPaths", "holdfast"), "networks.conf") {
		capabilities = "000000000028142b"
	}
	for name, want := range map[string]string{"CapBnd": capabilities, "CapEff": capabilities, "NoNewPrivs": "1", "Seccomp": "2"} {
		if status[name] != want {
			t.Errorf("%s: got %q, want %q", name, status[name], want)
		}
	}
	if got := read(t, fmt.Sprintf("/proc/%d/oom_score_adj", pid)); got != "-900" {
		t.Errorf("got a score of %s, want -900", got)
	}
	// Seen as the agent sees it, without its capabilities being of help: a file system that
	// is not to be written refuses even root.
	root := fmt.Sprintf("/proc/%d/root", pid)
	for name, writable := range map[string]bool{
		"/etc": false, "/usr": false, "/proc/sys/kernel/domainname": false, "/boot": false, "/srv": false,
		"/var/lib/holdfast": true, "/run/holdfast": true, "/run/containerd": true, "/sys/fs/cgroup": true,
	} {
		err := mayWrite(filepath.Join(root, name))
		if writable && err != nil || !writable && !errors.Is(err, syscall.EROFS) {
			t.Errorf("%s: got %v, want it to be writable: %v", name, err, writable)
		}
	}
}

// mayWrite asks whether a file system may be written to.
func mayWrite(name string) error { return syscall.Access(name, 2) }

// TestService_Cgroups: systemd governs the services, and the agent the instances, each in
// its own part of the one tree.
func TestService_Cgroups(t *testing.T) {
	n := theNode(t)
	if got := read(t, fmt.Sprintf("/proc/%d/cgroup", mainPID(t))); got != "0::/system.slice/holdfast.service" {
		t.Errorf("the agent stands in %s", got)
	}
	wantFile(t, filepath.Join(cgroups, "system.slice/holdfast.service"), "cpu.weight", "1000")
	has := strings.Fields(read(t, filepath.Join(cgroups, parent, "cgroup.subtree_control")))
	for _, controller := range []string{"cpu", "io", "memory", "pids"} {
		if !slices.Contains(has, controller) {
			t.Errorf("instances have no controller %s, only %v", controller, has)
		}
	}
	before := n.ready()
	folder := group(before[0])
	bounds := func() string {
		return read(t, filepath.Join(folder, "memory.max")) + " " + read(t, filepath.Join(folder, "cpu.max")) + " " + read(t, filepath.Join(folder, "pids.max"))
	}
	was := bounds()
	// Whatever systemd makes of its own part changes nothing in the agent's.
	unit := "/run/systemd/system/passing.service"
	text := "[Service]\nType=oneshot\nCPUAccounting=yes\nIOWeight=50\nMemoryMax=64M\nExecStart=/bin/true\n"
	if err := os.WriteFile(unit, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	systemctl(t, "daemon-reload")
	systemctl(t, "start", "passing.service")
	if err := os.Remove(unit); err != nil {
		t.Fatal(err)
	}
	systemctl(t, "daemon-reload")
	systemctl(t, "daemon-reexec")
	if got := bounds(); got != was {
		t.Errorf("got bounds %q after systemd was busy, want %q", got, was)
	}
	n.wantSame(before)
}

// TestService_Stop: models serve on while there is no agent, and the next one takes them over.
func TestService_Stop(t *testing.T) {
	n := theNode(t)
	before := n.ready()
	systemctl(t, "stop", "holdfast")
	if got := property(t, "Result", "holdfast"); got != "success" {
		t.Errorf("it ended with %s", got)
	}
	serving(t, before)
	systemctl(t, "start", "holdfast") // returns when it has said READY
	n.tellStart("stopped and started")
	n.wantSame(before)
}

// tellStart tells what the last start of the agent took.
func (n *node) tellStart(how string) {
	n.t.Helper()
	started, ready := moment(n.t, "ExecMainStartTimestampMonotonic", "holdfast"), moment(n.t, "ActiveEnterTimestampMonotonic", "holdfast")
	n.t.Logf("figure: %s: READY %v after its start", how, ready-started)
}

func TestService_Restart(t *testing.T) {
	n := theNode(t)
	before := n.ready()
	systemctl(t, "restart", "holdfast")
	n.tellStart("restarted")
	n.wantSame(before)
	systemctl(t, "reload", "holdfast")
	n.wantSame(before)
}

// TestService_Killed: an agent that is killed while an instance stands still is started again
// by systemd, and lets it go on.
func TestService_Killed(t *testing.T) {
	n := theNode(t)
	before := n.ready()
	pid, folder := mainPID(t), group(before[0])
	if err := os.WriteFile(filepath.Join(folder, "cgroup.freeze"), []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	look(t, "the kernel to halt it", func(context.Context) error {
		if !strings.Contains(read(t, filepath.Join(folder, "cgroup.events")), "frozen 1") {
			return errors.New("it goes on")
		}
		return nil
	})
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	n.awaitNext(pid)
	n.wantSame(before)
	for _, instance := range before {
		wantFile(t, group(instance), "cgroup.freeze", "0")
	}
	serving(t, before)
}

// awaitNext waits until systemd has another agent in service.
func (n *node) awaitNext(pid int) {
	n.t.Helper()
	look(n.t, "another agent", func(context.Context) error {
		if now := mainPID(n.t); now == 0 || now == pid || property(n.t, "ActiveState", "holdfast") != "active" {
			return errors.New("there is none")
		}
		return nil
	})
}

// TestService_Watchdog: an agent that does not stir is ended by systemd after the 30 s of its
// unit, and another takes its place.
func TestService_Watchdog(t *testing.T) {
	n := theNode(t)
	before, pid := n.ready(), mainPID(t)
	restarts := number(t, property(t, "NRestarts", "holdfast"))
	since := time.Now()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	n.awaitNext(pid)
	t.Logf("figure: another agent was in service %v after the first was halted", time.Since(since).Round(100*time.Millisecond))
	if got := number(t, property(t, "NRestarts", "holdfast")); got != restarts+1 {
		t.Errorf("it was started again %d times, want once", got-restarts)
	}
	out, err := exec.CommandContext(t.Context(), "journalctl", "--boot", "--no-pager", "--unit=holdfast", "--grep=Watchdog timeout").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Watchdog timeout") {
		t.Errorf("systemd did not say that it was the watchdog: %v\n%s", err, out)
	}
	n.wantSame(before)
}

// TestService_Containerd: the daemon is stopped, killed and started again without anything
// happening to instances or to the agent.
func TestService_Containerd(t *testing.T) {
	n := theNode(t)
	before, pid := n.ready(), mainPID(t)
	connected := func(want bool) {
		t.Helper()
		look(t, "the agent to notice", func(ctx context.Context) error {
			status, err := n.client.Status(ctx)
			if err == nil && status.Containerd.Connected != want {
				err = fmt.Errorf("connected is %v", !want)
			}
			return err
		})
	}
	systemctl(t, "stop", "containerd")
	connected(false)
	serving(t, before)
	systemctl(t, "start", "containerd")
	connected(true)
	n.wantSame(before)
	systemctl(t, "kill", "--kill-whom=main", "--signal=KILL", "containerd")
	connected(true)
	n.wantSame(before)
	if now := mainPID(t); now != pid {
		t.Errorf("the agent is another process: %s", strconv.Itoa(now))
	}
}
