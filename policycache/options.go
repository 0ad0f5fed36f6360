package policycache

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// Options are what a Store needs. Dir, Root, Identity and Checker have no default.
type Options struct {
	Dir      string        // of state.db, policy.A and policy.B
	Root     *trust.Root   // flashed or built in: where all trust starts
	Factory  []byte        // envelope flashed with the root; none when empty
	Identity edge.Identity // decides which audiences the node belongs to
	Built    time.Time     // of the running binary, the oldest time there can be

	// Checker is the command that runs CheckMain with the path as its only argument,
	// in a process that the damage in the file may kill.
	Checker func(ctx context.Context, path string) *exec.Cmd

	// Failing names the workloads that do not run well now. It is asked when a trial
	// begins, so that they are not held against the policy on trial. nil: none.
	Failing func() []string

	Log      *slog.Logger         // nil: silent
	Wall     func() time.Time     // nil: the wall clock
	BootTime func() time.Duration // nil: time since boot, suspended time included
	BootID   func() string        // nil: the kernel's id of this boot
	Disk     Disk                 // nil: the real one
}

// Times and sizes. Together the limits stay below the 10 seconds a start may take.
const (
	checkLimit  = 3 * time.Second // one look at a file in a child; 8 MiB take 0.1 s on slow flash
	lockLimit   = time.Second     // an agent that is just stopping lets go within it
	maxDatabase = 8 << 20         // all of state.db
)

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
		o.Disk = osDisk{}
	}
	s := &Store{options: o, turn: make(chan struct{}, 1)}
	s.publish(&Snapshot{Origin: OriginNone}, true)
	return s, nil
}
