package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"holdfast/build/rootfs"
	"holdfast/edge"
	"holdfast/edge/site"
)

const (
	mebibyte = 1 << 20
	// firstAt is where the first partition begins, as is usual.
	firstAt = 1
	// The types of partitions that are the same for all kinds of machines.
	typeESP, typeData = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
	// diskID and the partitions' own are the same in all images: what tells one disk from
	// another is which one the firmware started from.
	diskID = "5AD1E1F0-4E1D-4C0B-9C5B-686F6C640000"
	// volume is the number of the boot partition's file system.
	volume = "48464153"
	label  = "HOLDFAST"
)

// part is a partition.
type part struct {
	name  string
	kind  string
	id    string
	at    int64 // in MiB, as all
	size  int64
	image string // file with its content; empty: nothing
}

// parts are the partitions of a disk, in their order.
func (a arch) parts(boot, system, data string) []part {
	id := func(n int) string { return fmt.Sprintf("%s%04d", diskID[:len(diskID)-4], n) }
	all := []part{
		{name: "boot", kind: typeESP, size: 256, image: boot},
		{name: "root-a", kind: a.root, size: 512, image: system},
		{name: "root-b", kind: a.root, size: 512},
		{name: "data", kind: typeData, size: 256, image: data},
	}
	at := int64(firstAt)
	for i := range all {
		all[i].at, all[i].id = at, id(i+1)
		at += all[i].size
	}
	return all
}

// table is what sfdisk is told.
func table(parts []part) string {
	var b strings.Builder
	fmt.Fprintf(&b, "label: gpt\nlabel-id: %s\nunit: sectors\n", diskID)
	for _, p := range parts {
		fmt.Fprintf(&b, "start=%dMiB, size=%dMiB, type=%s, uuid=%s, name=%s\n", p.at, p.size, p.kind, p.id, p.name)
	}
	return b.String()
}

// disk writes the image of a disk.
func (p *place) disk(ctx context.Context, name string, parts []part) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("cannot make disk: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	last := parts[len(parts)-1]
	// The table stands at the end once more.
	if err := file.Truncate((last.at + last.size + 1) * mebibyte); err != nil {
		return fmt.Errorf("cannot make disk: %w", err)
	}
	cmd := rootfs.Command(ctx, "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", name)
	cmd.Stdin = strings.NewReader(table(parts))
	if err := rootfs.Complete(cmd, group); err != nil {
		return err
	}
	for _, part := range parts {
		if part.image == "" {
			continue
		}
		if err := put(file, part); err != nil {
			return fmt.Errorf("cannot fill partition %q: %w", part.name, err)
		}
	}
	return nil
}

// put copies the content of a partition, leaving out what is empty.
func put(disk io.WriterAt, part part) error {
	from, err := os.Open(part.image)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	if info.Size() > part.size*mebibyte {
		return fmt.Errorf("it has room for %d MiB and was to hold %d bytes: %w", part.size, info.Size(), edge.ErrInvalid)
	}
	block := make([]byte, mebibyte)
	for at := part.at * mebibyte; ; {
		n, err := io.ReadFull(from, block)
		if n > 0 && strings.Trim(string(block[:n]), "\x00") != "" {
			if _, err := disk.WriteAt(block[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// boot makes the boot partition: the loader, its script, and which system is the first.
func (p *place) boot(ctx context.Context, o options) (string, error) {
	script, err := files.ReadFile("files/start/grub.cfg")
	if err != nil {
		return "", err
	}
	words := strings.TrimSpace(p.words() + " " + o.words)
	folder := p.path("boot")
	if err := os.RemoveAll(folder); err != nil {
		return "", err
	}
	if err := errors.Join(
		rootfs.Write(filepath.Join(folder, "grub/grub.cfg"), []byte(strings.ReplaceAll(string(script), "@WORDS@", words)), 0o644),
		rootfs.Write(filepath.Join(folder, site.Name), []byte(site.Example()), 0o644), // all of it comments, for a person to go on from
	); err != nil {
		return "", err
	}
	for _, cmd := range [][]string{
		{"grub-editenv", filepath.Join(folder, "grub/grubenv"), "create"},
		{"grub-editenv", filepath.Join(folder, "grub/grubenv"), "set", "ORDER=A B", "A_OK=1", "A_TRY=0", "B_OK=0", "B_TRY=0"},
		append([]string{
			"grub-mkimage", "--directory", filepath.Join(p.base, "usr/lib/grub", p.grub), "--format", p.grub,
			"--prefix", "/grub", "--output", filepath.Join(folder, "loader"),
		}, loaderParts...),
	} {
		if err := rootfs.Complete(rootfs.Command(ctx, cmd[0], cmd[1:]...), group); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(filepath.Join(folder, "EFI/BOOT"), 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(folder, "loader"), filepath.Join(folder, "EFI/BOOT", p.loader)); err != nil {
		return "", err
	}
	return p.fat(ctx, folder, o.epoch)
}

// loaderParts are GRUB's own modules.
var loaderParts = []string{
	"part_gpt", "fat", "squash4", "normal", "configfile", "loadenv", "test", "regexp", "probe", "linux", "boot", "echo", "sleep", "reboot",
	"efi_gop", // without it the kernel is told of no screen
}

// fat writes a folder into a file system of the kind that firmware reads.
func (p *place) fat(ctx context.Context, folder string, at int64) (string, error) {
	image := p.path("boot.img")
	if err := os.Remove(image); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	size := p.parts("", "", "")[0].size
	if err := rootfs.Complete(rootfs.Command(ctx, "mkfs.fat", "-F", "32", "-n", label, "-i", volume, "--invariant", "-C", image, fmt.Sprint(size*1024)), group); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	args := []string{"-i", image, "-s", "-m", "-Q"}
	for _, entry := range entries {
		args = append(args, filepath.Join(folder, entry.Name()))
	}
	if err := dated(folder, at); err != nil {
		return "", err
	}
	cmd := rootfs.Command(ctx, "mcopy", append(args, "::/")...)
	cmd.Env = append(os.Environ(), "TZ=UTC", fmt.Sprintf("SOURCE_DATE_EPOCH=%d", at))
	return image, rootfs.Complete(cmd, group)
}
