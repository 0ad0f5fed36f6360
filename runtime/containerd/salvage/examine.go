package salvage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Examine looks at the metadata and changes nothing. An error says that nothing is known.
func Examine(ctx context.Context, o Options) (Condition, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Condition{}, err
	}
	found, err := o.examine(ctx)
	return found.Condition, err
}

// diagnosis is what is wrong, and with which files.
type diagnosis struct {
	Condition
	metadata  bool     // meta.db cannot be read
	ours      bool     // it can, and what is ours in it is not right
	snapshots bool     // the snapshotter's cannot be read, or is not what is on disk
	others    []string // other files that cannot be read
}

func (o Options) examine(ctx context.Context) (diagnosis, error) {
	var d diagnosis
	found, err := o.ask(ctx, request{Task: taskRead, Metadata: o.metadata(), Namespace: o.Namespace})
	if err != nil {
		return d, err
	}
	d.Condition = Condition{State: found.State, Why: found.Why, Foreign: found.Foreign}
	switch found.State {
	case Held, Unchecked:
		return d, nil
	case Damaged:
		d.metadata, d.File = true, o.metadata()
	case Absent:
		if content, err := os.ReadDir(o.blobs()); err == nil && len(content) > 0 {
			d.metadata = true
			d.blame(Damaged, o.metadata(), "is gone, and the content is there")
		}
	}
	if err := o.examineSnapshots(ctx, &d); err != nil {
		return d, err
	}
	if err := o.examineOthers(ctx, &d); err != nil || d.metadata || d.snapshots {
		return d, err
	}
	err = o.examineAgreement(ctx, &d)
	return d, err
}

func (o Options) examineSnapshots(ctx context.Context, d *diagnosis) error {
	if _, err := os.Stat(o.snapshotter()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	found, err := o.ask(ctx, request{Task: taskRead, Snapshots: o.snapshots()})
	if err != nil {
		return err
	}
	switch found.State {
	case Damaged:
		d.snapshots = true
		d.blame(Damaged, o.snapshots(), found.Why)
	case Absent:
		if trees, err := os.ReadDir(o.trees()); err == nil && len(trees) > 0 {
			d.snapshots = true
			d.blame(Damaged, o.snapshots(), "is gone, and the snapshots are there")
		}
	case Held, Unchecked:
		return fmt.Errorf("%w: %q is open elsewhere %s", errUnchecked, o.snapshots(), found.Why)
	}
	return nil
}

func (o Options) examineOthers(ctx context.Context, d *diagnosis) error {
	for _, path := range o.others() {
		found, err := o.ask(ctx, request{Task: taskRead, Snapshots: path})
		if err != nil {
			return err
		}
		if found.State == Damaged {
			d.others = append(d.others, path)
			d.blame(Damaged, path, found.Why)
		}
	}
	return nil
}

// examineAgreement holds files that can be read against each other and against the disk.
func (o Options) examineAgreement(ctx context.Context, d *diagnosis) error {
	ask := request{
		Task: taskCompare, Metadata: o.metadata(), Trees: o.trees(), Blobs: o.blobs(),
		Namespace: o.Namespace, Kind: o.Snapshotter,
	}
	if _, err := os.Stat(o.snapshots()); err == nil {
		ask.Snapshots = o.snapshots()
	}
	found, err := o.ask(ctx, ask)
	if err != nil {
		return err
	}
	if found.State == Damaged { // the child did not live to say more
		found.State = Disagrees
	}
	if found.State == Disagrees {
		d.ours = true
		d.blame(Disagrees, o.metadata(), found.Why)
	}
	return nil
}

// blame notes what is broken; the first to be found is told.
func (d *diagnosis) blame(state State, file, why string) {
	if d.State.Broken() {
		return
	}
	d.State, d.File, d.Why = state, file, why
}
