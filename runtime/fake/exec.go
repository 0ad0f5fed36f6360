package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"holdfast/edge"
)

// Exec runs Command in a container. One that is frozen goes on first, as with any other
// work on it, and what runs in it ends with it.
func (d *Driver) Exec(ctx context.Context, id string, args []string, _ io.Reader, stdout, _ io.Writer) (edge.Exit, error) {
	exit, said, err := d.command(ctx, id, args)
	if err == nil && stdout != nil {
		_, err = io.WriteString(stdout, said)
	}
	if err != nil {
		return edge.Exit{}, fmt.Errorf("cannot run a command in instance %q: %w", id, err)
	}
	return exit, nil
}

func (d *Driver) command(ctx context.Context, id string, args []string) (edge.Exit, string, error) {
	if err := d.reach(); err != nil {
		return edge.Exit{}, "", err
	}
	c := d.find(id)
	switch {
	case c == nil:
		return edge.Exit{}, "", edge.ErrNotFound
	case d.Command == nil:
		return edge.Exit{}, "", errors.New("no such program")
	case hasEnded(c):
		return edge.Exit{}, "", errors.New("the instance has ended")
	}
	c.gate.open()
	inside, leave := context.WithCancel(ctx)
	defer leave()
	d.jobs.Go(func() {
		select {
		case <-c.ended:
			leave()
		case <-inside.Done():
		}
	})
	exit, said := d.Command(inside, id, args)
	if err := ctx.Err(); err != nil {
		return edge.Exit{}, "", err
	}
	if hasEnded(c) {
		exit = edge.Exit{Code: 137, Signal: "SIGKILL"}
	}
	return exit, said, nil
}

func hasEnded(c *container) bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// LogTail returns the last lines of what Log says a container has written.
func (d *Driver) LogTail(_ context.Context, id string, lines int) (io.ReadCloser, error) {
	if d.find(id) == nil || d.Log == nil {
		return nil, fmt.Errorf("no log of instance %q: %w", id, edge.ErrNotFound)
	}
	all := slices.Collect(strings.Lines(d.Log(id)))
	return io.NopCloser(strings.NewReader(strings.Join(all[max(0, len(all)-lines):], ""))), nil
}
