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

// packages is what a gateway is made of beside what Debian calls essential. GRUB's part is
// taken from the last ones, and left out of the gateway's own system but for what writes
// down which system starts.
func (a arch) packages() []string {
	return []string{
		a.kernel, "systemd", "systemd-sysv", "udev", "dbus", "kmod", "systemd-resolved", "systemd-timesyncd", "ca-certificates",
		"runc", "containernetworking-plugins", "e2fsprogs", "dosfstools", "rauc", "rauc-service", "busybox-static",
		"grub-common", a.grubPackage,
	}
}

// unwanted are folders of the kernel's modules that a gateway has no use for.
func unwanted() []string {
	return []string{
		"sound", "drivers/gpu", "drivers/media", "drivers/staging", "drivers/infiniband", "drivers/isdn", "drivers/comedi", "drivers/target",
		"drivers/net/wireless", "net/mac80211", "drivers/net/ethernet/mellanox",
		"fs/btrfs", "fs/xfs", "fs/jfs", "fs/reiserfs", "fs/f2fs", "fs/ocfs2", "fs/gfs2",
		"fs/ceph", "fs/cifs", "fs/ksmbd", "fs/smb", "fs/nfs", "fs/nfsd", "fs/afs",
	}
}

// unread are folders of texts that nobody is there to read.
func unread() []string { return []string{"doc", "man", "locale", "info", "lintian", "bug"} }

const (
	suite = "bookworm"
	// recipe is part of the name of what was unpacked. It is raised when something but the
	// packages changes.
	recipe = "1"
)

// place is where images are made in a checkout.
type place struct {
	arch
	root string // the checkout
	from string // file with sources of Debian's packages; empty: Debian's own mirrors
	base string // Debian, unpacked
	out  string // dist/gateway
	work string // and what is made there on the way
	lock *os.File
}

// open takes the place; two at once would write into each other's image.
func open(o options, a arch) (*place, error) {
	root, err := filepath.Abs(o.root)
	if err != nil {
		return nil, err
	}
	out := o.out
	if out == "" {
		out = filepath.Join(root, "dist", "gateway")
	}
	made := append(append(a.packages(), unwanted()...), suite, recipe)
	if o.sources != "" {
		text, err := os.ReadFile(o.sources)
		if err != nil {
			return nil, fmt.Errorf("cannot read sources of Debian's packages: %w", err)
		}
		made = append(made, string(text))
	}
	sum := sha256.Sum256([]byte(strings.Join(made, " ")))
	p := &place{
		arch: a, root: root, from: o.sources, out: out, work: filepath.Join(out, a.name),
		base: filepath.Join(root, ".tools", "gateway", suite+"-"+a.name+"-"+hex.EncodeToString(sum[:4])),
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

func (p *place) path(name string) string { return filepath.Join(p.work, name) }

// unpack makes Debian's part of the system, once. What was cut off is no base: it gets its
// name when it is whole.
func (p *place) unpack(ctx context.Context) error {
	if _, err := os.Stat(p.base); err == nil {
		return nil
	}
	if os.Getuid() != 0 {
		return edge.WithHint(errors.New("cannot unpack Debian: not root"), "run it with sudo")
	}
	fmt.Printf("gateway: unpacking Debian's packages for %s into %s (once)\n", p.name, p.base)
	half := p.base + ".half"
	if err := os.RemoveAll(half); err != nil {
		return fmt.Errorf("cannot remove what was cut off: %w", err)
	}
	words := []string{"--variant=essential", "--mode=root", "--architectures=" + p.debian, "--include=" + strings.Join(p.packages(), ",")}
	for _, folder := range unread() {
		words = append(words, "--dpkgopt=path-exclude=/usr/share/"+folder+"/*")
	}
	for _, folder := range unwanted() {
		words = append(words, "--dpkgopt=path-exclude=/lib/modules/*/kernel/"+folder+"/*")
	}
	words = append(words, suite, half)
	if p.from != "" {
		words = append(words, p.from)
	}
	cmd := rootfs.Debian(ctx, words...)
	// The first file system in memory is made here, and of other parts.
	cmd.Env = append(os.Environ(), "INITRD=No", "SOURCE_DATE_EPOCH=0")
	if err := rootfs.Complete(cmd, group); err != nil {
		return edge.WithHint(err, "this needs Debian's package mirror, see /etc/apt/sources.list, and, for processors that are not this machine's, "+
			"qemu-user-static with its entry in /proc/sys/fs/binfmt_misc")
	}
	if err := os.Rename(half, p.base); err != nil {
		return fmt.Errorf("cannot keep what was unpacked: %w", err)
	}
	return nil
}

// group is what of build/provision has the programs this takes.
const group = "image"
