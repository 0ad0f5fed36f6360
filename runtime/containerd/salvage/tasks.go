package salvage

import (
	"bytes"
	"context"
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

// endWithin bounds what one task may take to end: killing and clearing takes a tenth of a
// second.
const endWithin = 20 * time.Second

// endTasks ends what still runs of ours, and clears away what containerd would stumble
// over when it starts.
func (o Options) endTasks(ctx context.Context, r *Report) error {
	ids := o.shimIDs()
	entries, err := os.ReadDir(o.bundles(o.Namespace))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot list tasks: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			ids = append(ids, e.Name())
		}
	}
	slices.Sort(ids)
	for _, id := range slices.Compact(ids) {
		if err := o.endTask(ctx, id); err != nil {
			return fmt.Errorf("cannot end task %q: %w", id, err)
		}
		r.did("ended instance %s, which nobody could tell from a second one any more", id)
	}
	return nil
}

// endTask ends one: first what runs in it, so that its shim can tell nobody of a crash.
func (o Options) endTask(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	bundle := filepath.Join(o.bundles(o.Namespace), id)
	if err := o.deleteContainer(ctx, bundle, id); err != nil {
		return err
	}
	for _, shim := range o.shims() {
		if shim.id == id {
			if err := kill(ctx, shim.pid); err != nil {
				return err
			}
		}
	}
	if err := o.killGroups(ctx, id); err != nil {
		return err
	}
	sockets := o.shimSockets(bundle)
	if err := unmountBelow(bundle); err != nil {
		return err
	}
	for _, socket := range sockets {
		if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.RemoveAll(bundle)
}

// deleteContainer has runc end what it remembers: it alone knows which process is the
// container's, and thaws one that was suspended.
func (o Options) deleteContainer(ctx context.Context, bundle, id string) error {
	root := filepath.Join(o.runcRoot(bundle), o.Namespace)
	state, err := os.ReadFile(filepath.Join(root, id, "state.json"))
	if err != nil || (exists(bundle) && !bytes.Contains(state, []byte(bundle))) {
		return nil // it ended, or is another daemon's by the same name
	}
	command := exec.CommandContext(ctx, o.Runc, "--root", root, "delete", "--force", id)
	command.WaitDelay = time.Second
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, firstLine(string(out)))
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// runcRoot is where runc keeps the state of a bundle's container: below the agent's own
// folder, unless the bundle says otherwise.
func (o Options) runcRoot(bundle string) string {
	var options struct {
		Root string `json:"root"`
	}
	if text, err := os.ReadFile(filepath.Join(bundle, "options.json")); err == nil {
		if json.Unmarshal(text, &options) == nil && options.Root != "" {
			return options.Root
		}
	}
	return filepath.Join(o.RunDir, "runc")
}

// killGroups kills whatever else runs in an instance's cgroups, and removes them.
func (o Options) killGroups(ctx context.Context, id string) error {
	if o.CgroupParent == "" {
		return nil
	}
	var tops []string
	for _, below := range [...]string{id, filepath.Join("@*", id)} { // an instance's own, or in its tenant's
		for _, hierarchy := range [...]string{"", "*"} {
			found, err := filepath.Glob(filepath.Join("/sys/fs/cgroup", hierarchy, o.CgroupParent, below))
			if err != nil {
				return err
			}
			tops = append(tops, found...)
		}
	}
	for _, top := range tops {
		text, err := os.ReadFile(filepath.Join(top, "cgroup.procs"))
		if err != nil {
			continue // it is gone
		}
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				if err := kill(ctx, pid); err != nil {
					return err
				}
			}
		}
		_ = os.Remove(top) // it may not be empty yet; the agent removes it then
	}
	return nil
}

// shim is a process of containerd's that holds a task.
type shim struct {
	pid int
	id  string
}

func (o Options) shimIDs() (ids []string) {
	for _, s := range o.shims() {
		ids = append(ids, s.id)
	}
	return ids
}

// shims lists those of our namespace on this containerd.
func (o Options) shims() (found []shim) {
	for _, pid := range processes() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue
		}
		words := strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
		if !strings.HasPrefix(filepath.Base(words[0]), "containerd-shim") {
			continue
		}
		flags := map[string]string{}
		for i, word := range words[:len(words)-1] {
			flags[word] = words[i+1]
		}
		if flags["-namespace"] == o.Namespace && flags["-id"] != "" && strings.TrimSuffix(flags["-address"], ".ttrpc") == o.Address {
			found = append(found, shim{pid, flags["-id"]})
		}
	}
	return found
}

func processes() (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// holders lists the processes that have a damaged file open which was set aside.
func (o Options) holders() (pids []int) {
	name := o.asideName(o.metadata())
	for _, pid := range processes() {
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil || pid == os.Getpid() {
			continue
		}
		for _, file := range files {
			if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, file.Name())); err == nil && to == name {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids
}

// kill ends a process and waits until it is gone. What it was opened by stays with it even
// when its number is given to another.
func kill(ctx context.Context, pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if errors.Is(err, unix.ENOSYS) {
		return killByNumber(ctx, pid)
	}
	if err != nil {
		return fmt.Errorf("cannot open process %d: %w", pid, err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot kill process %d: %w", pid, err)
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	const glance = 100 // ms
	for ctx.Err() == nil {
		n, err := unix.Poll(poll, glance)
		if n > 0 || (err != nil && !errors.Is(err, unix.EINTR)) {
			return err
		}
	}
	return fmt.Errorf("process %d does not end", pid)
}

// killByNumber is kill for kernels before 5.3.
func killByNumber(ctx context.Context, pid int) error {
	glance := time.NewTicker(10 * time.Millisecond)
	defer glance.Stop()
	for {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			if errors.Is(err, unix.ESRCH) {
				return nil
			}
			return fmt.Errorf("cannot kill process %d: %w", pid, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d does not end", pid)
		case <-glance.C:
		}
	}
}

// shimSockets names the sockets of a bundle's shim, which lie in a folder that all
// containerds share.
func (o Options) shimSockets(bundle string) (sockets []string) {
	text, _ := os.ReadFile(filepath.Join(bundle, "address"))
	var boot struct{ Address string }
	if from, err := os.ReadFile(filepath.Join(bundle, "bootstrap.json")); err == nil {
		_ = json.Unmarshal(from, &boot) // without it there is the other
	}
	for _, socket := range []string{strings.TrimSpace(string(text)), boot.Address} {
		socket = strings.TrimPrefix(socket, "unix://")
		if strings.HasPrefix(socket, "/run/containerd/s/") || strings.HasPrefix(socket, o.State+"/s/") {
			sockets = append(sockets, filepath.Clean(socket))
		}
	}
	return sockets
}

// unmountBelow takes away every mount below a folder, the latest first.
func unmountBelow(folder string) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("cannot list mounts: %w", err)
	}
	var points []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], folder+"/") {
			points = append(points, fields[4])
		}
	}
	for _, point := range slices.Backward(points) {
		if err := unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("cannot unmount %q: %w", point, err)
		}
	}
	return nil
}
