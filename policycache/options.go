package policycache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"time"

	"holdfast/edge"
	"holdfast/edge/boltfile"
	"holdfast/edge/trust"
)

// Options are what a Store needs. Dir, Root, Identity and Checker have no default.
type Options struct {
	Dir      string        // of state.db, policy.A and policy.B
	Root     *trust.Root   // flashed or built in: where all trust starts
	Factory  []byte        // envelope flashed with the root; none when empty
	Identity edge.Identity // decides which audiences the node belongs to
	Built    time.Time     // of the running binary, the oldest time there can be

	// Checker is the command that runs boltfile.CheckMain on a path, by this package's
	// Layout, in a process that the damage in the file may kill.
	Checker func(ctx context.Context, path string) *exec.Cmd

	// Failing names the workloads that do not run well now. It is asked when a trial
	// begins, so that they are not held against the policy on trial. nil: none.
	Failing func() []string

	Log      *slog.Logger         // nil: silent
	Wall     func() time.Time     // nil: the wall clock
	BootTime func() time.Duration // nil: time since boot, suspended time included
	BootID   func() string        // nil: the kernel's id of this boot
	Disk     boltfile.Disk        // nil: the real one
}

// New checks options. It touches no file.
func New(o Options) (*Store, error) {
	switch {
	case o.Dir == "":
		return nil, errors.New("cannot create policy cache: no folder")
	case o.Root == nil:
		return nil, errors.New("cannot create policy cache: no root document")
	case o.Checker == nil:
		return nil, errors.New("cannot create policy cache: no checker")
	case !edge.IsName(o.Identity.Node):
		return nil, errors.New("cannot create policy cache: the node has no name")
	}
	if o.Failing == nil {
		o.Failing = func() []string { return nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.BootTime == nil {
		o.BootTime = bootTime
	}
	if o.BootID == nil {
		o.BootID = bootID
	}
	if o.Disk == nil {
		o.Disk = boltfile.RealDisk{}
	}
	s := &Store{options: o, turn: make(chan struct{}, 1)}
	file, err := boltfile.New(boltfile.Options{
		Path: s.path(databaseName), Layout: Layout(), Child: o.Checker, Disk: o.Disk, Log: o.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot create policy cache: %w", err)
	}
	s.file = file
	s.publish(&Snapshot{Origin: OriginNone}, true)
	return s, nil
}
