package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// disk is a file system that nobody else writes to.
type disk struct {
	path   string
	image  string
	device string // its name in /sys/block
}

func newDisk(ctx context.Context, dir string) (*disk, error) {
	d := &disk{path: dir, image: dir + ".img"}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot create folder: %w", err)
	}
	for _, words := range [][]string{
		{"truncate", "--size", "64M", d.image},
		{"mkfs.ext4", "-q", "-F", d.image},
		{"mount", "-o", "loop,noatime", d.image, dir},
	} {
		if _, err := command(ctx, words...); err != nil {
			return nil, err
		}
	}
	source, err := command(ctx, "findmnt", "--noheadings", "--output", "SOURCE", "--target", dir)
	d.device = filepath.Base(strings.TrimSpace(source))
	return d, err
}

func (d *disk) close(ctx context.Context) error {
	_, err := command(ctx, "umount", d.path)
	return errors.Join(err, os.Remove(d.image))
}

// measure takes the time of what is done, and what it had written once all is out.
func (d *disk) measure(do func() error) (took time.Duration, wrote uint64, err error) {
	before, err := d.written()
	if err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	if err := do(); err != nil {
		return 0, 0, err
	}
	took = time.Since(begun)
	after, err := d.written()
	return took, after - before, err
}

// written is the device's own count, after everything that is on its way is there.
func (d *disk) written() (uint64, error) {
	folder, err := os.Open(d.path)
	if err != nil {
		return 0, fmt.Errorf("cannot open file system: %w", err)
	}
	err = errors.Join(unix.Syncfs(int(folder.Fd())), folder.Close())
	if err != nil {
		return 0, fmt.Errorf("cannot sync file system: %w", err)
	}
	text, err := os.ReadFile("/sys/block/" + d.device + "/stat")
	if err != nil {
		return 0, fmt.Errorf("cannot read counter of the block device: %w", err)
	}
	const sectorsWritten = 6 // of 512 bytes; see the kernel's block/stat
	var sectors uint64
	if _, err := fmt.Sscan(strings.Fields(string(text))[sectorsWritten], &sectors); err != nil {
		return 0, fmt.Errorf("cannot read counter of the block device: %w", err)
	}
	return sectors * 512, nil
}

func command(ctx context.Context, words ...string) (string, error) {
	out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot run %q: %w: %s", strings.Join(words, " "), err, out)
	}
	return string(out), nil
}

func kibibytes(n uint64) string { return fmt.Sprintf("%.1f KiB", float64(n)/1024) }
