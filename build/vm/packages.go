package main

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/build/rootfs"
	"holdfast/build/vm/order"
)

// madeAt is the time of the packages' files, in seconds since 1970: any will do.
const madeAt = "1767225600"

// putPackages makes Debian packages of two versions of the agent, where a step wants them.
func (p *place) putPackages(ctx context.Context, stage string, steps []trial) error {
	if !slices.ContainsFunc(steps, func(t trial) bool { return t.name == packageStep }) {
		return nil
	}
	for _, version := range order.Versions() {
		program := filepath.Join(p.work, "holdfast-"+version)
		if err := p.versioned(ctx, version, "", program); err != nil {
			return err
		}
		out := p.path("packages-" + version)
		cmd := rootfs.Command(ctx, "go", "run", "-tags", tags, "./build/packages", "-kinds", "deb", "-version", version,
			"-epoch", madeAt, "-out", out, "amd64="+program)
		cmd.Dir = p.root
		if err := rootfs.Complete(cmd, "vm"); err != nil {
			return err
		}
		file := order.Package(version)
		if err := rootfs.Link(filepath.Join(out, filepath.Base(file)), filepath.Join(stage, strings.TrimPrefix(file, "/"))); err != nil {
			return err
		}
	}
	return nil
}
