package salvage

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"holdfast/edge"
)

// Options say which containerd is looked at, and what in it is ours. Place,
// Namespace, Child and Stamp have no default.
type Options struct {
	Place

	Namespace    string // the one that is ours
	Snapshotter  string // empty: overlayfs
	RunDir       string // the agent's, where runc keeps the state of our containers
	CgroupParent string // what our containers' cgroups stand under; empty: they are left to runc
	Runc         string // the program; empty: runc

	// Wanted are digests of images that policies name: they get names even where another
	// image holds them.
	Wanted []string

	// Child is the command that runs ChildMain, in a process that a damaged file may kill.
	Child func(ctx context.Context) *exec.Cmd
	// Stamp tells what is set aside now from what was before; it becomes part of a name.
	Stamp string
}

func (o Options) withDefaults() (Options, error) {
	if o.Root == "" || o.State == "" || o.Namespace == "" || o.Child == nil || o.Stamp == "" {
		return o, fmt.Errorf("cannot look at containerd: options are missing: %w", edge.ErrInvalid)
	}
	if !filepath.IsAbs(o.Root) || !filepath.IsAbs(o.State) {
		return o, fmt.Errorf("cannot look at containerd: %q and %q must be absolute: %w", o.Root, o.State, edge.ErrInvalid)
	}
	if o.Snapshotter == "" {
		o.Snapshotter = "overlayfs"
	}
	if o.Runc == "" {
		o.Runc = "runc"
	}
	return o, nil
}

// The files and folders of a containerd, the same from 1.6 on.
func (o Options) metadata() string {
	return filepath.Join(o.Root, "io.containerd.metadata.v1.bolt", "meta.db")
}

func (o Options) snapshotter() string {
	return filepath.Join(o.Root, "io.containerd.snapshotter.v1."+o.Snapshotter)
}

func (o Options) snapshots() string { return filepath.Join(o.snapshotter(), "metadata.db") }

func (o Options) blobs() string {
	return filepath.Join(o.Root, "io.containerd.content.v1.content", "blobs", "sha256")
}

func (o Options) bundles(namespace string) string {
	return filepath.Join(o.State, "io.containerd.runtime.v2.task", namespace)
}

// others are the databases that containerd has besides, none of which it needs.
func (o Options) others() []string {
	var found []string
	all, _ := filepath.Glob(filepath.Join(o.Root, "io.containerd.*", "*.db")) // the pattern is well formed
	for _, path := range all {
		if filepath.Base(path) != "metadata.db" && path != o.metadata() {
			found = append(found, path)
		}
	}
	return found
}

// State is what an examination came to.
type State string

// The states.
const (
	Whole     State = "whole"     // everything can be read, and what is ours agrees
	Absent    State = "absent"    // there is none: containerd begins anew when it starts
	Held      State = "held"      // containerd has it open, so it could read it
	Unchecked State = "unchecked" // the check could not be made, so nothing is known
	Damaged   State = "damaged"   // it cannot be read
	Disagrees State = "disagrees" // it can be read, and is not what is on disk
)

// Broken tells whether a state calls for Repair.
func (s State) Broken() bool { return s == Damaged || s == Disagrees }

// Condition is what an examination found.
type Condition struct {
	State State
	Why   string // for people; empty when all is well
	// File is what is broken; empty when all is well.
	File string
	// Foreign are the namespaces of others in it, as far as they can be read.
	Foreign []string
}

// errUnchecked: nothing is known about a file, and so nothing may be done.
var errUnchecked = errors.New("the metadata could not be checked")
