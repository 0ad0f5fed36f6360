package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"holdfast/build/rootfs"
	"holdfast/edge"
)

// packages are what the machine is made of beside what Debian cannot do without: its kernel
// for virtual machines, which starts from a disk without help, and what containers and the
// tests' networks take.
var packages = []string{
	"linux-image-cloud-amd64", "systemd", "systemd-sysv", "udev", "dbus", "kmod",
	"runc", "containernetworking-plugins", "iproute2", "nftables", "util-linux", "procps",
}

const (
	suite = "bookworm"
	// recipe is part of the name of what was unpacked. It is raised when something but the
	// packages changes.
	recipe = "1"
)

// place is where machines are made in a checkout.
type place struct {
	root string   // the checkout
	base string   // Debian, unpacked
	work string   // dist/vm
	lock *os.File // held while this one works there
}

// open takes the place; two at once would write into each other's disk.
func open(root string) (*place, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	if os.Getuid() != 0 {
		return nil, edge.WithHint(errors.New("cannot make a machine: not root"), "run it with sudo")
	}
	sum := sha256.Sum256([]byte(strings.Join(append(packages, suite, recipe), " ")))
	p := &place{
		root: root, work: filepath.Join(root, "dist", "vm"),
		base: filepath.Join(root, ".tools", "vm", suite+"-"+hex.EncodeToString(sum[:4])),
	}
	for _, folder := range []string{p.work, filepath.Dir(p.base)} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, fmt.Errorf("cannot make folder: %w", err)
		}
	}
	if p.lock, err = rootfs.Hold(p.path("lock")); err != nil {
		return nil, err
	}
	return p, nil
}

// Close lets go of the place.
func (p *place) Close() error { return p.lock.Close() }

// unpack makes Debian's part of the disk, once. What was cut off is no base: it gets its name
// when it is whole.
func (p *place) unpack(ctx context.Context) error {
	if _, err := os.Stat(p.base); err == nil {
		return nil
	}
	fmt.Printf("vm: unpacking Debian's packages into %s (once)\n", p.base)
	half := p.base + ".half"
	if err := os.RemoveAll(half); err != nil {
		return fmt.Errorf("cannot remove what was cut off: %w", err)
	}
	words := []string{"--variant=minbase", "--mode=root", "--include=" + strings.Join(packages, ",")}
	for _, folder := range []string{"doc", "man", "locale", "info"} {
		words = append(words, "--dpkgopt=path-exclude=/usr/share/"+folder+"/*")
	}
	cmd := rootfs.Debian(ctx, append(words, suite, half)...)
	// The kernel needs no initial disk here, and making one takes as long as all the rest.
	cmd.Env = append(os.Environ(), "INITRD=No")
	if err := rootfs.Complete(cmd, "vm"); err != nil {
		return edge.WithHint(err, "this needs Debian's package mirror; see /etc/apt/sources.list")
	}
	if err := os.Rename(half, p.base); err != nil {
		return fmt.Errorf("cannot keep what was unpacked: %w", err)
	}
	return nil
}

// kernel is the kernel of the base.
func (p *place) kernel() (string, error) {
	found, err := filepath.Glob(filepath.Join(p.base, "boot", "vmlinuz-*"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("got %d kernels in %q (%w), want one: %w", len(found), p.base, err, edge.ErrNotFound)
	}
	return found[0], nil
}
