package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/build/rootfs"
)

//go:embed all:files
var files embed.FS

// seed is where the system keeps what its data partition begins with.
const seed = "usr/share/gateway/seed"

// started are the services that start with the gateway.
var started = []string{
	"containerd.service", "holdfast.service", "systemd-networkd.service",
	"gateway-grow.service", "gateway-good.service", "gateway-console.timer", "holdfast-site.service",
}

// masked are units of Debian's that have no use where nobody logs in and the system is never
// written to.
var masked = []string{
	"getty@.service", "serial-getty@.service", "console-getty.service", "container-getty@.service", "systemd-logind.service", "debug-shell.service",
	"e2scrub_reap.service", "e2scrub_all.timer", "dpkg-db-backup.timer", "systemd-firstboot.service", "systemd-machine-id-commit.service",
	"ldconfig.service", "systemd-hwdb-update.service", "systemd-sysusers.service", "systemd-repart.service",
}

// dropped is what Debian's packages bring that the running gateway never reads, such as
// descriptions of boards: the firmware has its own. The kernel and GRUB are taken from the
// base, each to its own place.
var dropped = []string{
	"boot/*", "vmlinuz*", "initrd.img*", "usr/lib/grub", "usr/share/grub", "usr/lib/udev/hwdb.d", "usr/lib/*/gconv", "usr/lib/udev/hwdb.bin", "usr/share/perl", "usr/share/perl5", "usr/lib/*/perl", "usr/lib/*/perl-base", "usr/bin/perl*", "usr/lib/klibc", "usr/share/bash-completion", "usr/share/zsh", "usr/share/polkit-1",
	"var/cache/*", "var/log/*", "var/lib/apt", "var/lib/dpkg", "var/lib/systemd/catalog", "var/lib/initramfs-tools", "var/lib/ucf",
	"usr/lib/modules/*/modules.*map", "usr/share/initramfs-tools", "usr/lib/linux-image-*", "etc/machine-id", "etc/hostname", "etc/resolv.conf", "run/*", "tmp/*", "etc/.pwd.lock", "etc/dpkg",
}

// plugins are those that the agent starts for networks; Debian's package has more.
var plugins = []string{"bridge", "host-local", "loopback"}

// system makes the folder of the gateway's own system, and returns it.
func (p *place) system(ctx context.Context, o options) (string, error) {
	stage := p.path("stage")
	if err := os.RemoveAll(stage); err != nil {
		return "", fmt.Errorf("cannot remove stage: %w", err)
	}
	// By links: files that are there already are replaced, never written into.
	if err := rootfs.Complete(rootfs.Command(ctx, "cp", "--archive", "--link", p.base, stage), group); err != nil {
		return "", err
	}
	for _, put := range []func(context.Context, string, options) error{
		p.drop, p.putVersion, p.putSeed, p.putBoot, p.putFiles, p.putPrograms, p.putUnits, p.putFactory, p.putBill,
	} {
		if err := put(ctx, stage, o); err != nil {
			return "", err
		}
	}
	return stage, nil
}

// drop removes what is not needed.
func (p *place) drop(_ context.Context, stage string, _ options) error {
	names := slices.Clone(dropped)
	found, err := filepath.Glob(filepath.Join(stage, "usr/lib/cni/*"))
	if err != nil {
		return err
	}
	for _, plugin := range found {
		if !slices.Contains(plugins, filepath.Base(plugin)) {
			names = append(names, "usr/lib/cni/"+filepath.Base(plugin))
		}
	}
	for _, name := range names {
		found, err := filepath.Glob(filepath.Join(stage, name))
		if err != nil {
			return err
		}
		for _, file := range found {
			if err := os.RemoveAll(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// putVersion has the system say which it is, where everybody looks for that: the one that was
// flashed was installed by nobody who would know.
func (p *place) putVersion(_ context.Context, stage string, o options) error {
	name := filepath.Join(stage, "usr/lib/os-release")
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("cannot say which version it is: %w", err)
	}
	text = fmt.Appendf(text, "IMAGE_ID=holdfast-gateway-%s\nIMAGE_VERSION=%q\n", p.name, o.version)
	return rootfs.Write(name, text, 0o644)
}

// putFiles puts what is written in this package.
func (p *place) putFiles(_ context.Context, stage string, _ options) error {
	return fs.WalkDir(files, "files/root", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		text = []byte(strings.ReplaceAll(string(text), "@ARCH@", p.name))
		return rootfs.Write(filepath.Join(stage, strings.TrimPrefix(name, "files/root/")), text, 0o644)
	})
}

// putPrograms puts the agent and containerd, as they were built for this kind of machine.
func (p *place) putPrograms(ctx context.Context, stage string, o options) error {
	daemon, err := p.containerd(ctx)
	if err != nil {
		return err
	}
	for name, from := range map[string]string{
		"usr/bin/holdfast":                        o.program,
		"usr/bin/containerd":                      filepath.Join(daemon, "containerd"),
		"usr/bin/containerd-shim-runc-v2":         filepath.Join(daemon, "containerd-shim-runc-v2"),
		"usr/lib/systemd/system/holdfast.service": filepath.Join(p.root, "build/systemd/holdfast.service"),
		// Nobody can put it there later, when a policy wants networks.
		"usr/lib/systemd/system/holdfast.service.d/networks.conf": filepath.Join(p.root, "build/systemd/networks.conf"),
		"usr/lib/systemd/system/containerd.service":               filepath.Join(p.root, "build/vm/files/containerd.service"),
		"etc/containerd/config.toml":                              filepath.Join(p.root, "build/vm/files/containerd.toml"),
	} {
		if err := rootfs.Link(from, filepath.Join(stage, name)); err != nil {
			return fmt.Errorf("cannot put %q: %w", name, err)
		}
	}
	return nil
}

// putUnits says what starts, and what never does.
func (p *place) putUnits(_ context.Context, stage string, _ options) error {
	etc := filepath.Join(stage, "etc/systemd/system")
	links := map[string]string{
		filepath.Join(etc, "local-fs.target.wants/tmp.mount"): "/usr/share/systemd/tmp.mount",
		filepath.Join(etc, "tmp.mount"):                       "/usr/share/systemd/tmp.mount",
		filepath.Join(etc, "default.target"):                  "/usr/lib/systemd/system/multi-user.target",
		filepath.Join(stage, "etc/resolv.conf"):               "../run/systemd/resolve/stub-resolv.conf",
		filepath.Join(stage, "etc/mtab"):                      "../proc/self/mounts",
	}
	for _, unit := range started {
		links[filepath.Join(etc, "multi-user.target.wants", unit)] = path.Join("/usr/lib/systemd/system", unit)
	}
	for _, unit := range masked {
		links[filepath.Join(etc, unit)] = "/dev/null"
	}
	for name, to := range links {
		if err := rootfs.Symlink(to, name); err != nil {
			return err
		}
	}
	return nil
}

// putSeed moves what is to be written later to where the data partition is begun from, and
// leaves folders and files to mount it on.
func (p *place) putSeed(_ context.Context, stage string, _ options) error {
	inner := filepath.Join(stage, seed)
	if err := os.MkdirAll(inner, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(stage, "var"))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.Rename(filepath.Join(stage, "var", entry.Name()), filepath.Join(inner, entry.Name())); err != nil {
			return fmt.Errorf("cannot move to the seed: %w", err)
		}
	}
	for _, name := range []string{
		"boot/holdfast", "etc/holdfast", "etc/systemd/network", "etc/systemd/timesyncd.conf.d", "var", "root",
		seed + "/etc/systemd/network", seed + "/etc/systemd/timesyncd.conf.d", seed + "/etc/holdfast/conf.d", seed + "/lib/rauc", seed + "/tmp",
	} {
		if err := os.MkdirAll(filepath.Join(stage, name), 0o755); err != nil {
			return err
		}
	}
	return errors.Join(
		rootfs.Write(filepath.Join(stage, "etc/machine-id"), nil, 0o444),
		rootfs.Write(filepath.Join(stage, "etc/hostname"), []byte("gateway\n"), 0o644),
		rootfs.Write(filepath.Join(stage, "etc/fstab"), []byte("# Everything is mounted before systemd starts.\n"), 0o644),
		os.Chmod(filepath.Join(inner, "tmp"), 0o777|fs.ModeSticky),
	)
}
