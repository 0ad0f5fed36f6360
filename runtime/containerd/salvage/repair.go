package salvage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// Report is what a repair did.
type Report struct {
	Before   Condition
	Steps    []string // what was done, in order, for people
	Images   []string // what containerd holds for us now, by name
	Missing  []string // digests that are wanted and not whole on disk
	Repaired bool     // something was broken and is not any more
}

func (r *Report) did(format string, args ...any) {
	r.Steps = append(r.Steps, fmt.Sprintf(format, args...))
}

// Repair puts metadata in the place of broken metadata, and ends what still runs of ours.
// Where nothing is broken it does nothing. While containerd has its metadata open the
// error is edge.ErrLocked. What was done before an error stands in the report; all of it
// can be done again.
func Repair(ctx context.Context, o Options) (Report, error) {
	var r Report
	o, err := o.withDefaults()
	if err != nil {
		return r, err
	}
	lock, err := o.lockOut()
	if err != nil {
		return r, err
	}
	defer lock.Close()
	found, err := o.examine(ctx)
	r.Before = found.Condition
	if err != nil {
		return r, err
	}
	if !found.State.Broken() {
		return r, nil
	}
	if err := o.repair(ctx, found, &r); err != nil {
		return r, fmt.Errorf("cannot repair metadata of containerd: %w", err)
	}
	r.Repaired = true
	for _, pid := range o.holders() {
		r.did("process %d has opened the damaged file meanwhile: restart containerd", pid)
	}
	return r, nil
}

// lockOut keeps containerd from opening its metadata. It takes the lock that readers
// share, so that the child can still read.
func (o Options) lockOut() (*os.File, error) {
	file, err := os.Open(o.metadata())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // containerd begins anew when it starts
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open metadata of containerd: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		file.Close()
		return nil, edge.WithHint(
			fmt.Errorf("cannot lock %q: containerd has it open: %w", o.metadata(), edge.ErrLocked),
			"stop containerd first (systemctl stop containerd); what runs goes on meanwhile")
	}
	return file, nil
}

// repair goes from what can be done again to what cannot: as long as the damaged file has
// its name, another repair begins from the start.
func (o Options) repair(ctx context.Context, d diagnosis, r *Report) error {
	for _, path := range d.others {
		if err := o.setAside(path, r); err != nil {
			return err
		}
	}
	if !d.metadata && !d.ours && !d.snapshots {
		return nil
	}
	if err := o.endTasks(ctx, r); err != nil {
		return err
	}
	stock, err := takeStock(ctx, o.blobs())
	if err != nil {
		return err
	}
	if err := o.dropForged(stock, r); err != nil {
		return err
	}
	ask, err := o.plan(ctx, d, stock)
	if err != nil {
		return err
	}
	// The folders of snapshots go first: without the metadata that names them they could
	// be told from none that are made later.
	if d.metadata || d.snapshots {
		if err := o.setSnapshotsAside(ctx, d, r); err != nil {
			return err
		}
	}
	if err := o.replace(ctx, ask, r); err != nil {
		return err
	}
	o.account(ask, stock, r)
	return nil
}

// plan is what the new metadata holds.
func (o Options) plan(ctx context.Context, d diagnosis, stock inventory) (request, error) {
	ask := request{
		Task: taskWrite, Metadata: o.metadata(), Into: o.metadata() + ".new",
		Namespace: o.Namespace, Kind: o.Snapshotter,
		Keep: !d.metadata, Forget: d.snapshots, Floor: map[string]uint64{},
	}
	// The names that still can be read; a child that dies over it has none.
	hints, err := o.ask(ctx, request{Task: taskNames, Metadata: o.metadata(), Namespace: o.Namespace})
	if err != nil {
		return ask, err
	}
	ask.Images = stock.images(hints.Images, o.Wanted)
	ask.Blob = stock.records(ask.Images)
	if d.ours {
		// What lies there of ours keeps its numbers until containerd collects it.
		numbers, err := o.ask(ctx, request{Task: taskNumbers, Snapshots: o.snapshots()})
		if err != nil {
			return ask, err
		}
		ask.Floor = numbers.Numbers
	}
	return ask, nil
}

// replace writes the new metadata and gives it the name, in one rename.
func (o Options) replace(ctx context.Context, ask request, r *Report) error {
	defer os.Remove(ask.Into)
	got, err := o.ask(ctx, ask)
	if err == nil && got.State != Whole && ask.Keep {
		// What others have can be read, and not copied: it is lost with the rest.
		r.did("what other namespaces had could not be carried over: %s", got.Why)
		ask.Keep = false
		got, err = o.ask(ctx, ask)
	}
	if err != nil {
		return err
	}
	if got.State != Whole {
		return fmt.Errorf("cannot write new metadata: %s", got.Why)
	}
	path := o.metadata()
	if err := o.clearAside(path); err != nil {
		return err
	}
	aside := o.asideName(path)
	if err := os.Link(path, aside); err != nil {
		// Without links the damaged file is not kept: between two renames the power
		// could go.
		if aside = ""; exists(path) {
			r.did("the damaged file could not be kept: %v", err)
		}
	}
	// Where there was none, containerd may have made one by now, which stays.
	put := os.Rename
	if !exists(path) {
		put = os.Link
	}
	if err := put(ask.Into, path); err != nil {
		return err
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return err
	}
	if aside != "" {
		r.did("set the damaged metadata aside as %s", aside)
	}
	r.did("wrote new metadata with %d images and %d blobs, each of which was hashed", len(ask.Images), len(ask.Blob))
	return nil
}

// account says what containerd holds now.
func (o Options) account(ask request, stock inventory, r *Report) {
	for _, image := range ask.Images {
		r.Images = append(r.Images, image.Name)
	}
	for _, digest := range o.Wanted {
		if !stock.whole(digest, deepest) && !slices.Contains(r.Missing, digest) {
			r.Missing = append(r.Missing, digest)
		}
	}
}

// dropForged removes content that is not what it is named after: containerd would take
// it for what is imported next under that digest.
func (o Options) dropForged(stock inventory, r *Report) error {
	for _, path := range stock.forged {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("cannot remove forged content: %w", err)
		}
		r.did("removed blob sha256:%s, whose content was something else", filepath.Base(path))
	}
	return nil
}

// aside is between the name of what is set aside and the time.
const aside = ".damaged-"

func (o Options) asideName(path string) string { return path + aside + o.Stamp }

// setAside gives a file another name. The latest that was set aside is kept.
func (o Options) setAside(path string, r *Report) error {
	if err := o.clearAside(path); err != nil {
		return err
	}
	if err := os.Rename(path, o.asideName(path)); err != nil {
		return err
	}
	r.did("set %s aside as %s", path, filepath.Base(o.asideName(path)))
	return syncFolder(filepath.Dir(path))
}

// clearAside removes what earlier repairs set aside of a file or folder.
func (o Options) clearAside(path string) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), filepath.Base(path)+aside) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(filepath.Dir(path), e.Name())); err != nil {
			return fmt.Errorf("cannot remove what was set aside earlier: %w", err)
		}
	}
	return nil
}

func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
