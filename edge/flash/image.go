package flash

import (
	"bufio"
	"bytes"
	"compress/gzip"
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

	"github.com/klauspost/compress/zstd"

	"holdfast/edge"
)

// piece is what is read, written, and compared at a time.
const piece = 1 << 20

// Progress is told how far a part of the work is; total is 0 where it is not known.
type Progress func(part string, done, total int64)

// Image is an image that was read whole.
type Image struct {
	Path    string
	Size    int64  // decoded
	Digest  string // sha256:… of the decoded image
	Checked bool   // the file was held against the sum beside it
	Boot    *Partition
	table   bool    // it has a GPT
	volume  *Volume // of the boot partition, as much of it as was kept; nil: it is not FAT32
}

// headOfBoot is how much of the boot partition is looked at before anything is written: the
// tables of 256 MiB of the smallest clusters are 2 MiB, twice.
const headOfBoot = 8 << 20

// ReadImage reads an image whole, holds it against IMAGE.sha256 where that lies beside it,
// and finds its boot partition. Nothing of a target is touched.
func ReadImage(ctx context.Context, path string, progress Progress) (*Image, error) {
	want, err := sumBeside(path)
	if err != nil {
		return nil, err
	}
	source, err := openImage(path)
	if err != nil {
		return nil, err
	}
	defer source.end()
	image := &Image{Path: path, Checked: want != ""}
	capture := &captured{}
	digest := sha256.New()
	image.Size, err = source.each(ctx, func(content []byte, at int64) error {
		digest.Write(content)
		capture.take(content, at)
		progress("reading the image", source.read(), source.size)
		return nil
	})
	if err != nil {
		return nil, err
	}
	image.Digest = "sha256:" + hex.EncodeToString(digest.Sum(nil))
	if got := hex.EncodeToString(source.sum.Sum(nil)); want != "" && got != want {
		return nil, edge.WithHint(fmt.Errorf("cannot use image %q: its sha256 is %s, and %s beside it says %s: %w", path, got, filepath.Base(path)+".sha256", want, edge.ErrInvalid),
			"copy or download both anew")
	}
	if image.Size == 0 || image.Size%sectorSize != 0 {
		return nil, fmt.Errorf("cannot use image %q: %d bytes are no whole disk: %w", path, image.Size, edge.ErrInvalid)
	}
	if err := image.look(capture); err != nil {
		return nil, err
	}
	return image, nil
}

// look finds the boot partition, if the image has one.
func (i *Image) look(capture *captured) error {
	table, err := ReadGPT(capture)
	if errors.Is(err, errNoTable) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot use image %q: %w", i.Path, err)
	}
	i.table = true
	if boot, found := table.Boot(); found && boot.Start+boot.Size <= i.Size {
		i.Boot = &boot
		i.volume, _ = OpenVolume(readOnly{capture}, boot, time.Time{}) // nothing is put in then
	}
	return nil
}

// readOnly is a disk that takes nothing.
type readOnly struct{ io.ReaderAt }

func (readOnly) WriteAt([]byte, int64) (int, error) { return 0, fs.ErrPermission }

// captured keeps the beginning of an image, and of its boot partition.
type captured struct {
	head []byte
	boot Partition
	body []byte
}

func (c *captured) take(content []byte, at int64) {
	if at == 0 {
		c.head = bytes.Clone(content)
		if table, err := ReadGPT(c); err == nil {
			c.boot, _ = table.Boot()
		}
	}
	from, to := c.boot.Start+int64(len(c.body)), min(c.boot.Start+headOfBoot, c.boot.Start+c.boot.Size)
	if end := at + int64(len(content)); from < to && from >= at && from < end {
		c.body = append(c.body, content[from-at:min(to, end)-at]...)
	}
}

// ReadAt reads what was kept.
func (c *captured) ReadAt(p []byte, at int64) (int, error) {
	kept := c.head
	if from := at - c.boot.Start; c.boot.Size > 0 && from >= 0 {
		kept, at = c.body, from
	}
	if at < 0 || at+int64(len(p)) > int64(len(kept)) {
		return 0, io.ErrUnexpectedEOF
	}
	return copy(p, kept[at:]), nil
}

// imageFile is an image as it lies on the laptop.
type imageFile struct {
	file    *os.File
	size    int64 // of the file
	counted *counter
	sum     interface{ Sum([]byte) []byte }
	decoded io.Reader
	close   func()
}

// counter counts what was read of the file.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err
}

func (i *imageFile) read() int64 { return i.counted.n }

// end lets go of the file.
func (i *imageFile) end() {
	if i.close != nil {
		i.close()
	}
	i.file.Close()
}

// openImage opens an image: as it is, or compressed as its first bytes say.
func openImage(path string) (*imageFile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open image: %w", err)
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("cannot open image %q: it is no file: %w", path, edge.ErrInvalid), file.Close())
	}
	sum := sha256.New()
	i := &imageFile{file: file, size: info.Size(), sum: sum}
	i.counted = &counter{Reader: io.TeeReader(file, sum)}
	if err := i.decode(); err != nil {
		i.end()
		return nil, fmt.Errorf("cannot read image %q: %w", path, err)
	}
	return i, nil
}

func (i *imageFile) decode() error {
	buffered := bufio.NewReaderSize(i.counted, piece)
	magic, _ := buffered.Peek(4) // a file that is shorter is none of these
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		unzipped, err := gzip.NewReader(buffered)
		i.decoded = unzipped
		return err
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		// An image says itself how much memory its window takes; more than this is an attack.
		unpacked, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return err
		}
		i.decoded, i.close = unpacked, unpacked.Close
		return nil
	}
	i.decoded = buffered
	return nil
}

// largest is beyond any image of a gateway: what decodes to more is damaged.
const largest = 64 << 30

// each hands the decoded image on in pieces, and reads the file to its end.
func (i *imageFile) each(ctx context.Context, do func(content []byte, at int64) error) (size int64, err error) {
	buffer := make([]byte, piece)
	for size < largest {
		if err := ctx.Err(); err != nil {
			return size, fmt.Errorf("interrupted: %w", err)
		}
		n, err := io.ReadFull(i.decoded, buffer)
		if n > 0 {
			if err := do(buffer[:n], size); err != nil {
				return size, err
			}
			size += int64(n)
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF) && n > 0 && i.atEnd():
			_, err := io.Copy(io.Discard, i.counted)
			return size, err
		case err != nil:
			return size, edge.WithHint(fmt.Errorf("cannot decode image %q: %w", i.file.Name(), err), "it is cut off or damaged: copy or download it anew")
		}
	}
	return size, fmt.Errorf("cannot decode image %q: it is larger than any gateway's disk: %w", i.file.Name(), edge.ErrInvalid)
}

// atEnd tells an image that has ended from one that was cut off: both end in the middle of
// a piece.
func (i *imageFile) atEnd() bool {
	n, err := i.decoded.Read(make([]byte, 1))
	return n == 0 && errors.Is(err, io.EOF)
}

// sumBeside is the sum that stands in IMAGE.sha256; empty where there is no such file.
func sumBeside(path string) (string, error) {
	text, err := os.ReadFile(path + ".sha256")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot read sum: %w", err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		fields := strings.Fields(line)
		const digits = 64
		if len(fields) > 0 && len(fields[0]) == digits && (len(fields) == 1 || strings.TrimPrefix(fields[1], "*") == filepath.Base(path)) {
			return strings.ToLower(fields[0]), nil
		}
	}
	return "", edge.WithHint(fmt.Errorf("cannot find a sum for %q in %q: %w", filepath.Base(path), path+".sha256", edge.ErrInvalid),
		"it is to have a line as sha256sum prints it")
}
