package main

import (
	"bufio"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"holdfast/build/rootfs"
	"holdfast/edge"
)

// drivers are folders and files of the kernel's modules by which a disk may be reached, on
// any machine, and what is read on it.
var drivers = []string{
	"drivers/ata", "drivers/nvme", "drivers/mmc", "drivers/virtio", "drivers/block/virtio_blk.ko", "drivers/scsi/sd_mod.ko", "drivers/scsi/virtio_scsi.ko",
	"drivers/scsi/hv_storvsc.ko", "drivers/hv", "drivers/scsi/vmw_pvscsi.ko", "drivers/scsi/megaraid", "drivers/scsi/mpt3sas",
	"drivers/usb/host", "drivers/usb/storage", "drivers/usb/common", "drivers/usb/core",
	"fs/squashfs", "fs/ext4", "fs/fat", "fs/nls/nls_cp437.ko", "fs/nls/nls_ascii.ko", "crypto/crc32c_generic.ko", "lib/libcrc32c.ko",
}

// tools are the programs of the first file system beside busybox.
var tools = []string{"bin/kmod", "sbin/e2fsck", "sbin/blkid", "sbin/fsck.fat"}

// putBoot puts the kernel and the first file system, which is in memory.
func (p *place) putBoot(ctx context.Context, stage string, o options) error {
	kernels, err := filepath.Glob(filepath.Join(p.base, "boot", "vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		return fmt.Errorf("got %d kernels in %q (%w), want one: %w", len(kernels), p.base, err, edge.ErrNotFound)
	}
	if err := rootfs.Link(kernels[0], filepath.Join(stage, "boot/vmlinuz")); err != nil {
		return err
	}
	memory := p.path("memory")
	if err := os.RemoveAll(memory); err != nil {
		return err
	}
	defer os.RemoveAll(memory)
	version := strings.TrimPrefix(filepath.Base(kernels[0]), "vmlinuz-")
	if err := errors.Join(p.putTools(memory), p.putDrivers(memory, version)); err != nil {
		return err
	}
	if err := rootfs.Complete(rootfs.Command(ctx, "depmod", "--basedir", memory, version), group); err != nil {
		return err
	}
	return p.pack(ctx, memory, filepath.Join(stage, "boot/initrd"), o.epoch)
}

// pack writes the archive that the kernel unpacks.
func (p *place) pack(ctx context.Context, memory, to string, at int64) error {
	plain := p.path("initrd")
	file, err := os.Create(plain)
	if err != nil {
		return fmt.Errorf("cannot make initrd: %w", err)
	}
	buffered := bufio.NewWriter(file)
	err = errors.Join(writeCPIO(buffered, memory, at), buffered.Flush(), file.Close())
	if err != nil {
		return err
	}
	defer os.Remove(plain)
	return rootfs.Complete(rootfs.Command(ctx, "zstd", "--quiet", "--force", "-T1", "-15", plain, "-o", to), group)
}

// putTools puts programs with the libraries they ask for.
func (p *place) putTools(memory string) error {
	script, err := files.ReadFile("files/start/init")
	if err != nil {
		return err
	}
	if err := errors.Join(
		rootfs.Write(filepath.Join(memory, "init"), script, 0o755),
		rootfs.Link(filepath.Join(p.base, "bin/busybox"), filepath.Join(memory, "bin/busybox")),
		rootfs.Symlink("busybox", filepath.Join(memory, "bin/sh")),
		rootfs.Symlink("kmod", filepath.Join(memory, "bin/modprobe")), // busybox's reads the whole list for each driver
		rootfs.Symlink("bin", filepath.Join(memory, "sbin")),
	); err != nil {
		return err
	}
	for _, tool := range tools {
		if err := p.putELF(memory, tool, "bin/"+filepath.Base(tool)); err != nil {
			return fmt.Errorf("cannot put %q: %w", tool, err)
		}
	}
	return nil
}

// putELF puts a program or library, and all it asks for that is not there yet.
func (p *place) putELF(memory, name, to string) error {
	from, err := filepath.EvalSymlinks(filepath.Join(p.base, name))
	if err != nil {
		return err
	}
	if err := rootfs.Link(from, filepath.Join(memory, to)); err != nil {
		return err
	}
	file, err := elf.Open(from)
	if err != nil {
		return err
	}
	defer file.Close()
	wanted, err := file.ImportedLibraries()
	if err != nil {
		return err
	}
	if at := slices.IndexFunc(file.Progs, func(g *elf.Prog) bool { return g.Type == elf.PT_INTERP }); at >= 0 {
		text := make([]byte, file.Progs[at].Filesz)
		if _, err := file.Progs[at].ReadAt(text, 0); err != nil {
			return err
		}
		if err := p.putLibrary(memory, strings.Trim(string(text), "\x00")); err != nil {
			return err
		}
	}
	for _, library := range wanted {
		if err := p.putLibrary(memory, library); err != nil {
			return err
		}
	}
	return nil
}

// putLibrary puts a library where the loader of programs looks: the loader itself under the
// path that programs have of it.
func (p *place) putLibrary(memory, name string) error {
	to := strings.TrimPrefix(name, "/")
	if to == name {
		to = "lib/" + name
	}
	if _, err := os.Lstat(filepath.Join(memory, to)); err == nil {
		return nil
	}
	if to == strings.TrimPrefix(name, "/") && name != to {
		return p.putELF(memory, to, to)
	}
	found, err := filepath.Glob(filepath.Join(p.base, "usr/lib/*/"+name))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("got %d of library %q (%w), want one: %w", len(found), name, err, edge.ErrNotFound)
	}
	inside, err := filepath.Rel(p.base, found[0])
	if err != nil {
		return err
	}
	return p.putELF(memory, inside, to)
}

// putDrivers puts modules of the kernel, with those they need.
func (p *place) putDrivers(memory, version string) error {
	modules := filepath.Join("usr/lib/modules", version)
	needs, err := dependencies(filepath.Join(p.base, modules, "modules.dep"))
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for module := range needs {
		if below(module, append(slices.Clone(drivers), p.drivers...)) {
			wanted[module] = true
			for _, need := range needs[module] {
				wanted[need] = true
			}
		}
	}
	inMemory := filepath.Join(memory, "lib/modules", version)
	for module := range wanted {
		err := rootfs.Link(filepath.Join(p.base, modules, module), filepath.Join(inMemory, module))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // a driver may want one that is left out
			return err
		}
	}
	for _, list := range []string{"modules.builtin", "modules.builtin.modinfo", "modules.order"} {
		if err := rootfs.Link(filepath.Join(p.base, modules, list), filepath.Join(inMemory, list)); err != nil {
			return err
		}
	}
	return nil
}

// below says whether a module is one of a list of files and folders.
func below(module string, names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		return module == "kernel/"+name || strings.HasPrefix(module, "kernel/"+name+"/")
	})
}

// dependencies reads which modules each one needs, directly or not.
func dependencies(file string) (map[string][]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read modules: %w", err)
	}
	needs := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		module, others, found := strings.Cut(strings.TrimSpace(line), ":")
		if !found {
			return nil, fmt.Errorf("cannot read line %q of %q: %w", line, file, edge.ErrInvalid)
		}
		needs[module] = strings.Fields(others)
	}
	return needs, nil
}
