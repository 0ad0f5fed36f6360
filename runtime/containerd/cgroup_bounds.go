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
	"sync"

	"holdfast/edge"
)

// The cgroups above an instance's own:
//
//	<CgroupParent>              what all instances may have together (Options.Most)
//	<CgroupParent>/@<tenant>    what those of a tenant may, where the policy bounds its memory
//
// Memory is bounded there, since what is over cannot be taken back. CPU is not: a cap for
// all would stop the most urgent task for the rest of each tenth of a second, and weights
// do what is needed where there is too little (see scale and crowd).

// tenantMark begins the name of a tenant's cgroup; no instance's id begins with it.
const tenantMark = "@"

// bounds are what is known of the cgroups above instances. The zero value is ready.
type bounds struct {
	mu       sync.Mutex     // guards what follows, and the folders while they are made and removed
	starting map[string]int // starts under way in each tenant's cgroup, which is kept for them
}

// enclosure is where an instance stands among cgroups.
type enclosure struct {
	group   string // its own, as the runtime is told
	release func() // once the runtime has made it, or will not
}

// enclose makes the cgroups that an instance of a workload is to stand in, with their
// bounds. Bounds that the kernel does not keep are no reason not to start: Confine says so.
func (d *Driver) enclose(w edge.Workload, id string) enclosure {
	name, most := d.share(w)
	d.bounds.mu.Lock()
	defer d.bounds.mu.Unlock()
	_ = d.confine(d.opts.CgroupParent, d.most(), true)
	if name == "" {
		group := d.cgroupPath(id)
		return enclosure{group, func() { d.enclosed(group, w) }}
	}
	tenant := filepath.Join("/", d.opts.CgroupParent, tenantMark+name)
	_ = d.confine(tenant, most, true)
	if d.bounds.starting == nil {
		d.bounds.starting = map[string]int{}
	}
	d.bounds.starting[tenant]++
	group := filepath.Join(tenant, id)
	return enclosure{group, func() {
		d.enclosed(group, w)
		d.bounds.mu.Lock()
		defer d.bounds.mu.Unlock()
		if d.bounds.starting[tenant]--; d.bounds.starting[tenant] == 0 {
			delete(d.bounds.starting, tenant)
		}
	}}
}

// enclosed adds to an instance's cgroup what the runtime leaves out, and to those above it
// what it has set aside.
func (d *Driver) enclosed(group string, w edge.Workload) {
	weighDisk(group, uint64(w.IOWeight))
	d.bounds.mu.Lock()
	defer d.bounds.mu.Unlock()
	d.protectLocked()
}

// share is the tenant whose cgroup an instance of the workload stands in, and how much
// memory that has; empty where the policy does not bound it.
func (d *Driver) share(w edge.Workload) (name string, most int64) {
	policy := d.policy()
	if policy == nil {
		return "", 0
	}
	name, may := policy.ShareOf(w.Tenant)
	if may.Memory == 0 {
		return "", 0
	}
	return name, int64(may.Memory)
}

// most is what all instances may have together; 0: as much as there is.
func (d *Driver) most() int64 {
	if d.opts.Most == nil {
		return 0
	}
	return d.opts.Most()
}

// Confine puts the bounds in force that the policy and the configuration have now, in the
// cgroups that exist, and takes away those of tenants in which nothing is. An error names
// the bounds that are not kept. A bound that is lowered below what is used is put in force
// later: the kernel would end somebody for it.
func (d *Driver) Confine() error {
	d.bounds.mu.Lock()
	defer d.bounds.mu.Unlock()
	failed := []error{d.confine(d.opts.CgroupParent, d.most(), false)}
	policy := d.policy()
	for _, group := range d.tenantGroups() {
		if d.dropLocked(group) {
			continue
		}
		most := int64(0)
		if policy != nil {
			most = int64(policy.Tenants[strings.TrimPrefix(filepath.Base(group), tenantMark)].Memory)
		}
		failed = append(failed, d.confine(group, most, false))
	}
	d.protectLocked()
	return errors.Join(failed...)
}

// leaveTenants removes the cgroups of tenants in which nothing is any more, and what
// instances that are gone had set aside from those that stay.
func (d *Driver) leaveTenants() {
	d.bounds.mu.Lock()
	defer d.bounds.mu.Unlock()
	for _, group := range d.tenantGroups() {
		d.dropLocked(group)
	}
	d.protectLocked()
}

// tenantGroups lists the tenants' cgroups there are in any hierarchy.
func (d *Driver) tenantGroups() []string {
	var groups []string
	for _, top := range d.cgroupFolders("/" + d.opts.CgroupParent) {
		entries, _ := os.ReadDir(top) // it is not in every hierarchy
		for _, entry := range entries {
			if group := filepath.Join("/", d.opts.CgroupParent, entry.Name()); strings.HasPrefix(entry.Name(), tenantMark) {
				groups = append(groups, group)
			}
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups)
}

// dropLocked removes a tenant's cgroup if nothing is in it nor about to be.
func (d *Driver) dropLocked(group string) (gone bool) {
	if d.bounds.starting[group] > 0 {
		return false
	}
	gone = true
	for _, folder := range d.cgroupFolders(group) {
		err := os.Remove(folder) // refused while there is another below it
		gone = gone && (err == nil || errors.Is(err, fs.ErrNotExist))
	}
	return gone
}

// confine bounds the memory of a cgroup; 0 takes the bound away. It makes the cgroup if it
// is to, and without one there is nothing to bound.
func (d *Driver) confine(group string, most int64, create bool) error {
	homes := hierarchies("memory")
	if len(homes) == 0 && most > 0 {
		return edge.WithHint(fmt.Errorf("cannot bound the memory of cgroup %q: the kernel has no memory controller: %w", group, edge.ErrUnavailable),
			"add cgroup_enable=memory to the kernel's command line and restart")
	}
	for _, home := range homes {
		folder := filepath.Join(home.path, group)
		if create {
			if err := home.ensure(group); err != nil {
				return fmt.Errorf("cannot make cgroup %q: %w", group, err)
			}
		}
		if _, err := os.Stat(folder); err != nil {
			continue
		}
		if err := boundMemory(home.version, folder, most); err != nil {
			return fmt.Errorf("cannot bound the memory of cgroup %q: %w", group, err)
		}
	}
	return nil
}

// boundMemory writes a limit, unless it is in force or less than what is used.
func boundMemory(version, folder string, most int64) error {
	none := "max"
	if version != "cgroup2" {
		none = "-1"
	}
	if version != "cgroup2" && !hierarchical(folder) {
		return errors.New("it does not count what is below it (memory.use_hierarchy)")
	}
	file := filepath.Join(folder, limitName(version))
	now, err := readNumber(file)
	if err != nil {
		return err
	}
	if most == 0 {
		if now == unbounded {
			return nil
		}
		return writeExisting(file, none)
	}
	most = most / pageSize * pageSize
	if now == uint64(most) {
		return nil
	}
	if used, err := readNumber(filepath.Join(folder, usageName(version))); err == nil && now > uint64(most) && used > uint64(most) {
		return fmt.Errorf("%d bytes are used, more than the %d it may have from now on", used, most)
	}
	return writeExisting(file, strconv.FormatInt(most, 10))
}

// hierarchical tells whether a cgroup of the first version counts what is below it, and
// has it do so where it may still be changed. Kernels from 5.11 on know nothing else.
func hierarchical(folder string) bool {
	file := filepath.Join(folder, "memory.use_hierarchy")
	text, err := os.ReadFile(file)
	if err != nil || strings.TrimSpace(string(text)) == "1" {
		return true
	}
	return writeExisting(file, "1") == nil
}

const (
	// pageSize is what the kernel rounds limits down to at least.
	pageSize = 4096
	// unbounded is more than any gateway has; what either version writes for none is above it.
	unbounded = uint64(1) << 42
)

// readNumber reads a file of the kernel's with one number; no bound is unbounded.
func readNumber(file string) (uint64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	word := strings.TrimSpace(string(text))
	if word == "max" {
		return unbounded, nil
	}
	n, err := strconv.ParseUint(word, 10, 64)
	return min(n, unbounded), err
}
