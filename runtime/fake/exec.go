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
// work on it.
func (d *Driver) Exec(ctx context.Context, id string, args []string, _ io.Reader, stdout, _ io.Writer) (edge.Exit, error) {
	if err := d.reach(); err != nil {
		return edge.Exit{}, fmt.Errorf("cannot run a command in instance %q: %w", id, err)
	}
	c := d.find(id)
	switch {
	case c == nil:
		return edge.Exit{}, fmt.Errorf("cannot run a command in instance %q: %w", id, edge.ErrNotFound)
	case d.Command == nil:
		return edge.Exit{}, fmt.Errorf("cannot run a command in instance %q: %w", id, errors.New("no such program"))
	}
	c.gate.open()
	exit, said := d.Command(ctx, id, args)
	if err := ctx.Err(); err != nil {
		return edge.Exit{}, fmt.Errorf("cannot run a command in instance %q: %w", id, err)
	}
	if stdout != nil {
		if _, err := io.WriteString(stdout, said); err != nil {
			return edge.Exit{}, fmt.Errorf("cannot run a command in instance %q: %w", id, err)
		}
	}
	return exit, nil
}

// LogTail returns the last lines of what Log says a container has written.
func (d *Driver) LogTail(_ context.Context, id string, lines int) (io.ReadCloser, error) {
	if d.find(id) == nil || d.Log == nil {
		return nil, fmt.Errorf("no log of instance %q: %w", id, edge.ErrNotFound)
	}
	all := slices.Collect(strings.Lines(d.Log(id)))
	return io.NopCloser(strings.NewReader(strings.Join(all[max(0, len(all)-lines):], ""))), nil
}
