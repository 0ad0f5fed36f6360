package e2e_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// footprint is everything a node holds on its machine, one line a thing: what
// containerd knows, and what the kernel does whoever knows of it.
type footprint []string

func (n *node) footprint() footprint {
	n.t.Helper()
	n.collect()
	var f footprint
	f.add("container", strings.Fields(n.ctr("containers", "list", "-q"))...)
	f.add("task", strings.Fields(n.ctr("tasks", "list", "-q"))...)
	f.add("image", strings.Fields(n.ctr("images", "list", "-q"))...)
	f.add("lease", strings.Fields(n.ctr("leases", "list", "-q"))...)
	f.add("content", strings.Fields(n.ctr("content", "list", "-q"))...)
	f.add("snapshot", n.snapshots()...)
	f.add("mount", n.mounts()...)
	f.add("cgroup", n.cgroups()...)
	f.add("shim", n.shims()...)
	f.add("run folder", n.runFiles()...)
	f.add("state folder", slices.DeleteFunc(files(filepath.Join(n.Folder(), "state")), func(name string) bool {
		return filepath.Base(name) == "estimates.json" // what was learnt of models outlives them
	})...)
	slices.Sort(f)
	return f
}

func (f *footprint) add(kind string, names ...string) {
	for _, name := range names {
		*f = append(*f, kind+" "+name)
	}
}

// same is nil if nothing came or went.
func (f footprint) same(other footprint) error {
	var differences []string
	for _, thing := range other {
		if !slices.Contains(f, thing) {
			differences = append(differences, "+ "+thing)
		}
	}
	for _, thing := range f {
		if !slices.Contains(other, thing) {
			differences = append(differences, "- "+thing)
		}
	}
	if len(differences) == 0 {
		return nil
	}
	return fmt.Errorf("the node holds something else than before:\n%s", strings.Join(differences, "\n"))
}

// collect makes containerd drop now what nothing refers to; by itself it does so a
// moment later.
func (n *node) collect() {
	n.t.Helper()
	n.ctr("leases", "create", "--id", "sweep")
	n.ctr("leases", "delete", "--sync", "sweep")
}

// runFiles lists the run folder without the one folder in which runc keeps its
// state, made with the first container and empty when there is none.
func (n *node) runFiles() []string {
	return slices.DeleteFunc(files(n.RunFolder("")), func(path string) bool {
		return path == n.RunFolder("runc") || path == n.RunFolder("runc/"+n.namespace)
	})
}

// snapshots lists key and kind; an image's own are committed, an instance's active.
func (n *node) snapshots() []string {
	lines := strings.Split(strings.TrimSpace(n.ctr("snapshots", "list")), "\n")
	var found []string
	for _, line := range lines[1:] { // after the head
		if fields := strings.Fields(line); len(fields) > 1 {
			found = append(found, fields[0]+" "+fields[len(fields)-1])
		}
	}
	return found
}

// mounts lists the mount points of the node and of its containers.
func (n *node) mounts() []string {
	return mountsAt(n.RunFolder(""), n.Folder(),
		filepath.Join(filepath.Dir(n.Daemon.Socket()), "io.containerd.runtime.v2.task", n.namespace))
}

// cgroups lists those below the node's own.
func (n *node) cgroups() []string {
	return slices.DeleteFunc(cgroupsAt(n.Cgroup()), func(path string) bool { return strings.HasSuffix(path, n.Cgroup()) })
}

// shims lists the processes that hold the node's containers.
func (n *node) shims() []string {
	return processes(func(words []string) bool { return n.shimFor(words) != "" })
}

// shimFor names the container that a command line is the shim of; empty: it is none of the
// node's. Another run of the tests has a node of the same name, on another daemon.
func (n *node) shimFor(words []string) string {
	given := map[string]string{}
	for i := 1; i+1 < len(words); i++ {
		given[words[i]] = words[i+1]
	}
	if given["-namespace"] != n.namespace || !strings.HasPrefix(given["-address"], n.Daemon.Socket()) {
		return ""
	}
	return given["-id"]
}

// mountsAt lists the mount points that begin with one of the places.
func mountsAt(places ...string) []string {
	var found []string
	for _, fields := range mountTable() {
		if slices.ContainsFunc(places, func(place string) bool { return strings.HasPrefix(fields[4], place) }) {
			found = append(found, fields[4])
		}
	}
	return found
}

// cgroupsAt lists a cgroup and those below it in every hierarchy.
func cgroupsAt(cgroup string) []string {
	var found []string
	for _, fields := range mountTable() {
		at := slices.Index(fields, "-")
		if at < 0 || !strings.HasPrefix(fields[at+1], "cgroup") {
			continue
		}
		top := filepath.Join(fields[4], cgroup)
		for _, path := range append([]string{top}, files(top)...) {
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				found = append(found, path)
			}
		}
	}
	return found
}

func mountTable() [][]string {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		panic(err) // no such machine
	}
	var table [][]string
	for line := range strings.Lines(string(text)) {
		table = append(table, strings.Fields(line))
	}
	return table
}

// processes lists those whose command line is as wanted.
func processes(wanted func(words []string) bool) []string {
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is well formed
	var found []string
	for _, path := range commands {
		text, _ := os.ReadFile(path) // gone: empty
		if words := strings.Split(string(text), "\x00"); wanted(words) {
			found = append(found, filepath.Base(filepath.Dir(path))+" "+words[0])
		}
	}
	return found
}

// files lists everything below a folder.
func files(top string) []string {
	var found []string
	_ = filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != top {
			found = append(found, path)
		}
		return nil // what has just gone is no longer there
	})
	return found
}

// TestLeftovers finds what belongs to the suite while it runs, so that finding
// nothing at its end means something.
func TestLeftovers(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(1))
	n.awaitReady("digits", 1)
	left := strings.Join(shop.leftovers(), "\n")
	for _, kind := range []string{"cgroup ", "mount ", "process ", "run folder "} {
		if !strings.Contains(left, kind) {
			t.Errorf("while a node runs there is no %s in\n%s", kind, left)
		}
	}
}

// TestFootprint_Leaks leaves one thing of each kind behind on purpose.
func TestFootprint_Leaks(t *testing.T) {
	n := newNode(t)
	wantDifference := func(t *testing.T, words string) {
		t.Helper()
		if err := n.base.same(n.in(t).footprint()); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("difference is %v, want one with %q", err, words)
		}
	}
	wantNone := func(t *testing.T) {
		t.Helper()
		look(t, "the footprint of before", func(context.Context) error { return n.base.same(n.in(t).footprint()) })
	}
	t.Run("Nothing", wantNone)
	t.Run("Instance", func(t *testing.T) {
		n.in(t).deploy(digitsService(1))
		id := n.in(t).awaitReady("digits", 1)[0].ID
		for _, kind := range []string{"container " + id, "task " + id, "snapshot " + id, "mount ", "cgroup ", "shim ", "run folder "} {
			wantDifference(t, "+ "+kind)
		}
		n.in(t).deploy()
		wantNone(t)
	})
	t.Run("Container", func(t *testing.T) {
		n.ctr("containers", "create", digitsImage, "stray")
		wantDifference(t, "+ container stray")
		n.ctr("containers", "delete", "stray")
		wantNone(t)
	})
	t.Run("File", func(t *testing.T) {
		path := n.RunFolder("stray")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		wantDifference(t, "+ run folder "+path)
		os.Remove(path)
		wantNone(t)
	})
	t.Run("Image", func(t *testing.T) {
		n.ctr("images", "tag", digitsImage, "stray.example/digits:1")
		wantDifference(t, "+ image stray.example/digits:1")
		n.ctr("images", "delete", "--sync", "stray.example/digits:1")
		wantNone(t)
	})
}
