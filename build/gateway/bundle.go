package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"holdfast/build/rootfs"
	"holdfast/edge"
)

// manifest is what rauc reads of a bundle before anything else.
func (p *place) manifest(version string) string {
	return fmt.Sprintf("[update]\ncompatible=holdfast-gateway-%s\nversion=%s\n\n[bundle]\nformat=verity\n\n[image.rootfs]\nfilename=system.img\n", p.name, version)
}

// bundle makes of the system what rauc installs on gateways.
func (p *place) bundle(ctx context.Context, o options) error {
	return p.bundleOf(ctx, p.squashed(), o.version, p.bundled())
}

// bundleOf makes a bundle of a system, signed by the developer's certificate: others have
// keys that this never sees.
func (p *place) bundleOf(ctx context.Context, system, version, to string) error {
	keys := filepath.Join(p.out, "keys")
	folder := p.path("bundle")
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	if err := rootfs.Link(system, filepath.Join(folder, "system.img")); err != nil {
		return edge.WithHint(fmt.Errorf("cannot find the system: %w", err), "make the image first: make image ARCH="+p.name)
	}
	if err := rootfs.Write(filepath.Join(folder, "manifest.raucm"), []byte(p.manifest(version)), 0o644); err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return rootfs.Complete(rootfs.Command(ctx, "rauc", "bundle",
		"--cert", filepath.Join(keys, "system.pem"), "--key", filepath.Join(keys, "keys/system.key"), "--keyring", filepath.Join(keys, "system.pem"),
		folder, to), group)
}

// squashed is the file of the system, and bundled that of the bundle.
func (p *place) squashed() string { return strings.TrimSuffix(p.image(), ".img") + ".squashfs" }
func (p *place) bundled() string  { return strings.TrimSuffix(p.image(), ".img") + ".raucb" }
