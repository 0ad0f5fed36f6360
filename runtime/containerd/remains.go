package containerd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// remains is what runs of an instance whether or not the daemon knows of it.
type remains struct {
	shims   []int // daemon's helpers that hold it
	errands []int // those that start or clear it, which end by themselves
	members []int // processes in its cgroups
	groups  []string
}

func (r remains) none() bool {
	return len(r.shims)+len(r.errands)+len(r.members)+len(r.groups) == 0
}

// remains looks for what there is of one instance.
func (d *Driver) remains(id string) (remains, error) {
	var r remains
	for _, h := range d.helpers() {
		switch {
		case h.id != id:
		case h.errand:
			r.errands = append(r.errands, h.pid)
		default:
			r.shims = append(r.shims, h.pid)
		}
	}
	var err error
	if r.groups, err = groupsBelow(d.cgroupTops(id)); err != nil {
		return r, err
	}
	for _, group := range r.groups {
		r.members = append(r.members, membersOf(group)...)
	}
	slices.Sort(r.members)
	r.members = slices.Compact(r.members)
	return r, nil
}

// traces lists the instances of which something remains that is surely ours: a shim
// of our namespace on our daemon, or what runc keeps, or we do, below our RunDir. A
// cgroup alone proves nothing, for agents may share its parent.
func (d *Driver) traces() ([]string, error) {
	var ids []string
	for _, h := range d.helpers() {
		ids = append(ids, h.id)
	}
	held, err := d.leases()
	if err != nil {
		return nil, err
	}
	for id := range held {
		ids = append(ids, id)
	}
	for _, folder := range []string{filepath.Dir(d.runcState("any")), d.secretsDir(), d.hostsDir()} {
		names, err := entriesOf(folder)
		if err != nil {
			return nil, fmt.Errorf("cannot list what is left of instances: %w", err)
		}
		ids = append(ids, names...)
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return checkID(id) != nil })
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// helper is a process of the daemon's that serves one instance.
type helper struct {
	pid    int
	id     string
	errand bool
}

// helpers lists those of our namespace on our daemon.
func (d *Driver) helpers() []helper {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []helper
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if h, ours := d.helper(pid); ours {
			found = append(found, h)
		}
	}
	return found
}

func (d *Driver) helper(pid int) (helper, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(text) == 0 {
		return helper{}, false // gone, or of the kernel
	}
	h, address, ours := parseHelper(string(text), d.opts.Namespace)
	h.pid = pid
	return h, ours && samePath(strings.TrimSuffix(address, ".ttrpc"), d.opts.Address)
}

// parseHelper reads the command line of a shim of one namespace, as every version of
// the daemon writes it: the flags, and for an errand what to do.
func parseHelper(cmdline, namespace string) (h helper, address string, ours bool) {
	words := strings.Split(strings.TrimSuffix(cmdline, "\x00"), "\x00")
	if !strings.HasPrefix(filepath.Base(words[0]), "containerd-shim") {
		return helper{}, "", false
	}
	flags := map[string]string{}
	for i, word := range words[:len(words)-1] {
		flags[word] = words[i+1]
	}
	last := words[len(words)-1]
	h = helper{id: flags["-id"], errand: last == "start" || last == "delete"}
	return h, flags["-address"], h.id != "" && flags["-namespace"] == namespace
}

func samePath(a, b string) bool {
	if a == b {
		return true
	}
	realA, errA := filepath.EvalSymlinks(a)
	realB, errB := filepath.EvalSymlinks(b)
	return errA == nil && errB == nil && realA == realB
}

// cgroupTops are where an instance's own cgroups may be.
func (d *Driver) cgroupTops(id string) []string {
	var tops []string
	for _, group := range d.groupsOf(id) {
		tops = append(tops, d.cgroupFolders(group)...)
	}
	return tops
}

// groupsBelow lists the folders that exist, each before those below it.
func groupsBelow(tops []string) ([]string, error) {
	var groups []string
	for _, top := range tops {
		err := filepath.WalkDir(top, func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
				return nil // it goes while it is looked at
			}
			if err == nil && entry.IsDir() {
				groups = append(groups, path)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("cannot look into cgroup: %w", err)
		}
	}
	return groups, nil
}

func membersOf(group string) []int {
	text, _ := os.ReadFile(filepath.Join(group, "cgroup.procs")) // gone: without members
	var pids []int
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 { // 0 is in another namespace of pids
			pids = append(pids, pid)
		}
	}
	return pids
}

func (d *Driver) runcState(id string) string {
	return filepath.Join(d.runcRoot(), d.opts.Namespace, id)
}
