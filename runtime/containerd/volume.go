package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// A volume is a folder below StateDir: volumes/<app>/<name>. Nobody but root can pass
// through the folders above it, so what a container does with its own root of the
// volume leads nowhere else; containers reach it by a mount.

// gonePrefix is before the names of volumes that are being removed. No volume can be
// named so, since names begin with a letter or digit.
const gonePrefix = ".gone-"

// lendVolumes adds the volumes of a workload to its plan.
func (d *Driver) lendVolumes(p *plan) error {
	if len(p.workload.Volumes) == 0 {
		return nil
	}
	folder, err := filepath.EvalSymlinks(d.volumesDir())
	if err != nil {
		return fmt.Errorf("cannot find folder of volumes: %w", err)
	}
	for _, volume := range p.workload.Volumes {
		m := bindMount(filepath.Join(folder, p.workload.App, volume.Name), volume.Target, volume.ReadOnly)
		m.Options = append(m.Options, "noexec")
		p.given.mounts = append(p.given.mounts, m)
	}
	return nil
}

// makeVolumes makes the volumes that are not there yet, and wants the others to be
// such as the instance can use.
func (f *draft) makeVolumes(context.Context) error {
	for _, volume := range f.plan.workload.Volumes {
		path := f.driver.volumeDir(f.plan.workload.App, volume.Name)
		if err := makeVolume(path, f.plan.account, volume.ReadOnly); err != nil {
			return fmt.Errorf("cannot give it volume %q: %w", volume.Name, err)
		}
	}
	return nil
}

func makeVolume(path string, who account, readOnly bool) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !known {
		return fmt.Errorf("%q is no folder: %w", path, edge.ErrInvalid)
	}
	if readOnly || who.mayWrite(owner, info.Mode()) {
		return nil
	}
	// An empty one is new, or was left by an agent that died just here.
	empty, err := isEmpty(path)
	if err != nil {
		return err
	}
	if !empty {
		return edge.WithHint(
			fmt.Errorf("what is in %q belongs to user %d, and its own is %d: %w", path, owner.Uid, who.uid, edge.ErrInvalid),
			fmt.Sprintf("let the service run as user %d, or: chown -R %d:%d %s", owner.Uid, who.uid, who.gid, path))
	}
	return os.Chown(path, int(who.uid), int(who.gid))
}

// mayWrite tells whether the account may make files in a folder.
func (a account) mayWrite(owner *syscall.Stat_t, mode fs.FileMode) bool {
	switch {
	case owner.Uid == a.uid:
		return true // who may change the mode may do anything
	case owner.Gid == a.gid || slices.Contains(a.groups, owner.Gid):
		return mode&0o030 == 0o030
	default:
		return mode&0o003 == 0o003
	}
}

func isEmpty(folder string) (bool, error) {
	names, err := entriesOf(folder)
	return len(names) == 0, err
}

// Volumes lists the volumes on the node by their names, with what they hold and the
// instances that have them.
func (d *Driver) Volumes(ctx context.Context) ([]edge.VolumeView, error) {
	users, err := d.volumeUsers(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list volumes: %w", err)
	}
	apps, err := entriesOf(d.volumesDir())
	if err != nil {
		return nil, fmt.Errorf("cannot list volumes: %w", err)
	}
	var views []edge.VolumeView
	for _, app := range apps {
		names, err := entriesOf(filepath.Join(d.volumesDir(), app))
		if err != nil {
			return nil, fmt.Errorf("cannot list volumes: %w", err)
		}
		for _, name := range names {
			if !edge.IsName(app) || !edge.IsName(name) {
				continue // on its way out
			}
			view := edge.VolumeView{App: app, Name: name, Path: d.volumeDir(app, name)}
			view.Used = users[view.Key()]
			if view.Size, err = sizeOf(ctx, view.Path); err != nil {
				return nil, fmt.Errorf("cannot measure volume %q: %w", view.Key(), err)
			}
			views = append(views, view)
		}
	}
	return views, nil
}

// volumeUsers are the instances that have volumes, by the volumes' keys.
func (d *Driver) volumeUsers(ctx context.Context) (map[string][]string, error) {
	c, err := d.conn()
	if err != nil {
		return nil, err
	}
	held, err := c.ContainerService().List(d.scope(ctx), fmt.Sprintf("labels.%q", labelVolumes))
	if err != nil {
		return nil, native(err)
	}
	users := map[string][]string{}
	for _, container := range held {
		for key := range strings.FieldsSeq(container.Labels[labelVolumes]) {
			users[key] = append(users[key], container.ID)
		}
	}
	return users, nil
}

// labelVolumes lists the keys of the volumes an instance has.
const labelVolumes = "holdfast.volumes"

func volumeKeys(w edge.Workload) string {
	var keys []string
	for _, volume := range w.Volumes {
		keys = append(keys, w.App+"/"+volume.Name)
	}
	return strings.Join(keys, " ")
}

// sizeOf adds up what a folder takes on disk. What goes meanwhile does not count.
func sizeOf(ctx context.Context, folder string) (bytes uint64, err error) {
	err = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		var info fs.FileInfo
		if err == nil {
			info, err = entry.Info()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		const block = 512 // bytes, whatever the file system's own are
		if stat, known := info.Sys().(*syscall.Stat_t); known {
			bytes += uint64(stat.Blocks) * block
		}
		return nil
	})
	return bytes, err
}

// RemoveVolume deletes a volume and all that is in it, unless an instance has it.
func (d *Driver) RemoveVolume(ctx context.Context, app, name string) error {
	if err := d.removeVolume(ctx, app, name); err != nil {
		return fmt.Errorf("cannot remove volume %q: %w", app+"/"+name, err)
	}
	return nil
}

func (d *Driver) removeVolume(ctx context.Context, app, name string) error {
	if !edge.IsName(app) || !edge.IsName(name) {
		return fmt.Errorf("it cannot be named so: %w", edge.ErrInvalid)
	}
	users, err := d.volumeUsers(ctx)
	if err != nil {
		return err
	}
	if by := users[app+"/"+name]; len(by) > 0 {
		return edge.WithHint(fmt.Errorf("it is used by %s: %w", strings.Join(by, ", "), edge.ErrExists), "stop what uses it first")
	}
	// Out of the way at once: half a volume must not be taken for a whole one.
	gone := d.volumeDir(app, gonePrefix+name)
	if err := os.RemoveAll(gone); err != nil {
		return err
	}
	err = os.Rename(d.volumeDir(app, name), gone)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no such volume: %w", edge.ErrNotFound)
	}
	if err != nil {
		return err
	}
	err = os.RemoveAll(gone)
	if last := os.Remove(filepath.Join(d.volumesDir(), app)); last != nil && !errors.Is(last, unix.ENOTEMPTY) && !errors.Is(last, fs.ErrNotExist) {
		err = errors.Join(err, last)
	}
	return err
}

// clearVolumes ends removals that were cut off.
func (d *Driver) clearVolumes() error {
	left, err := filepath.Glob(filepath.Join(d.volumesDir(), "*", gonePrefix+"*"))
	if err != nil {
		return err
	}
	var failed []error
	for _, path := range left {
		failed = append(failed, os.RemoveAll(path))
	}
	return errors.Join(failed...)
}

func (d *Driver) volumesDir() string { return filepath.Join(d.opts.StateDir, "volumes") }

func (d *Driver) volumeDir(app, name string) string { return filepath.Join(d.volumesDir(), app, name) }
