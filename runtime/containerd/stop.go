package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// Stop asks the instance to end and kills it after grace.
func (d *Driver) Stop(ctx context.Context, id string, grace time.Duration) error {
	c, err := d.conn()
	if err != nil {
		return err
	}
	defer d.hold(id)()
	if err := d.stop(d.scope(ctx), c, id, grace); err != nil {
		return fmt.Errorf("cannot stop instance %q: %w", id, err)
	}
	return nil
}

func (d *Driver) stop(ctx context.Context, c *client.Client, id string, grace time.Duration) error {
	record, err := c.ContainerService().Get(ctx, id)
	if err != nil {
		return unlessGone(native(err))
	}
	signal, err := signalNumber(cmp.Or(record.Labels[labelStopSignal], "SIGTERM"))
	if err != nil {
		return err
	}
	d.retreat(ctx, c, id, record.Labels)
	if err := kill(ctx, c, id, signal); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	_, err = d.wait(patience, c, id)
	if err == nil || errors.Is(err, edge.ErrNotFound) {
		return nil
	}
	if ctx.Err() != nil || patience.Err() == nil {
		return err
	}
	return d.killAndWait(ctx, c, id)
}

func (d *Driver) killAndWait(ctx context.Context, c *client.Client, id string) error {
	if err := kill(ctx, c, id, unix.SIGKILL); err != nil {
		return err
	}
	_, err := d.wait(ctx, c, id)
	return unlessGone(err)
}

// clearWithin bounds how long the daemon may take to clear up after a dead shim.
const clearWithin = 10 * time.Second

// kill signals a task; one that is gone or ended needs no signal.
func kill(ctx context.Context, c *client.Client, id string, signal unix.Signal) error {
	until := time.Now().Add(clearWithin)
	for pause := newPause(); ; {
		_, err := c.TaskService().Kill(ctx, &tasks.KillRequest{ContainerID: id, Signal: uint32(signal)})
		if err == nil || errdefs.IsFailedPrecondition(unwrapped(err)) {
			return nil
		}
		if !isShimGone(err) || time.Now().After(until) {
			return unlessGone(native(err))
		}
		if err := pause.wait(ctx); err != nil {
			return err
		}
	}
}

func unlessGone(err error) error {
	if errors.Is(err, edge.ErrNotFound) {
		return nil
	}
	return err
}

// Remove deletes the instance and everything that belonged to it.
func (d *Driver) Remove(ctx context.Context, id string) error {
	c, err := d.conn()
	if err != nil {
		return err
	}
	if err := d.remove(d.scope(ctx), c, id); err != nil {
		return fmt.Errorf("cannot remove instance %q: %w", id, err)
	}
	return nil
}

func (d *Driver) remove(ctx context.Context, c *client.Client, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	defer d.hold(id)()
	if err := d.killAndWait(ctx, c, id); err != nil {
		return err
	}
	return d.discard(ctx, c, id)
}

// discard deletes an instance whose process has ended. The record goes last:
// without it nobody would find the rest again. What runc remembers of it is left
// alone until nothing runs any more, or runc could not end it.
func (d *Driver) discard(ctx context.Context, c *client.Client, id string) error {
	return whole(ctx, func(ctx context.Context) error {
		_, err := c.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
		if err = native(err); errors.Is(err, edge.ErrNotFound) {
			err = d.settle(ctx, id, "its task is gone", shimWithin)
		}
		if err != nil {
			return err
		}
		snapshot := unlessGone(native(c.SnapshotService(d.opts.Snapshotter).Remove(ctx, id)))
		d.leavePorts(ctx, c, id)
		if err := errors.Join(snapshot, d.leaveNetworks(ctx, c, id), d.removeFiles(id)); err != nil {
			return err
		}
		d.freezers.forget(id)
		d.leaveTenants()
		return unlessGone(native(c.ContainerService().Delete(ctx, id)))
	})
}

// removeFiles deletes the instance's folder, its logs, and last what runc may
// remember of it: by that, if by nothing else, it is found again.
func (d *Driver) removeFiles(id string) error {
	if err := errors.Join(os.RemoveAll(d.instanceDir(id)), os.RemoveAll(d.secretDir(id)), d.removeLogs(id)); err != nil {
		return err
	}
	return os.RemoveAll(d.runcState(id))
}

func (d *Driver) removeLogs(id string) error {
	for number := 0; ; number++ {
		err := os.Remove(d.rotatedLog(id, number))
		if errors.Is(err, fs.ErrNotExist) && number > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
}

// parseSignal returns the name of a signal given by name, with or without SIG, or
// by number.
func parseSignal(text string) (string, error) {
	name := strings.ToUpper(text)
	if number, err := strconv.Atoi(text); err == nil {
		name = unix.SignalName(unix.Signal(number))
	} else if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if _, err := signalNumber(name); err != nil {
		return "", fmt.Errorf("there is no signal %q: %w", text, edge.ErrInvalid)
	}
	return name, nil
}

func signalNumber(name string) (unix.Signal, error) {
	number := unix.SignalNum(name)
	if number == 0 {
		return 0, fmt.Errorf("there is no signal %q: %w", name, edge.ErrInvalid)
	}
	return number, nil
}
