package containerd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// exitUnknown is the code of an end nobody saw, as containerd itself has it.
const exitUnknown = client.UnknownExitStatus

// Wait blocks until the instance has ended.
func (d *Driver) Wait(ctx context.Context, id string) (edge.Exit, error) {
	c, err := d.conn()
	if err != nil {
		return edge.Exit{}, err
	}
	exit, err := d.wait(d.scope(ctx), c, id)
	if err != nil {
		return edge.Exit{}, fmt.Errorf("cannot wait for instance %q: %w", id, err)
	}
	return exit, nil
}

func (d *Driver) wait(ctx context.Context, c *client.Client, id string) (edge.Exit, error) {
	call, hangUp := undated(ctx)
	defer hangUp()
	for pause := newPause(); ; {
		end, err := c.TaskService().Wait(call, &tasks.WaitRequest{ContainerID: id})
		if err == nil {
			return d.exitOf(id, end.ExitStatus, end.ExitedAt.AsTime()), nil
		}
		switch judge(err, ctx.Err()) {
		case verdictFail:
			if ctx.Err() != nil {
				return edge.Exit{}, ctx.Err()
			}
			return edge.Exit{}, native(err)
		case verdictLook:
			gone, err := d.isGone(ctx, c, id)
			if gone || err != nil {
				return edge.Exit{Code: exitUnknown}, err // nobody knows when
			}
		case verdictRetry:
		}
		if err := pause.wait(ctx); err != nil {
			return edge.Exit{}, err
		}
		d.nudge()
	}
}

// isGone tells whether an instance is still held but its task is lost. An
// instance that is not held at all is an error; a daemon that does not answer, or
// is still clearing up after a dead shim, tells nothing yet.
func (d *Driver) isGone(ctx context.Context, c *client.Client, id string) (bool, error) {
	if _, err := c.ContainerService().Get(ctx, id); err != nil {
		if judge(err, ctx.Err()) == verdictRetry {
			return false, nil
		}
		return false, native(err)
	}
	_, err := c.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id})
	return errdefs.IsNotFound(unwrapped(err)), nil
}

// exitOf makes sense of how a task ended.
func (d *Driver) exitOf(id string, code uint32, at time.Time) edge.Exit {
	exit := decodeExit(code, at)
	// The cgroup outlives the process until the instance is removed, and counts
	// what the kernel killed in it: no event can be missed.
	if exit.Signal == "SIGKILL" {
		exit.OOM, exit.Short = d.starvation(id)
	}
	return exit
}

// decodeExit names the signal in an exit code, by the convention of shells and
// runc that a process ended by signal n has code 128+n.
func decodeExit(code uint32, at time.Time) edge.Exit {
	const base, highest = 128, 64 // signals are numbered 1 to 64
	exit := edge.Exit{Code: code, At: at}
	if code <= base || code > base+highest {
		return exit
	}
	number := unix.Signal(code - base)
	if exit.Signal = unix.SignalName(number); exit.Signal == "" {
		exit.Signal = fmt.Sprintf("signal %d", int(number))
	}
	return exit
}

// pause spaces attempts to reach a daemon that is away: soon at first, for a
// restart takes a tenth of a second, and then less and less often.
type pause struct{ next time.Duration }

const (
	shortestPause = 20 * time.Millisecond
	longestPause  = time.Second
)

func newPause() *pause { return &pause{next: shortestPause} }

// wait blocks for the next pause, of a random length so that not all waiters ask
// at the same moment.
func (p *pause) wait(ctx context.Context) error {
	timer := time.NewTimer(p.next/2 + rand.N(p.next/2))
	defer timer.Stop()
	p.next = min(2*p.next, longestPause)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// scope puts our namespace on a call.
func (d *Driver) scope(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, d.opts.Namespace)
}
