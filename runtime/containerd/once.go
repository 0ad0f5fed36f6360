package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/containerd/v2/pkg/cio"

	"holdfast/edge"
)

// RunOnce runs a workload to its end and removes it: a task of a tool that is no
// server. Its output, errors among it, goes to stdout while it runs; a nil stdout
// discards it. When ctx ends the container is killed.
func (d *Driver) RunOnce(ctx context.Context, w edge.Workload, id string, stdout io.Writer) (edge.Exit, error) {
	exit, err := d.runOnce(d.scope(ctx), w, id, stdout)
	if err != nil {
		return edge.Exit{}, fmt.Errorf("cannot run workload %q as %q: %w", w.Key(), id, err)
	}
	return exit, nil
}

func (d *Driver) runOnce(ctx context.Context, w edge.Workload, id string, stdout io.Writer) (edge.Exit, error) {
	if err := d.hands.start(id); err != nil {
		return edge.Exit{}, err
	}
	defer d.hands.started(id)
	draft, err := d.prepare(ctx, w, id)
	if err != nil {
		return edge.Exit{}, err
	}
	if err := draft.create(ctx, d.output(stdout)); err != nil {
		return edge.Exit{}, err
	}
	if err := draft.run(ctx); err != nil {
		return edge.Exit{}, errors.Join(err, draft.undo(ctx))
	}
	exit, err := d.wait(ctx, draft.client, id)
	if err != nil {
		return edge.Exit{}, errors.Join(err, draft.undo(ctx))
	}
	draft.streams.Wait() // what it wrote last is still on its way
	return exit, errors.Join(draft.streams.Close(), d.discard(context.WithoutCancel(ctx), draft.client, id))
}

// output copies what the container writes to one writer, or nowhere.
func (d *Driver) output(stdout io.Writer) cio.Creator {
	if stdout == nil {
		return cio.NullIO
	}
	whole := &serialWriter{to: stdout}
	return cio.NewCreator(cio.WithStreams(nil, whole, whole), cio.WithFIFODir(d.fifoDir()))
}

// serialWriter lets two streams write to one writer.
type serialWriter struct {
	mu sync.Mutex // guards writing
	to io.Writer
}

func (w *serialWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}
