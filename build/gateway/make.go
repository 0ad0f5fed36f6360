package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/build/rootfs"
)

// make makes the image, what is in it, and their sums.
func (p *place) make(ctx context.Context, o options) error {
	began := time.Now()
	if err := p.unpack(ctx); err != nil {
		return err
	}
	unpacked := time.Now()
	system, err := p.squash(ctx, o)
	if err != nil {
		return err
	}
	boot, err := p.boot(ctx, o)
	if err != nil {
		return err
	}
	data, err := p.data(ctx, o)
	if err != nil {
		return err
	}
	if err := p.disk(ctx, p.image(), p.parts(boot, system, data)); err != nil {
		return err
	}
	packed := p.image() + ".zst"
	if err := rootfs.Complete(rootfs.Command(ctx, "zstd", "--quiet", "--force", "-T2", "-12", p.image(), "-o", packed), group); err != nil {
		return err
	}
	fmt.Printf("gateway: %s: system %s, packed %s; Debian's part took %.0f s, the rest %.0f s\n",
		p.image(), mib(system), mib(packed), unpacked.Sub(began).Seconds(), time.Since(unpacked).Seconds())
	return p.sums(packed, p.image(), p.billBeside(), system)
}

// image is the file of the disk.
func (p *place) image() string {
	return filepath.Join(p.out, "holdfast-gateway-"+p.name+".img")
}

func (p *place) billBeside() string {
	return strings.TrimSuffix(p.image(), ".img") + ".cdx.json"
}

// squash makes the file system of the system, which is only ever read.
func (p *place) squash(ctx context.Context, o options) (string, error) {
	stage, err := p.system(ctx, o)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(stage)
	bill, err := os.ReadFile(filepath.Join(stage, billFile))
	if err != nil {
		return "", err
	}
	if err := rootfs.Write(p.billBeside(), bill, 0o644); err != nil {
		return "", err
	}
	// Packed by gzip, which is the best that GRUB and the kernel both read and that costs
	// the small processors of gateways little.
	image := p.squashed()
	at := fmt.Sprint(o.epoch)
	return image, rootfs.Complete(rootfs.Command(ctx, "mksquashfs", stage, image, "-noappend", "-quiet", "-no-progress",
		"-comp", "gzip", "-Xcompression-level", "6", "-b", "256K", "-mkfs-time", at, "-all-time", at, "-no-xattrs"), group)
}

// data makes the partition that is written to: empty, it is begun by the first start.
func (p *place) data(ctx context.Context, o options) (string, error) { return p.dataOf(ctx, o, "") }

// dataOf makes it with the content of a folder, if there is one.
func (p *place) dataOf(ctx context.Context, o options, folder string) (string, error) {
	image := p.path("data.img")
	if err := os.Remove(image); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	parts := p.parts("", "", "")
	last := parts[len(parts)-1]
	// As for the size of the disk that it is to have, not for this one's: with small blocks and
	// many inodes it could not grow far, and growing would write a twentieth of the disk. Room
	// for the table of blocks: to 2 TiB.
	words := []string{
		"-q", "-t", "ext4", "-L", "data", "-U", last.id, "-m", "1", "-b", "4096", "-i", "32768",
		"-E", "hash_seed=" + last.id + ",resize=536870912,lazy_itable_init=1,root_owner=0:0",
	}
	if folder != "" {
		words = append(words, "-d", folder)
	}
	cmd := rootfs.Command(ctx, "mke2fs", append(words, image, fmt.Sprintf("%dM", last.size))...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("E2FSPROGS_FAKE_TIME=%d", o.epoch))
	return image, rootfs.Complete(cmd, group)
}

// sums writes beside each file the sum of it.
func (p *place) sums(names ...string) error {
	for _, name := range names {
		sum, err := sumOf(name)
		if err != nil {
			return err
		}
		if err := rootfs.Write(name+".sha256", []byte(sum+"  "+filepath.Base(name)+"\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func sumOf(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("cannot sum: %w", err)
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", fmt.Errorf("cannot sum %q: %w", name, err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// mib says how large a file is.
func mib(name string) string {
	info, err := os.Stat(name)
	if err != nil {
		return "of unknown size"
	}
	return fmt.Sprintf("%.1f MiB", float64(info.Size())/mebibyte)
}

// dated gives all files below a folder one time.
func dated(folder string, at int64) error {
	when := time.Unix(at, 0)
	return filepath.WalkDir(folder, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(name, when, when)
	})
}
