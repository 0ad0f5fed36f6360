package salvage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func (o Options) trees() string { return filepath.Join(o.snapshotter(), "snapshots") }

// setSnapshotsAside takes the snapshots away: all of them can be made again from images,
// and without metadata nobody can tell which layer a folder holds. The folders are removed
// at once, for a small disk holds no image twice, unless somebody else has some in it.
func (o Options) setSnapshotsAside(ctx context.Context, d diagnosis, r *Report) error {
	folder := o.snapshotter()
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	foreign, err := o.foreignSnapshots(ctx, d)
	if err != nil {
		return err
	}
	if err := o.clearAside(folder); err != nil {
		return err
	}
	away := o.asideName(folder)
	if err := os.Rename(folder, away); err != nil {
		return err
	}
	if err := syncFolder(o.Root); err != nil {
		return err
	}
	if foreign != "" {
		r.did("set the snapshots aside as %s, for %s; remove the folder when nobody misses them", away, foreign)
		return nil
	}
	if err := os.RemoveAll(filepath.Join(away, "snapshots")); err != nil {
		return fmt.Errorf("cannot remove old snapshots: %w", err)
	}
	r.did("removed the unpacked layers, which are unpacked anew, and set their metadata aside in %s", away)
	return nil
}

// foreignSnapshots says what shows that others have snapshots here; empty when nothing
// does.
func (o Options) foreignSnapshots(ctx context.Context, d diagnosis) (string, error) {
	if mounted(o.trees()) {
		return "some are still mounted", nil
	}
	if len(d.Foreign) > 0 {
		return fmt.Sprintf("namespace %q has something in this containerd too", d.Foreign[0]), nil
	}
	entries, err := os.ReadDir(o.bundles(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, e := range entries {
		if e.Name() != o.Namespace {
			return fmt.Sprintf("namespace %q has run something in this containerd", e.Name()), nil
		}
	}
	if d.snapshots {
		return "", nil // nothing can be read of them
	}
	numbers, err := o.ask(ctx, request{Task: taskNumbers, Snapshots: o.snapshots()})
	for namespace := range numbers.Numbers {
		if namespace != o.Namespace {
			return fmt.Sprintf("namespace %q has some", namespace), err
		}
	}
	return "", err
}

// mounted tells whether a mount stands on something below a folder, as a layer or as the
// place of writing. What a layer was called when it was mounted is what is shown.
func mounted(folder string) bool {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return true // nobody knows
	}
	return strings.Contains(string(text), folder+"/")
}
