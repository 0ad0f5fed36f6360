package containerd

import (
	"os"
	"path/filepath"
)

// BrakesAmong is what brakesAmong finds, as the files it names.
func BrakesAmong(groups, mounts, id string) []string {
	var files []string
	for _, b := range brakesAmong(groups, mounts, id) {
		files = append(files, b.file)
	}
	return files
}

// Halted tells what the kernel says of the instance: whether any of its brakes is on.
func (d *Driver) Halted(id string) (bool, error) {
	f := d.freezers.find(id)
	if f == nil {
		return false, os.ErrNotExist
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.brakes {
		text, err := os.ReadFile(b.file)
		if err != nil {
			return false, err
		}
		if says := string(text[:len(text)-1]); says != b.off {
			return true, nil
		}
	}
	return false, f.why
}

// Brakes are the files by which the instance can be halted, the one to use first.
func (d *Driver) Brakes(id string) []string {
	f := d.freezers.find(id)
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var files []string
	for _, b := range f.brakes {
		files = append(files, b.file)
	}
	return files
}

// BrakeFirst has the instance's brakes used in another order.
func (d *Driver) BrakeFirst(id string, at int) {
	f := d.freezers.find(id)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.brakes[0], f.brakes[at] = f.brakes[at], f.brakes[0]
}

// WithFreezer is a driver that knows of one instance, and of one brake for it.
func WithFreezer(id, file string) *Driver {
	version := "cgroup2"
	if filepath.Base(file) == "freezer.state" {
		version = "cgroup"
	}
	b := brakeAt(version, "")
	b.file = file
	d := new(Driver)
	d.freezers.of = map[string]*freezer{id: {brakes: []brake{b}}}
	return d
}

// Hold is hold.
func (d *Driver) Hold(id string) (release func()) { return d.hold(id) }
