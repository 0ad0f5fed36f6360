// Package rootfs adds to root file systems that are folders here, without mounting anything,
// and starts the programs that make and read them.
//
// It promises that what lies in a copy by links is never written into: a file that is put
// takes the place of one that was there, and the folder it was copied from stays as it is.
//
// # Concurrency
//
// Functions only; two at once must not write below the same folder.
//
// # Failure
//
// A program that fails says so with its own words; one that is not there with a hint.
//
// # Testing
//
// Its users' tests put files over a copy and look at what it was copied from.
package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// Command is a program that ends with this one, however that is ended.
func Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	return cmd
}

// Debian is mmdebstrap, with mounts of its own: whatever ends it, none of them is left behind
// for somebody to remove what is below it.
func Debian(ctx context.Context, args ...string) *exec.Cmd {
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return Command(ctx, "mmdebstrap", args...) // which says that it is not there
	}
	return Command(ctx, "unshare", append([]string{"--mount", "--propagation", "private", "mmdebstrap"}, args...)...)
}

// Complete runs a program, whose words are shown only when it fails. Provisioned by the group
// of that name, it could have been there.
func Complete(cmd *exec.Cmd, group string) error {
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return edge.WithHint(fmt.Errorf("cannot run %s: %w", cmd.Args[0], err), "run build/provision/provision.sh --only "+group)
	}
	if err != nil {
		return fmt.Errorf("cannot run %s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// Link puts a file of this machine's into a root file system, as it is.
func Link(from, to string) error {
	if err := makeRoom(to); err != nil {
		return err
	}
	return os.Link(from, to)
}

// Write makes a file, or another in the place of one that is there.
func Write(name string, text []byte, mode fs.FileMode) error {
	if err := makeRoom(name); err != nil {
		return err
	}
	if err := os.WriteFile(name, text, mode); err != nil {
		return err
	}
	return os.Chmod(name, mode) // whatever umask says
}

// Symlink makes a symbolic link, or another in the place of what is there.
func Symlink(to, name string) error {
	if err := makeRoom(name); err != nil {
		return err
	}
	return os.Symlink(to, name)
}

// makeRoom makes the folder of a file, and room for it.
func makeRoom(name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Hold takes a file for this process alone until that ends or closes it: two at once would
// write into each other's disks.
func Hold(name string) (*os.File, error) {
	held, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock %q: %w", name, err)
	}
	if err := unix.Flock(int(held.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock %q, another run holds it: %w", name, err), held.Close())
	}
	return held, nil
}

// Said makes words of a program part of an error.
func Said(who, words string) error {
	if words = strings.TrimSpace(words); words == "" {
		return nil
	}
	return fmt.Errorf("%s says:\n%s", who, words)
}

// End is the last of what a text file says, such as a console's.
func End(name string) string {
	text, _ := os.ReadFile(name) // none: nothing is shown
	const lines = 30
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
