package containerd

import "errors"

// BoundMemory bounds the memory of a cgroup whose files are in a folder.
func BoundMemory(version, folder string, most int64) error { return boundMemory(version, folder, most) }

// Hierarchies are where a controller's cgroups are, as version=place.
func Hierarchies(mounts, controller string, unified []string) (found []string) {
	for _, h := range hierarchiesAmong(mounts, controller, func(string) []string { return unified }) {
		found = append(found, h.version+"="+h.path)
	}
	return found
}

// EnsureCgroup makes a cgroup below a folder.
func EnsureCgroup(version, folder, group string) error {
	return ownCgroup{version, folder}.ensure(group)
}

// DiskWeightsBelow is DiskWeights of a machine whose files are below root, and whose
// cgroups of a version are in a folder.
func DiskWeightsBelow(root, version, folder string) error {
	err := diskWeightsBelow(root, []ownCgroup{{version, folder}})
	if err != nil && errors.Unwrap(err) == nil {
		return errors.New("it has no hint: " + err.Error())
	}
	return err
}

// WeighsDisk tells whether the kernel takes weights of the disk.
func (d *Driver) WeighsDisk() bool { return d.weighsDisk() }

// FirstBelow is the instance of a folder that the kernel ends first.
func FirstBelow(version, folder string, most int64) string { return first(version, folder, most) }
