package privated

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// clear removes every process, mount, cgroup and socket that belongs to the
// layout, working only from what the kernel and the bundles say. The daemon
// itself is found by its pid file and its command line together, so that a pid
// that was given to somebody else since is left alone.
func (l layout) clear(cgroupParent string) error {
	var failed []error
	failed = append(failed, l.endDaemon())
	sockets := l.shimSockets()
	failed = append(failed, l.endShims(), l.endContainers(), l.unmount())
	for _, socket := range sockets {
		if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	failed = append(failed, os.RemoveAll(l.state), removeCgroups(cgroupParent))
	return errors.Join(failed...)
}

func (l layout) endDaemon() error {
	text, err := os.ReadFile(l.pid)
	if err != nil {
		return nil // it never ran
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil && slices.Contains(commandLine(pid), l.config) {
		err = kill(pid)
	}
	return errors.Join(err, os.Remove(l.pid))
}

// endShims kills the shims that were told this daemon's socket.
func (l layout) endShims() error {
	var failed []error
	for _, pid := range processes() {
		args := commandLine(pid)
		at := slices.Index(args, "-address")
		if at < 0 || at+1 >= len(args) || !strings.HasPrefix(filepath.Base(args[0]), "containerd-shim") {
			continue
		}
		if args[at+1] == l.socket || args[at+1] == l.socket+".ttrpc" {
			failed = append(failed, kill(pid))
		}
	}
	return errors.Join(failed...)
}

// endContainers has runc delete what the bundles hold: runc alone knows which
// process is the container's, even after pids were given out again, and removes
// its cgroups with it.
func (l layout) endContainers() error {
	var failed []error
	for _, bundle := range l.bundles() {
		root := runcRoot(bundle)
		id := filepath.Base(bundle)
		state, err := os.ReadFile(filepath.Join(root, id, "state.json"))
		if err != nil || !bytes.Contains(state, []byte(bundle)) {
			continue // it ended in order, or is another daemon's by the same name
		}
		out, err := exec.Command("runc", "--root", root, "delete", "--force", id).CombinedOutput()
		if err != nil {
			failed = append(failed, fmt.Errorf("cannot delete container %q: %w: %s", id, err, bytes.TrimSpace(out)))
		}
	}
	return errors.Join(failed...)
}

// bundles lists the folders the daemon keeps for its tasks, by namespace and id.
func (l layout) bundles() []string {
	found, _ := filepath.Glob(filepath.Join(l.state, "io.containerd.runtime.v2.task", "*", "*")) // the pattern is well formed
	return found
}

// runcRoot is the folder in which runc keeps the state of a bundle's container:
// one that all daemons share, unless the container asked for its own.
func runcRoot(bundle string) string {
	root := "/run/containerd/runc"
	var options struct {
		Root string `json:"root"`
	}
	if text, err := os.ReadFile(filepath.Join(bundle, "options.json")); err == nil {
		if json.Unmarshal(text, &options) == nil && options.Root != "" {
			root = options.Root
		}
	}
	return filepath.Join(root, filepath.Base(filepath.Dir(bundle)))
}

// mountTable reads a mountinfo file; each line has its fields split, the mount
// point unescaped.
func mountTable(path string) [][]string {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var table [][]string
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 {
			continue
		}
		fields[4] = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])
		table = append(table, fields)
	}
	return table
}

// unmount removes every mount under the daemon's folders, the newest first.
func (l layout) unmount() error {
	table := mountTable("/proc/self/mountinfo")
	var failed []error
	for _, fields := range slices.Backward(table) {
		point := fields[4]
		if !strings.HasPrefix(point, l.dir+"/") && !strings.HasPrefix(point, l.state+"/") {
			continue
		}
		if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			failed = append(failed, fmt.Errorf("cannot unmount %q: %w", point, err))
		}
	}
	return errors.Join(failed...)
}

// shimSockets lists the sockets of the bundles' shims, which lie in a folder
// that all daemons of a machine share.
func (l layout) shimSockets() []string {
	var sockets []string
	for _, bundle := range l.bundles() {
		if text, err := os.ReadFile(filepath.Join(bundle, "address")); err == nil {
			sockets = append(sockets, string(bytes.TrimSpace(text)))
		}
		var boot struct{ Address string }
		if text, err := os.ReadFile(filepath.Join(bundle, "bootstrap.json")); err == nil && json.Unmarshal(text, &boot) == nil {
			sockets = append(sockets, boot.Address)
		}
	}
	for i, socket := range sockets {
		sockets[i] = strings.TrimPrefix(socket, "unix://")
	}
	sockets = slices.DeleteFunc(sockets, func(s string) bool { return !strings.HasPrefix(s, "/run/containerd/s/") })
	slices.Sort(sockets)
	return slices.Compact(sockets)
}

func processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func commandLine(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(text) == 0 {
		return []string{""}
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// kill ends a process and waits until it is gone. A pidfd stays with the process
// even when its number is given to another.
func kill(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot open process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot kill process %d: %w", pid, err)
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	const patience = 10 * time.Second
	for until := time.Now().Add(patience); time.Now().Before(until); {
		if n, err := unix.Poll(poll, int(patience/time.Millisecond)); n > 0 || (err != nil && !errors.Is(err, unix.EINTR)) {
			return nil
		}
	}
	return fmt.Errorf("process %d does not end", pid)
}
