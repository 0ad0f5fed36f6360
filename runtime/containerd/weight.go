package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/typeurl/v2"
	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// perCore is the weight, in the first version of cgroups, of a core set aside, and of a
// group that sets none aside.
const perCore = 1024

// times is how many times its own weight an instance has while it works on a task of a
// class. Its own, which is what its workload has set aside, is the least it ever has, so
// nothing set aside is taken back. Not more than 16 times: on a core where only the light one
// works, all instances together weigh as little against the rest of the machine as it does
// among them.
func times(class edge.Class) uint64 {
	switch class {
	case edge.Urgent:
		return 16
	case edge.Normal:
		return 4
	default:
		return 1
	}
}

// atRest is the class whose weight an instance has by itself.
const atRest = edge.Batch

// Weigh gives a running instance the weight among its siblings that a class has, by one
// write into its cgroup; none when it has that weight already.
func (d *Driver) Weigh(_ context.Context, id string, class edge.Class) error {
	f := d.freezers.find(id)
	if f == nil {
		return fmt.Errorf("cannot weigh instance %q: %w", id, edge.ErrNotFound)
	}
	if err := f.scale.weigh(class); err != nil {
		return fmt.Errorf("cannot weigh instance %q: %w", id, err)
	}
	return nil
}

// scale is how much of the CPU one instance has beside its siblings. The zero value weighs
// nothing.
type scale struct {
	mu     sync.Mutex // guards what follows; held while the kernel is told
	file   string     // empty: there is none
	least  uint64     // its own weight, in units of the file
	most   uint64     // the kernel takes
	now    edge.Class
	looked bool
	crowd  *crowd // nil: it stands in no tenant's cgroup
	id     string
}

// crowd is the cgroup of a tenant. It weighs, among its siblings, what its instances weigh
// together, so that an instance weighs the same within as without as long as all of them
// work; what some leave goes to the others of the tenant first.
type crowd struct {
	mu   sync.Mutex // guards what follows; held while the kernel is told
	file string
	most uint64
	of   map[string]uint64 // by instance
}

// weigh notes the weight of one instance, 0 for one that is gone, and writes the sum.
func (c *crowd) weigh(id string, weight uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[id] == weight {
		return
	}
	if c.of[id] = weight; weight == 0 {
		delete(c.of, id)
	}
	sum := uint64(0)
	for _, w := range c.of {
		sum += w
	}
	if sum > 0 { // or the cgroup goes too; where it cannot be written the tenant weighs what it did
		_ = writeExisting(c.file, strconv.FormatUint(min(sum, c.most), 10))
	}
}

// crowds are those of all tenants, by their files. The zero value is ready.
type crowds struct {
	mu sync.Mutex // guards of
	of map[string]*crowd
}

// at finds the crowd that the cgroup of an instance stands in; nil where it is in none.
func (s *crowds) at(file string, most uint64) *crowd {
	above := filepath.Dir(filepath.Dir(file))
	if !strings.HasPrefix(filepath.Base(above), tenantMark) {
		return nil
	}
	name := filepath.Join(above, filepath.Base(file))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[string]*crowd{}
	}
	if s.of[name] == nil {
		s.of[name] = &crowd{file: name, most: most, of: map[string]uint64{}}
	}
	return s.of[name]
}

// meet finds the file of an instance's weight once, and writes its own weight: an earlier
// agent, or the runtime by another conversion, may have written something else.
func (s *scale) meet(id string, pid uint32, spec typeurl.Any, among *crowds) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looked || pid == 0 {
		return
	}
	s.looked = true
	groups, mounts, err := readCgroups(pid)
	if err != nil {
		return // it has ended
	}
	shares := sharesOf(spec)
	for _, own := range ownFolders(groups, mounts, id, "cpu") {
		s.place(own, shares)
		if _, err := os.Stat(s.file); err != nil {
			s.file = "" // the controller is not on in this hierarchy
			continue
		}
		s.id, s.crowd = id, among.at(s.file, s.most)
		if s.writeLocked(atRest) == nil {
			return
		}
		s.file = ""
	}
}

// place points the scale at the cgroup's file.
func (s *scale) place(own ownCgroup, shares uint64) {
	if own.version == "cgroup2" { // a group that names none has 100 there
		s.file, s.least, s.most = filepath.Join(own.path, "cpu.weight"), max(shares*100/perCore, 1), 10_000
		return
	}
	s.file, s.least, s.most = filepath.Join(own.path, "cpu.shares"), max(shares, 2), 262_144
}

// weigh writes the weight of a class, unless it has it.
func (s *scale) weigh(class edge.Class) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == "" || s.now == class {
		return nil
	}
	return s.writeLocked(class)
}

func (s *scale) writeLocked(class edge.Class) error {
	weight := min(s.least*times(class), s.most)
	err := writeExisting(s.file, strconv.FormatUint(weight, 10))
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		s.now = class // or its cgroup is gone, and it with that
		if s.crowd != nil {
			s.crowd.weigh(s.id, weight)
		}
		return nil
	}
	return err
}

// leave takes the weight of an instance that is gone off its tenant's.
func (s *scale) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crowd != nil {
		s.crowd.weigh(s.id, 0)
		s.crowd = nil // whoever has just found it weighs it once more
	}
}

// sharesOf is what the instance's record sets aside of the CPU, in units of the first
// version of cgroups.
func sharesOf(spec typeurl.Any) uint64 {
	var record struct {
		Linux struct {
			Resources struct {
				CPU struct{ Shares uint64 }
			}
		}
	}
	if spec == nil || json.Unmarshal(spec.GetValue(), &record) != nil || record.Linux.Resources.CPU.Shares == 0 {
		return perCore
	}
	return record.Linux.Resources.CPU.Shares
}
