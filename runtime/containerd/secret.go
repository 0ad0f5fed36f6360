package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// A secret is a file of the instance's own below RunDir, shown inside the container by
// a bind of that one file. The container's record, which the daemon keeps on disk,
// holds the two paths; the value lies in memory, and goes with the instance.

// confidence is what one instance is told.
type confidence struct {
	mode  fs.FileMode
	value []byte
}

// confide adds the secrets of a workload to its plan.
func (d *Driver) confide(p *plan) error {
	if len(p.workload.Secrets) == 0 {
		return nil
	}
	folder, err := d.secretFolder(p.id)
	if err != nil {
		return err
	}
	var errs []error
	for i, secret := range p.workload.Secrets {
		value, err := d.opts.Secret(secret)
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot tell it secret %q: %w", secret.Name, err))
			continue
		}
		p.secrets = append(p.secrets, confidence{fs.FileMode(secret.Permissions()), value})
		m := bindMount(filepath.Join(folder, strconv.Itoa(i)), secret.Target(), true)
		m.Options = append(m.Options, "noexec")
		p.given.mounts = append(p.given.mounts, m)
	}
	return errors.Join(errs...)
}

// secretFolder is where the secrets of an instance lie, without links on the way, once
// that is sure to be memory.
func (d *Driver) secretFolder(id string) (string, error) {
	if err := os.MkdirAll(d.secretsDir(), 0o700); err != nil {
		return "", fmt.Errorf("cannot create folder of secrets: %w", err)
	}
	run, err := filepath.EvalSymlinks(d.secretsDir())
	if err != nil {
		return "", fmt.Errorf("cannot find folder of secrets: %w", err)
	}
	var under unix.Statfs_t
	if err := unix.Statfs(run, &under); err != nil {
		return "", fmt.Errorf("cannot look at folder of secrets: %w", err)
	}
	if kind := uint32(under.Type); kind != unix.TMPFS_MAGIC && kind != unix.RAMFS_MAGIC {
		return "", edge.WithHint(fmt.Errorf("%q is not in memory, and secrets may lie nowhere else: %w", run, edge.ErrInvalid),
			"let paths.run lie on a tmpfs, such as /run/holdfast")
	}
	return filepath.Join(run, id), nil
}

// makeSecrets writes what the instance is told.
func (f *draft) makeSecrets(context.Context) error {
	if len(f.plan.secrets) == 0 {
		return nil
	}
	folder := f.driver.secretDir(f.plan.id)
	// One of the same name can only be left from a daemon that lost its metadata.
	if err := os.RemoveAll(folder); err != nil {
		return fmt.Errorf("cannot clear folder of secrets: %w", err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		return fmt.Errorf("cannot create folder of secrets: %w", err)
	}
	for i, told := range f.plan.secrets {
		if err := told.write(filepath.Join(folder, strconv.Itoa(i)), f.plan.account); err != nil {
			return fmt.Errorf("cannot write secret %q: %w", f.plan.workload.Secrets[i].Name, err)
		}
	}
	return nil
}

func (c confidence) write(name string, who account) error {
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(c.value)
	// The owner first: to change it takes bits of the mode away.
	return errors.Join(err, file.Chown(int(who.uid), int(who.gid)), file.Chmod(c.mode), file.Close())
}

func noSecrets(edge.Secret) ([]byte, error) {
	return nil, fmt.Errorf("this node has none: %w", edge.ErrNotFound)
}

// secretsDir can be entered by nobody but root: the files in it belong to the users of
// instances, whose numbers somebody of the host may have too.
func (d *Driver) secretsDir() string {
	return filepath.Join(d.opts.RunDir, "secrets", d.opts.Namespace)
}

func (d *Driver) secretDir(id string) string { return filepath.Join(d.secretsDir(), id) }

// entriesOf lists the names in a folder, none where it is not there.
func entriesOf(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, nil
}
