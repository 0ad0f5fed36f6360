package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// When the agent dies while the daemon creates a task for it, the daemon forgets the
// task at once and has its shim delete it. The shim waits for the end of an output
// that a process holds which never ends, for nobody starts it; after five seconds the
// daemon gives up, removes the shim's folder and hangs up. From then on nobody knows
// of the process, nor of the shim. (Before containerd 2 shims wait for two seconds, and
// all is cleared in time.) Ending the process before lets the shim go on, and everything
// is cleared in order; afterwards it has to be done for them.

const (
	// shimWithin is how long a shim may take to end by itself: the daemon gives its
	// cleaning up five seconds and then its shutdown three.
	shimWithin = 10 * time.Second
	// termWithin is how long a shim may take that was asked to end, which it does in
	// milliseconds, and takes its socket away.
	termWithin = 2 * time.Second
)

// measures are what is done next about what remains.
type measures struct {
	members bool        // their processes are killed
	shims   unix.Signal // they are sent this; 0: they are left alone
	groups  bool        // the cgroups are removed
	done    bool
}

// progress is how far settling has come.
type progress struct {
	waited   time.Duration // since the first look
	patience time.Duration // for shims to end by themselves
	refused  bool          // the processes may not be killed: the shim's end makes the daemon do it
}

// settling decides. It is pure.
func settling(r remains, p progress) measures {
	var m measures
	switch {
	case r.none():
		m.done = true
	case len(r.shims)+len(r.members) > 0:
		m.members = len(r.members) > 0
		m.shims = shimSignal(r, p)
	case len(r.errands) > 0 && p.waited < shimWithin: // the daemon clears up
	default:
		m.groups = true
	}
	return m
}

func shimSignal(r remains, p progress) unix.Signal {
	over := p.waited - p.patience
	switch {
	case len(r.shims) == 0:
		return 0
	case over >= termWithin:
		return unix.SIGKILL
	case over >= 0, p.refused && len(r.members) > 0:
		return unix.SIGTERM
	default:
		return 0
	}
}

// settle ends whatever remains of an instance whose task the daemon does not have,
// and returns once nothing does. Its files are left: by them it is found again.
func (d *Driver) settle(ctx context.Context, id, why string, patience time.Duration) error {
	begun, p := time.Now(), progress{patience: patience}
	told := false
	for pause := newPause(); ; {
		r, err := d.remains(id)
		if err != nil {
			return err
		}
		p.waited = time.Since(begun)
		next := settling(r, p)
		if next.done {
			return nil
		}
		if next != (measures{}) && !told {
			told = true
			d.log.Info("ending what containerd lost sight of", "instance", id, "reason", why,
				"processes", len(r.members), "shims", len(r.shims), "cgroups", len(r.groups))
		}
		failed := d.enact(next, r, id)
		p.refused = p.refused || errors.Is(failed, unix.EPERM)
		if pause.wait(ctx) != nil {
			return fmt.Errorf("%d processes, %d shims and %d cgroups of it remain: %w", len(r.members), len(r.shims), len(r.groups),
				errors.Join(ctx.Err(), failed))
		}
	}
}

// enact carries measures out.
func (d *Driver) enact(m measures, r remains, id string) error {
	var failed []error
	if m.members {
		failed = append(failed, killMembers(r.groups))
	}
	if m.shims != 0 {
		for _, pid := range r.shims {
			failed = append(failed, signalIf(pid, m.shims, func() bool { h, ours := d.helper(pid); return ours && h.id == id }))
		}
	}
	if m.groups {
		for _, group := range slices.Backward(r.groups) {
			if err := os.Remove(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(failed...)
}

// killMembers kills all there is in the cgroups: by the kernel's own means if it has
// them, which needs no right over the processes, or else one by one.
func killMembers(groups []string) error {
	var failed []error
	thawGroups(groups)
	for _, group := range groups {
		if err := writeExisting(filepath.Join(group, "cgroup.kill"), "1"); err == nil {
			continue
		}
		for _, pid := range membersOf(group) {
			failed = append(failed, signalIf(pid, unix.SIGKILL, func() bool { return slices.Contains(membersOf(group), pid) }))
		}
	}
	return errors.Join(failed...)
}

// writeExisting writes to a file of the kernel's, and makes none.
func writeExisting(name, text string) error {
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}

// signalIf signals a process if it is still the one that was meant, which a handle on
// it makes sure of: its number may be another's by now.
func signalIf(pid int, signal unix.Signal, still func() bool) error {
	handle, err := unix.PidfdOpen(pid, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return nil
	case errors.Is(err, unix.ENOSYS): // before Linux 5.3
		if !still() {
			return nil
		}
		err = unix.Kill(pid, signal)
	case err == nil:
		defer unix.Close(handle)
		if !still() {
			return nil
		}
		err = unix.PidfdSendSignal(handle, signal, nil, 0)
	}
	if err == nil || errors.Is(err, unix.ESRCH) {
		return nil
	}
	err = fmt.Errorf("cannot send %v to process %d: %w", signal, pid, err)
	if errors.Is(err, unix.EPERM) {
		return edge.WithHint(err, "may the agent's service send signals? CapabilityBoundingSet in its unit names CAP_KILL")
	}
	return err
}
