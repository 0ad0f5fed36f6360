package containerd

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"

	"holdfast/edge"
)

// Exec runs a command inside a running instance, as the same user and with the
// same restraints as the instance's own process.
func (d *Driver) Exec(ctx context.Context, id string, args []string, stdin io.Reader, stdout, stderr io.Writer) (edge.Exit, error) {
	// The shim cannot do with one of the two alone.
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	defer d.hold(id)() // a command in a frozen cgroup would freeze with it
	heard := new(hearing)
	exit, err := d.exec(d.scope(ctx), id, args, cio.WithStreams(stdin, heard.by(stdout), heard.by(stderr)), heard)
	if ended := ctx.Err(); err != nil && ended != nil && !errors.Is(err, ended) {
		err = fmt.Errorf("%w: %w", ended, err) // the shim tells it in words alone
	}
	if err != nil {
		return edge.Exit{}, fmt.Errorf("cannot run a command in instance %q: %w", id, err)
	}
	return exit, nil
}

func (d *Driver) exec(ctx context.Context, id string, args []string, streams cio.Opt, heard *hearing) (edge.Exit, error) {
	if len(args) == 0 {
		return edge.Exit{}, fmt.Errorf("no command given: %w", edge.ErrInvalid)
	}
	c, err := d.conn()
	if err != nil {
		return edge.Exit{}, err
	}
	container, err := c.LoadContainer(ctx, id)
	if err != nil {
		return edge.Exit{}, native(err)
	}
	spec, err := container.Spec(ctx)
	if err != nil {
		return edge.Exit{}, native(err)
	}
	task, err := container.Task(ctx, nil)
	if err != nil {
		return edge.Exit{}, native(err)
	}
	process := *spec.Process
	process.Args, process.Terminal = args, false
	execID := "exec-" + rand.Text()
	running, err := task.Exec(ctx, execID, &process, cio.NewCreator(streams, cio.WithFIFODir(d.fifoDir())))
	if err != nil {
		return edge.Exit{}, native(err)
	}
	exit, err := attendExec(ctx, c, running, id, execID)
	if err == nil {
		heard.out(ctx, running.IO())
	}
	return exit, errors.Join(err, endExec(ctx, running))
}

// attendExec waits for the command. The stream of its input ends with the input
// only if somebody says so.
func attendExec(ctx context.Context, c *client.Client, process client.Process, id, execID string) (edge.Exit, error) {
	if err := process.Start(ctx); err != nil {
		return edge.Exit{}, native(err)
	}
	if err := process.CloseIO(ctx, client.WithStdinCloser); err != nil {
		return edge.Exit{}, native(err)
	}
	call, hangUp := undated(ctx)
	defer hangUp()
	end, err := c.TaskService().Wait(call, &tasks.WaitRequest{ContainerID: id, ExecID: execID})
	if err != nil {
		return edge.Exit{}, native(cmp.Or(ctx.Err(), err))
	}
	return decodeExit(end.ExitStatus, end.ExitedAt.AsTime()), nil
}

// endExec removes the command, killing it first when its caller gave up.
func endExec(ctx context.Context, process client.Process) error {
	const within = 10 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	if _, err := process.Delete(ctx, client.WithProcessKill); err != nil {
		process.IO().Cancel() // or its pipes stay open
		_ = process.IO().Close()
		return unlessGone(native(err))
	}
	return nil
}

// clearPipes removes the pipes of commands that were under way when an agent was
// killed. A shim may be waiting for somebody at the other end of one, and whoever asks
// it for anything waits with it: a pipe that is opened at both ends for a moment lets it
// go on, to find that nobody reads.
func clearPipes(dir string) error {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeNamedPipe == 0 {
			return nil // what cannot be read is told of by the removal
		}
		if pipe, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0); err == nil {
			_ = pipe.Close()
		}
		return nil
	})
	return errors.Join(err, os.RemoveAll(dir))
}
