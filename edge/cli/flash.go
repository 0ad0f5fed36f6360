package cli

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/flash"
	"holdfast/edge/site"
)

// flashFlags are the flags of flash.
type flashFlags struct {
	site    string
	preload []string
	yes     string
}

func (d *door) flashVerb() *cobra.Command {
	var f flashFlags
	cmd := &cobra.Command{
		Use:   "flash IMAGE TARGET",
		Short: "Write an image of a gateway to a disk, a card or a file, and read it back",
		Long: "Write an image of a gateway to a disk, a card or a file, and read it back. IMAGE is a raw disk image, as it\n" +
			"is or compressed by zstd or gzip; IMAGE.sha256 is heeded where it lies beside it. The image and the files\n" +
			"that go in are checked whole before anything is written. A disk that is mounted, swapped to or held by\n" +
			"another device is refused. Before a disk is written its name has to be typed; --yes NAME stands for that,\n" +
			"and is needed for disks that are built in.",
		Args: exactly(2, "an image, and a disk or file"),
		RunE: func(cmd *cobra.Command, args []string) error { return d.flash(cmd, args[0], args[1], f) },
	}
	cmd.Flags().StringVar(&f.site, "site", "", "site file to put onto the boot partition, with the files beside it that it names")
	cmd.Flags().StringArrayVar(&f.preload, "preload", nil, "archive of a model's image for the node's stock; may be repeated")
	cmd.Flags().StringVar(&f.yes, "yes", "", "agree beforehand, by the target's name, such as sdb")
	return cmd
}

func (d *door) flash(cmd *cobra.Command, imagePath, targetPath string, f flashFlags) error {
	target, err := flash.Machine{}.Examine(targetPath)
	if err != nil {
		return err
	}
	if same(imagePath, targetPath) {
		return usagef("image and target are the same file")
	}
	files, err := flashFiles(f)
	if err != nil {
		return err
	}
	progress := d.flashProgress()
	image, err := flash.ReadImage(cmd.Context(), imagePath, progress)
	if err != nil {
		return err
	}
	job := flash.Job{Image: image, Target: target, Files: files, Now: time.Now(), Progress: progress}
	if err := job.Check(); err != nil {
		return err
	}
	d.describeFlash(job)
	if err := d.agree(cmd.Context(), target, f.yes); err != nil {
		return err
	}
	report, err := job.Write(cmd.Context())
	if err != nil {
		return err
	}
	return d.show(report, func(p printer) error { return printFlash(p, report) })
}

func same(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// flashFiles are the files that go onto the boot partition.
func flashFiles(f flashFlags) (files []flash.File, err error) {
	if f.site != "" {
		if files, err = siteFiles(f.site); err != nil {
			return nil, err
		}
	}
	for _, path := range f.preload {
		if err := checkArchive(path); err != nil {
			return nil, err
		}
		files = append(files, flash.File{Path: site.ImagesFolder + "/" + filepath.Base(path), From: path})
	}
	return files, nil
}

func siteFiles(path string) ([]flash.File, error) {
	file, err := readSite(path)
	if err != nil {
		return nil, err
	}
	names := slices.Compact(slices.Sorted(slices.Values(file.Beside())))
	files := make([]flash.File, 0, 1+len(names))
	for i, name := range append([]string{filepath.Base(path)}, names...) {
		content, err := os.ReadFile(filepath.Join(filepath.Dir(path), name))
		if err != nil {
			return nil, fmt.Errorf("cannot read site file: %w", err)
		}
		if i == 0 {
			name = site.Name // whatever it is called on the laptop
		}
		files = append(files, flash.File{Path: name, Content: content})
	}
	return files, nil
}

// checkArchive tells a tar, compressed or not, from what somebody named by mistake.
func checkArchive(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return usageError{fmt.Errorf("cannot read archive: %w", err)}
	}
	defer file.Close()
	head := make([]byte, 512)
	n, _ := file.Read(head)
	head = head[:n]
	const magicAt = 257
	if bytes.HasPrefix(head, []byte{0x1f, 0x8b}) || bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}) ||
		len(head) > magicAt && bytes.HasPrefix(head[magicAt:], []byte("ustar")) {
		return nil
	}
	return edge.WithHint(usagef("%q is no archive of an image", path), "ctr images export and docker save write such archives")
}

// flashProgress prints a line that goes on to be written over, on a terminal; else one for
// each part of the work.
func (d *door) flashProgress() flash.Progress {
	last, shown, terminal := "", time.Time{}, isTerminal(d.Stderr)
	return func(part string, done, total int64) {
		switch {
		case part != last && !terminal:
			fmt.Fprintf(d.Stderr, "%s\n", part)
		case terminal && (part != last || time.Since(shown) > figureEvery || done == total):
			end := ""
			if done == total {
				end = "\n"
			}
			fmt.Fprintf(d.Stderr, "\r%s: %s of %s   %s", part, size(uint64(done)), size(uint64(total)), end)
			shown = time.Now()
		}
		last = part
	}
}

func isTerminal(w io.Writer) bool {
	file, isFile := w.(*os.File)
	if !isFile {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// figureEvery is as often as a person reads a figure.
const figureEvery = 200 * time.Millisecond

func (d *door) describeFlash(j flash.Job) {
	t := j.Target
	words := "file " + t.Path
	if t.Device {
		words = strings.Join(strings.Fields(fmt.Sprintf("disk %s %s %s", t.Path, printableOrNothing(t.Model), printableOrNothing(t.Serial))), " ")
	}
	if t.Size > 0 {
		words += ", " + size(uint64(t.Size))
	}
	sum := "not checked: there is no sum beside it"
	if j.Image.Checked {
		sum = "as its sum says"
	}
	fmt.Fprintf(d.Stderr, "image  %s, %s, %s\ntarget %s\n", printable(j.Image.Path), size(uint64(j.Image.Size)), sum, words)
	for _, file := range j.Files {
		fmt.Fprintf(d.Stderr, "with   %s\n", printable(file.Path))
	}
}

func printableOrNothing(s string) string {
	if s == "" {
		return ""
	}
	return printable(s)
}

// agree has the target's name typed, unless it was given, or nothing would be lost.
func (d *door) agree(ctx context.Context, t *flash.Target, yes string) error {
	if yes != "" {
		if yes != t.Name && yes != t.Path {
			return usagef("--yes names %q, and the target is %q", yes, t.Name)
		}
		return nil
	}
	if !t.Device && t.Size == 0 {
		return nil
	}
	if !t.Removable {
		return edge.WithHint(usagef("%s is built into this machine, as far as can be told", t.Name), "if it is the one that is meant, add --yes "+t.Name)
	}
	fmt.Fprintf(d.Stderr, "all that is on it will be lost; type %s to go on: ", t.Name)
	if d.typed(ctx) != t.Name {
		return edge.WithHint(usagef("nothing was written: %s was not typed", t.Name), "--yes "+t.Name+" stands for that where nobody can type")
	}
	return nil
}

// typed is a line that somebody types. An end without one, or an interruption, is none;
// whoever still waits for the line then ends with the process.
func (d *door) typed(ctx context.Context) string {
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(d.Stdin).ReadString('\n') // no line: no consent
		lines <- strings.TrimSpace(line)
	}()
	select {
	case line := <-lines:
		return line
	case <-ctx.Done():
		return ""
	}
}

func printFlash(p printer, r flash.Report) error {
	fmt.Fprintf(p.out, "wrote %s to %s\n", size(uint64(r.Bytes)), r.Target)
	how := "after the kernel's memory of it was dropped"
	if r.Direct {
		how = "past the kernel's memory"
	}
	fmt.Fprintf(p.out, "verified: %s read back %s, and all as written\n", size(uint64(r.Verified)), how)
	fmt.Fprintf(p.out, "  image %s\n", r.Digest)
	for _, file := range r.Files {
		fmt.Fprintf(p.out, "  put in %s, %s, %s, found through the file system\n", printable(file.Path), size(uint64(file.Size)), file.Digest)
	}
	if r.Grown {
		fmt.Fprintln(p.out, "the second partition table stands at the end of the target")
	}
	return nil
}
