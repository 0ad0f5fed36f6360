package flash

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// ErrUnusable says that the target was written to, and is neither what it was nor what it
// should be.
var ErrUnusable = errors.New("the target is not usable: write it again")

// File is a file that goes onto the boot partition.
type File struct {
	Path    string // there: a name, or folder/name
	Content []byte // or
	From    string // the file to copy
}

// Job is what is to be written, where.
type Job struct {
	Image    *Image
	Target   *Target
	Machine  Machine // that the target was examined by
	Files    []File
	Now      time.Time // of the files that go in
	Progress Progress
}

// Report is what was done.
type Report struct {
	Image    string `json:"image"`
	Digest   string `json:"digest"`  // of the image, decoded
	Checked  bool   `json:"checked"` // the image was held against the sum beside it
	Target   string `json:"target"`
	Bytes    int64  `json:"bytes"`    // of the image
	Verified int64  `json:"verified"` // bytes that were read back and compared
	Direct   bool   `json:"direct"`   // past the kernel's memory; otherwise that was dropped before
	Grown    bool   `json:"grown"`    // the partition table was told of a larger disk
	Files    []Put  `json:"files,omitempty"`
}

// Put is a file that was put in, and read back.
type Put struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	Digest string `json:"digest"`
}

// Check tells whether a job can be done, before anything is written.
func (j Job) Check() error {
	target := j.Target
	switch {
	case target.Size != 0 && target.Size < j.Image.Size:
		return edge.WithHint(fmt.Errorf("cannot write to %q: it has %d bytes, and the image has %d: %w", target.Path, target.Size, j.Image.Size, edge.ErrInvalid), "take a larger one")
	case len(j.Files) == 0:
		return nil
	case j.Image.volume == nil:
		return edge.WithHint(fmt.Errorf("cannot put files into image %q: it has no FAT32 boot partition: %w", j.Image.Path, edge.ErrInvalid), "leave --site and --preload out")
	}
	var need int64
	for _, file := range j.Files {
		folder, name := split(file.Path)
		if !isFileName(name) || folder != "" && !isFileName(folder) {
			return edge.WithHint(fmt.Errorf("cannot put file %q: that is no name on FAT32: %w", file.Path, edge.ErrInvalid), "give it another name")
		}
		size, err := file.size()
		if err != nil {
			return err
		}
		need += j.Image.volume.Takes(size)
	}
	if free := j.Image.volume.Free(); need > free {
		return edge.WithHint(fmt.Errorf("cannot put files into image %q: they take %d bytes, and its boot partition has %d: %w", j.Image.Path, need, free, edge.ErrInvalid), "preload less")
	}
	return nil
}

func (f File) size() (int64, error) {
	if f.From == "" {
		return int64(len(f.Content)), nil
	}
	info, err := os.Stat(f.From)
	if err != nil {
		return 0, fmt.Errorf("cannot read file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > 1<<32-1 {
		return 0, fmt.Errorf("cannot read file %q: it is no file of less than 4 GiB: %w", f.From, edge.ErrInvalid)
	}
	return info.Size(), nil
}

func (f File) open() (io.ReadCloser, error) {
	if f.From == "" {
		return io.NopCloser(bytes.NewReader(f.Content)), nil
	}
	return os.Open(f.From)
}

// Write writes the image and the files, and reads all of it back.
func (j Job) Write(ctx context.Context) (Report, error) {
	if err := j.Check(); err != nil {
		return Report{}, err
	}
	file, hole, err := j.open()
	if err != nil {
		return Report{}, err
	}
	report, err := j.writeTo(ctx, newMedium(file, max(j.Target.Size, j.Image.Size), hole))
	if err == nil && j.Target.Device {
		_ = unix.IoctlSetInt(int(file.Fd()), unix.BLKRRPART, 0) // of use only where the disk stays in
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return Report{}, fmt.Errorf("%w (%w)", err, ErrUnusable)
	}
	return report, nil
}

// open opens the target for this process alone. A file that is made anew holds only zeros.
func (j Job) open() (file *os.File, hole bool, err error) {
	flags := os.O_RDWR
	switch {
	case j.Target.Device:
		flags |= os.O_EXCL // the kernel refuses what anybody else has taken
	case j.Target.Absent:
		flags |= os.O_CREATE | os.O_EXCL
	}
	file, err = os.OpenFile(j.Target.Path, flags, 0o644)
	if errors.Is(err, unix.EBUSY) {
		return nil, false, refusal(j.Target.Path, "is in use by another program or file system", "unmount it, and end what has it open")
	}
	if err != nil {
		return nil, false, fmt.Errorf("cannot open target: %w", err)
	}
	if err := j.Machine.confirm(file, j.Target); err != nil {
		return nil, false, errors.Join(err, file.Close())
	}
	if !j.Target.Device && j.Target.Size == 0 {
		hole = true
		if err := file.Truncate(j.Image.Size); err != nil {
			return nil, false, errors.Join(fmt.Errorf("cannot make file: %w", err), file.Close())
		}
	}
	return file, hole, nil
}

func (j Job) writeTo(ctx context.Context, m *medium) (Report, error) {
	report := Report{Image: j.Image.Path, Digest: j.Image.Digest, Checked: j.Image.Checked, Target: j.Target.Path, Bytes: j.Image.Size}
	if err := m.wipe(); err != nil {
		return report, err
	}
	if err := j.pour(ctx, m); err != nil {
		return report, err
	}
	var err error
	if report.Grown, err = j.grow(m); err != nil {
		return report, err
	}
	if report.Files, err = j.inject(m); err != nil {
		return report, err
	}
	if report.Direct, err = j.settle(ctx, m, false); err != nil {
		return report, err
	}
	if err := j.readBack(m, report.Files); err != nil {
		return report, err
	}
	if _, err := j.settle(ctx, m, true); err != nil {
		return report, errors.Join(err, m.wipe())
	}
	for number := range m.sums {
		report.Verified += min(piece, m.size-number*piece)
	}
	return report, nil
}

// settle writes what is still held, and reads back: all but the first piece, or that alone.
func (j Job) settle(ctx context.Context, m *medium, first bool) (direct bool, err error) {
	if err := m.flush(first); err != nil {
		return false, err
	}
	if err := m.file.Sync(); err != nil {
		return false, fmt.Errorf("cannot flush %q: %w", m.file.Name(), err)
	}
	if err := m.drop(j.Target.Device); err != nil {
		return false, err
	}
	return m.verify(ctx, first, j.Progress)
}

// wipe takes away what a machine would find of the old tables, at both ends.
func (m *medium) wipe() error {
	if m.hole {
		return nil
	}
	blank := make([]byte, min(piece, m.size))
	for _, at := range []int64{0, m.size - int64(len(blank))} {
		if _, err := m.file.WriteAt(blank, at); err != nil {
			return fmt.Errorf("cannot write to %q: %w", m.file.Name(), err)
		}
	}
	if err := m.file.Sync(); err != nil {
		return fmt.Errorf("cannot flush %q: %w", m.file.Name(), err)
	}
	return nil
}

// flushEvery keeps what waits in the kernel's memory small, so that progress is true and
// an interruption is heard soon.
const flushEvery = 32 * piece

// pour writes the image. It is decoded again: what was read before was not kept.
func (j Job) pour(ctx context.Context, m *medium) error {
	source, err := openImage(j.Image.Path)
	if err != nil {
		return err
	}
	defer source.end()
	digest := sha256.New()
	size, err := source.each(ctx, func(content []byte, at int64) error {
		digest.Write(content)
		if at+int64(len(content)) > j.Image.Size {
			return fmt.Errorf("cannot write image %q: it has changed: %w", j.Image.Path, edge.ErrInvalid)
		}
		if err := m.stream(content, at); err != nil {
			return err
		}
		if at%flushEvery == 0 {
			if err := m.file.Sync(); err != nil {
				return fmt.Errorf("cannot flush %q: %w", m.file.Name(), err)
			}
		}
		j.Progress("writing", at+int64(len(content)), j.Image.Size)
		return nil
	})
	if err != nil {
		return err
	}
	if got := fmt.Sprintf("sha256:%x", digest.Sum(nil)); size != j.Image.Size || got != j.Image.Digest {
		return fmt.Errorf("cannot write image %q: it has changed: %w", j.Image.Path, edge.ErrInvalid)
	}
	return nil
}

// grow moves the second partition table to the end of a larger target.
func (j Job) grow(m *medium) (bool, error) {
	if !j.Image.table || m.size <= j.Image.Size {
		return false, nil
	}
	table, err := ReadGPT(m)
	if err != nil {
		return false, err
	}
	return true, table.Grow(m, m.size)
}

func (j Job) inject(m *medium) (all []Put, err error) {
	if len(j.Files) == 0 {
		return nil, nil
	}
	volume, err := OpenVolume(m, *j.Image.Boot, j.Now)
	if err != nil {
		return nil, err
	}
	for _, file := range j.Files {
		put, err := file.into(volume)
		if err != nil {
			return nil, err
		}
		all = append(all, put)
		j.Progress("putting files in", int64(len(all)), int64(len(j.Files)))
	}
	return all, volume.Flush()
}

func (f File) into(volume *Volume) (Put, error) {
	size, err := f.size()
	if err != nil {
		return Put{}, err
	}
	from, err := f.open()
	if err != nil {
		return Put{}, fmt.Errorf("cannot read file: %w", err)
	}
	defer from.Close()
	digest := sha256.New()
	if err := volume.Put(f.Path, size, io.TeeReader(from, digest)); err != nil {
		return Put{}, err
	}
	return Put{f.Path, size, fmt.Sprintf("sha256:%x", digest.Sum(nil))}, nil
}

// readBack reads the files as the node will, from the tables on.
func (j Job) readBack(m *medium, files []Put) error {
	if len(files) == 0 {
		return nil
	}
	volume, err := OpenVolume(m, *j.Image.Boot, j.Now)
	if err != nil {
		return err
	}
	for _, file := range files {
		from, err := volume.Open(file.Path)
		if err != nil {
			return err
		}
		digest := sha256.New()
		if _, err := io.Copy(digest, from); err != nil {
			return fmt.Errorf("cannot read back file %q: %w", file.Path, err)
		}
		if fmt.Sprintf("sha256:%x", digest.Sum(nil)) != file.Digest {
			return fmt.Errorf("cannot verify file %q: it is not what was put in: %w", file.Path, edge.ErrInvalid)
		}
	}
	return nil
}
