package containerd

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/typeurl/v2"

	"holdfast/edge"
)

// Weight is what the kernel says the instance weighs, and the file that says it.
func (d *Driver) Weight(id string) (file, weight string, err error) {
	f := d.freezers.find(id)
	if f == nil {
		return "", "", os.ErrNotExist
	}
	f.scale.mu.Lock()
	defer f.scale.mu.Unlock()
	text, err := os.ReadFile(f.scale.file)
	return f.scale.file, strings.TrimSpace(string(text)), err
}

// WithScale is a driver that knows of one instance, whose cgroup is a folder.
func WithScale(id, version, folder string, spec typeurl.Any) (*Driver, error) {
	d, f := new(Driver), new(freezer)
	d.freezers.of = map[string]*freezer{id: f}
	f.scale.looked = true
	f.scale.place(ownCgroup{version, folder}, sharesOf(spec))
	return d, f.scale.writeLocked(atRest)
}

// CPUFolders are the cgroups in which the instance's weight may stand.
func CPUFolders(groups, mounts, id string) (paths []string) {
	for _, own := range ownFolders(groups, mounts, id, "cpu") {
		paths = append(paths, filepath.Clean(own.path))
	}
	return paths
}

// WeighLate weighs an instance, whose cgroup is a folder in its tenant's, when it has ended
// since it was found.
func WeighLate(id, folder string, class edge.Class) error {
	var among crowds
	f := new(freezer)
	s := freezers{of: map[string]*freezer{id: f}}
	f.scale.id = id
	f.scale.place(ownCgroup{"cgroup2", folder}, perCore)
	f.scale.crowd = among.at(f.scale.file, f.scale.most)
	if err := f.scale.writeLocked(atRest); err != nil {
		return err
	}
	s.forget(id)
	if err := f.scale.weigh(class); err != nil {
		return err
	}
	beside := new(scale)
	beside.id = "beside"
	beside.place(ownCgroup{"cgroup2", filepath.Join(filepath.Dir(folder), beside.id)}, perCore)
	beside.crowd = among.at(beside.file, beside.most)
	return beside.writeLocked(atRest)
}

// Score is that of an instance with a memory limit of which so much is set aside.
func Score(limit, aside int64) int {
	return plan{workload: edge.Workload{Request: edge.Request{Memory: aside}}, limits: edge.Limits{Memory: limit}}.oomScore()
}
