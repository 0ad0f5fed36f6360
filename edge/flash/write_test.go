package flash_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"holdfast/edge"
	"holdfast/edge/flash"
)

const mebi = 1 << 20

// makeImage is a disk as a gateway's: a boot partition of 36 MiB, the least that mtools take
// for FAT32, and another of 8 with random bytes.
func makeImage(t testing.TB) string { t.Helper(); return imageOf(t, 36, 8) }

// imageOf is one with partitions of so many MiB.
func imageOf(t testing.TB, bootSize, otherSize int64) string {
	t.Helper()
	path := filepath.Join(quickDir(t), "gateway.img")
	tool(t, "", "truncate", "-s", fmt.Sprintf("%dM", 1+bootSize+otherSize+3), path)
	tool(t, fmt.Sprintf("label: gpt\nsize=%dMiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\ntype=L\n", bootSize), "/usr/sbin/sfdisk", "-q", path)
	boot, err := os.ReadFile(makeVolume(t, fmt.Sprintf("%dM", bootSize), "-s", "1"))
	if err != nil {
		t.Fatal(err)
	}
	other := make([]byte, otherSize*mebi)
	if _, err := rand.NewChaCha8([32]byte{2}).Read(other); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for at, content := range map[int64][]byte{1: boot, 1 + bootSize: other} {
		if _, err := file.WriteAt(content, at*mebi); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// quickDir is a folder in memory where there is one: what is large is written often.
func quickDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "flash-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func quiet(string, int64, int64) {}

func readImage(t testing.TB, path string) *flash.Image {
	t.Helper()
	image, err := flash.ReadImage(t.Context(), path, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func jobFor(t testing.TB, image, target string, files ...flash.File) flash.Job {
	t.Helper()
	examined, err := flash.Machine{}.Examine(target)
	if err != nil {
		t.Fatal(err)
	}
	return flash.Job{Image: readImage(t, image), Target: examined, Files: files, Now: time.Now(), Progress: quiet}
}

func contents(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestReadImage_Compressed(t *testing.T) {
	plain := imageOf(t, 2, 1)
	want := readImage(t, plain)
	content := contents(t, plain)
	var zipped bytes.Buffer
	writer := gzip.NewWriter(&zipped)
	if _, err := writer.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, packed := range map[string][]byte{"gz": zipped.Bytes(), "zst": encoder.EncodeAll(content, nil)} {
		path := plain + "." + name
		if err := os.WriteFile(path, packed, 0o644); err != nil {
			t.Fatal(err)
		}
		if got := readImage(t, path); got.Digest != want.Digest || got.Size != want.Size || *got.Boot != *want.Boot {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
		if err := os.WriteFile(path, packed[:len(packed)-100], 0o644); err != nil {
			t.Fatal(err)
		}
		if got, err := flash.ReadImage(t.Context(), path, quiet); err == nil {
			t.Errorf("%s: got %+v of an image that was cut off", name, got)
		}
	}
}

func TestReadImage_Sum(t *testing.T) {
	path := imageOf(t, 2, 1)
	if readImage(t, path).Checked {
		t.Error("an image without a sum counts as checked")
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(contents(t, path)))
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"Right": {sum + "  gateway.img\n", true}, "Binary": {strings.ToUpper(sum) + " *gateway.img\r\n", true}, "Alone": {sum, true},
		"Wrong": {strings.Repeat("0", 64) + "  gateway.img\n", false}, "OfAnother": {sum + "  other.img\n", false}, "None": {"hello\n", false},
	} {
		if err := os.WriteFile(path+".sha256", []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		image, err := flash.ReadImage(t.Context(), path, quiet)
		if got := err == nil; got != c.want || got && !image.Checked {
			t.Errorf("%s: got %+v and %v", name, image, err)
		}
	}
}

func TestJob_Write(t *testing.T) {
	image := makeImage(t)
	t.Run("AsItIs", func(t *testing.T) {
		target := filepath.Join(t.TempDir(), "disk")
		report, err := jobFor(t, image, target).Write(t.Context())
		if err != nil || report.Verified != 48*mebi || report.Grown {
			t.Fatalf("got %+v and %v", report, err)
		}
		if !bytes.Equal(contents(t, target), contents(t, image)) {
			t.Error("the target is not the image")
		}
	})
	t.Run("LargerWithFiles", func(t *testing.T) {
		dir := quickDir(t)
		target, model := filepath.Join(dir, "disk"), filepath.Join(dir, "model.tar")
		old := bytes.Repeat([]byte{0xaa}, 100*mebi+3*512) // what stood there before
		large := bytes.Repeat([]byte("layer"), 2*mebi)
		for path, content := range map[string][]byte{target: old, model: large} {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		report, err := jobFor(t, image, target, flash.File{Path: "holdfast-site.yaml", Content: []byte("node: {name: x}\n")}, flash.File{Path: "images/model.tar", From: model}).Write(t.Context())
		if err != nil || !report.Grown || len(report.Files) != 2 {
			t.Fatalf("got %+v and %v", report, err)
		}
		if said := tool(t, "", "/usr/sbin/sfdisk", "--verify", target); !strings.Contains(said, "No errors detected") {
			t.Errorf("sfdisk: %s", said)
		}
		content := contents(t, target)
		boot := filepath.Join(dir, "boot")
		if err := os.WriteFile(boot, content[mebi:37*mebi], 0o644); err != nil {
			t.Fatal(err)
		}
		if said := judge(t, boot); said != "" {
			t.Errorf("fsck.vfat: %s", said)
		}
		if got := tool(t, "", "mtype", "-i", boot, "::images/model.tar"); got != string(large) {
			t.Errorf("got %d bytes, want %d", len(got), len(large))
		}
		if !bytes.Equal(content[37*mebi:45*mebi], contents(t, image)[37*mebi:45*mebi]) {
			t.Error("the other partition is not as in the image")
		}
	})
}

// TestJob_WriteToAnother examines a disk, has another one come in its place, and wants
// nothing written to that.
func TestJob_WriteToAnother(t *testing.T) {
	image := imageOf(t, 2, 1)
	for name, change := range map[string]func(m *tree, now *flash.Node){
		"Itself": func(*tree, *flash.Node) {},
		"Number": func(m *tree, now *flash.Node) {
			now.Number = "8:32"
			m.link("sys/dev/block/8:32", filepath.Join(m.root, disk))
		},
		"Sequence": func(m *tree, _ *flash.Node) { m.write(disk+"/diskseq", "12") },
		"Size":     func(m *tree, _ *flash.Node) { m.write(disk+"/size", "16392") },
		"Model":    func(m *tree, _ *flash.Node) { m.write(disk+"/device/model", "Disk") },
		"Serial":   func(m *tree, _ *flash.Node) { m.write(disk+"/device/serial", "0816") },
		"Mounted": func(m *tree, _ *flash.Node) {
			m.write("proc/self/mountinfo", "30 22 8:17 / /media/card rw - vfat /dev/sdb1 rw")
		},
		"File": func(_ *tree, now *flash.Node) { *now = flash.Node{Regular: true, Size: 12 * mebi} },
	} {
		t.Run(name, func(t *testing.T) {
			m, path := newTree(t), filepath.Join(quickDir(t), "sdb")
			if err := os.WriteFile(path, bytes.Repeat([]byte{0xaa}, 8*mebi), 0o600); err != nil {
				t.Fatal(err)
			}
			m.write(disk+"/size", "16384")
			now, before := flash.Node{Device: true, Number: "8:16"}, m.Stat
			m.Stat = func(asked string) (flash.Node, error) {
				if asked == path || strings.Contains(asked, "self/fd") {
					return now, nil
				}
				return before(asked)
			}
			target, err := m.Examine(path)
			if err != nil {
				t.Fatal(err)
			}
			change(m, &now)
			_, err = flash.Job{Image: readImage(t, image), Target: target, Machine: m.Machine, Now: time.Now(), Progress: quiet}.Write(t.Context())
			if name == "Itself" { // written to, though a file takes no orders for devices
				if !errors.Is(err, flash.ErrUnusable) {
					t.Errorf("got %v, want it begun", err)
				}
				return
			}
			if !errors.Is(err, edge.ErrInvalid) || errors.Is(err, flash.ErrUnusable) || edge.HintOf(err) == "" {
				t.Errorf("got %v, want a refusal before anything is written", err)
			}
			if got := contents(t, path); len(bytes.Trim(got, "\xaa")) > 0 || len(got) != 8*mebi {
				t.Error("it was written to")
			}
		})
	}
}

// TestJob_WriteInterrupted ends in the middle, and wants that to be said and seen.
func TestJob_WriteInterrupted(t *testing.T) {
	image, target := imageOf(t, 2, 8), filepath.Join(quickDir(t), "disk")
	if err := os.WriteFile(target, contents(t, image), 0o644); err != nil { // a disk that would start
		t.Fatal(err)
	}
	job := jobFor(t, image, target)
	ctx, cancel := context.WithCancel(t.Context())
	job.Progress = func(part string, done, total int64) {
		if part == "writing" && done > total/2 {
			cancel()
		}
	}
	if _, err := job.Write(ctx); !errors.Is(err, flash.ErrUnusable) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it to be called unusable", err)
	}
	if head := contents(t, target)[:mebi]; len(bytes.Trim(head, "\x00")) > 0 {
		t.Error("what was interrupted has a partition table")
	}
}

// TestJob_WriteNotVerified fails or ends while it reads back, at each place of that, and wants
// no partition table to be left by which a machine would start.
func TestJob_WriteNotVerified(t *testing.T) {
	image := imageOf(t, 2, 1)
	const pieces = 7
	for at := range int64(pieces) { // the last but one report comes before the first piece is read
		for _, lies := range []bool{false, true} {
			target := filepath.Join(quickDir(t), "disk")
			job := jobFor(t, image, target)
			ctx, cancel := context.WithCancel(t.Context())
			job.Progress = func(part string, done, total int64) {
				if part == "reading back" && total != pieces*mebi {
					t.Errorf("got %d of %d bytes, want all of them told", done, total)
				}
				if begun := part == "writing" && done == total && at == 0; !begun && (part != "reading back" || done != at*mebi) {
					return
				}
				if !lies {
					cancel()
				} else if err := scratch(target, min(at+1, pieces-1)*mebi+77); err != nil {
					t.Error(err)
				}
			}
			_, err := job.Write(ctx)
			cancel()
			if lies && at == pieces-1 { // behind the verified: nobody can see that
				continue
			}
			if !errors.Is(err, flash.ErrUnusable) {
				t.Errorf("after %d MiB, lies %v: got %v, want it to be called unusable", at, lies, err)
			}
			if head := contents(t, target)[:mebi]; len(bytes.Trim(head, "\x00")) > 0 {
				t.Errorf("after %d MiB, lies %v: what was not verified has a partition table", at, lies)
			}
		}
	}
}

// scratch changes a byte.
func scratch(path string, at int64) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt([]byte{'!'}, at)
	return errors.Join(err, file.Close())
}

// TestJob_WriteToWhatLies changes a byte behind the writer's back, as a worn card does.
func TestJob_WriteToWhatLies(t *testing.T) {
	image := imageOf(t, 2, 8)
	for name, when := range map[string]string{"WhileWriting": "writing", "WhilePuttingIn": "putting files in"} {
		t.Run(name, func(t *testing.T) {
			target := filepath.Join(quickDir(t), "disk")
			job := jobFor(t, image, target, flash.File{Path: "a.txt", Content: []byte("hello")})
			job.Progress = func(part string, done, total int64) {
				if part != when || done != total {
					return
				}
				file, err := os.OpenFile(target, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer file.Close()
				if _, err := file.WriteAt([]byte{'!'}, 5*mebi+77); err != nil {
					t.Fatal(err)
				}
			}
			_, err := job.Write(t.Context())
			if !errors.Is(err, flash.ErrUnusable) || !strings.Contains(err.Error(), "at 5 MiB stands something else") {
				t.Errorf("got %v, want the place of the byte", err)
			}
		})
	}
}

func TestJob_Check(t *testing.T) {
	image, dir := imageOf(t, 2, 1), quickDir(t)
	small := filepath.Join(dir, "small")
	if err := os.WriteFile(small, make([]byte, 6*mebi), 0o644); err != nil {
		t.Fatal(err)
	}
	bare := filepath.Join(dir, "bare.img")
	if err := os.WriteFile(bare, make([]byte, 2*mebi), 0o644); err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(dir, "disk")
	file := flash.File{Path: "a.txt", Content: []byte("x")}
	for name, c := range map[string]struct {
		job  flash.Job
		want string
	}{
		"Small":    {jobFor(t, image, small), "and the image has"},
		"NoBoot":   {jobFor(t, bare, target, file), "has no FAT32 boot partition"},
		"TooMuch":  {jobFor(t, image, target, flash.File{Path: "a", Content: make([]byte, 2*mebi)}), "they take"},
		"Name":     {jobFor(t, image, target, flash.File{Path: "a/b/c"}), "no name on FAT32"},
		"FileGone": {jobFor(t, image, target, flash.File{Path: "a", From: filepath.Join(dir, "none")}), "cannot read file"},
	} {
		before := contents(t, small)
		_, err := c.job.Write(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, flash.ErrUnusable) {
			t.Errorf("%s: got %v, want %q before anything is written", name, err, c.want)
		}
		if _, err := os.Stat(target); err == nil || !bytes.Equal(before, contents(t, small)) {
			t.Errorf("%s: something was written", name)
		}
	}
	if report, err := jobFor(t, bare, target).Write(t.Context()); err != nil || report.Verified != 2*mebi {
		t.Errorf("got %+v and %v, want an image without partitions written as it is", report, err)
	}
}

// TestJob_WriteDevice writes to a block device of the kernel's, where it has loop devices.
func TestJob_WriteDevice(t *testing.T) {
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Logf("this kernel has no loop devices: %v", err)
		return
	}
	image, backing := makeImage(t), filepath.Join(quickDir(t), "backing")
	tool(t, "", "truncate", "-s", "64M", backing)
	device := strings.TrimSpace(tool(t, "", "/usr/sbin/losetup", "--find", "--show", backing))
	t.Cleanup(func() { tool(t, "", "/usr/sbin/losetup", "-d", device) })
	job := jobFor(t, image, device, flash.File{Path: "holdfast-site.yaml", Content: []byte("node: {name: x}\n")})
	if !job.Target.Device || job.Target.Size != 64*mebi || job.Target.Removable {
		t.Errorf("got %+v", job.Target)
	}
	report, err := job.Write(t.Context())
	if err != nil || !report.Grown || report.Verified < 48*mebi {
		t.Fatalf("got %+v and %v", report, err)
	}
	if said := tool(t, "", "/usr/sbin/sfdisk", "--verify", backing); !strings.Contains(said, "No errors detected") {
		t.Errorf("sfdisk: %s", said)
	}
	t.Run("TakenByAnother", func(t *testing.T) {
		other, err := os.OpenFile(device, os.O_RDWR|os.O_EXCL, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if _, err := job.Write(t.Context()); !errors.Is(err, edge.ErrInvalid) || errors.Is(err, flash.ErrUnusable) || !strings.Contains(err.Error(), "is in use") {
			t.Errorf("got %v, want a refusal before anything is written", err)
		}
	})
}
