package boltfile

import (
	"context"
	"errors"
	"log/slog"
	"os/exec"
	"time"
)

// Options are what a File needs. Path, Layout and Child have no default.
type Options struct {
	Path   string
	Layout Layout

	// Child is the command that runs CheckMain on a file of this layout, in a process
	// that the damage in it may kill.
	Child func(ctx context.Context, path string) *exec.Cmd

	Disk Disk         // nil: the real one
	Log  *slog.Logger // nil: silent
}

// lockLimit is within what a program that is just stopping lets go.
const lockLimit = time.Second

// New checks options. It touches no file.
func New(o Options) (*File, error) {
	switch {
	case o.Path == "":
		return nil, errors.New("cannot create database: no path")
	case o.Layout.Schema < 1 || o.Layout.MaxBytes < 1:
		return nil, errors.New("cannot create database: no layout")
	case o.Layout.Schema > 1 && o.Layout.Migrate == nil:
		return nil, errors.New("cannot create database: nothing migrates older schemas")
	case o.Child == nil:
		return nil, errors.New("cannot create database: no child")
	}
	if o.Disk == nil {
		o.Disk = RealDisk{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &File{options: o}, nil
}
