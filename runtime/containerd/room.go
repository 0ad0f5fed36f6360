package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"

	"holdfast/edge"
)

// roomless makes an error that a full disk caused one that says so. Of the daemon's own
// only the words come over its socket.
func roomless(err error) error {
	if err == nil || errors.Is(err, edge.ErrNoRoom) || !isFull(err) {
		return err
	}
	return edge.WithHint(fmt.Errorf("%w: %w", edge.ErrNoRoom, err),
		"nothing of it was kept; make room, with `holdfast images prune` or by removing other files, and try again")
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		strings.Contains(err.Error(), syscall.ENOSPC.Error()) || strings.Contains(err.Error(), syscall.EDQUOT.Error())
}

// room tells whether so many bytes may still be written into the daemon's store.
func (d *Driver) room(need int64) error {
	if d.opts.Room == nil {
		return nil
	}
	return d.opts.Room(need)
}

// roomEvery is how many bytes may come between two looks at the disk: a hundredth of
// what a small one keeps free.
const roomEvery = 2 << 20

// roomyReader ends a stream when there is no more room for what it brings.
type roomyReader struct {
	source io.Reader
	room   func(need int64) error
	left   int // bytes until the next look
}

func (r *roomyReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		if err := r.room(0); err != nil {
			return 0, err
		}
		r.left = roomEvery
	}
	n, err := r.source.Read(p)
	r.left -= n
	return n, err
}

// Folders lists where the daemon keeps content and layers, by its own word.
func (d *Driver) Folders(ctx context.Context) ([]string, error) {
	c, err := d.conn()
	if err != nil {
		return nil, err
	}
	found, err := c.IntrospectionService().Plugins(d.scope(ctx), "type==io.containerd.content.v1",
		"type==io.containerd.snapshotter.v1,id=="+d.opts.Snapshotter)
	if err != nil {
		return nil, fmt.Errorf("cannot tell where containerd keeps images: %w", native(err))
	}
	var folders []string
	for _, plugin := range found.Plugins {
		if root := plugin.Exports["root"]; root != "" {
			folders = append(folders, root)
		}
	}
	if len(folders) == 0 {
		return nil, fmt.Errorf("containerd does not tell where it keeps images: %w", edge.ErrNotFound)
	}
	slices.Sort(folders)
	return slices.Compact(folders), nil
}
