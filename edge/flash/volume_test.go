package flash_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/flash"
)

// tool runs a program that judges what this package writes. build/provision brings it.
func tool(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), args[0], args[1:]...) // also while cleaning up
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// judge is fsck.vfat's word on a file system; empty when there is nothing wrong.
func judge(t testing.TB, path string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "/usr/sbin/fsck.vfat", "-n", path).CombinedOutput()
	if err == nil && !strings.Contains(string(out), "Free cluster summary wrong") {
		return ""
	}
	return string(out)
}

func makeVolume(t testing.TB, size string, options ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fat")
	tool(t, "", "truncate", "-s", size, path)
	tool(t, "", append([]string{"/usr/sbin/mkfs.vfat", "-F", "32", "-n", "HOLDFAST", path}, options...)...)
	return path
}

func openVolume(t testing.TB, path string) (*flash.Volume, *os.File) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	volume, err := flash.OpenVolume(file, flash.Partition{Size: info.Size()}, time.Date(2026, 11, 22, 8, 30, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return volume, file
}

func put(t testing.TB, v *flash.Volume, path string, content []byte) {
	t.Helper()
	if err := v.Put(path, int64(len(content)), bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

func contentOf(t testing.TB, v *flash.Volume, path string) []byte {
	t.Helper()
	from, err := v.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestVolume_Put holds what is written against mtools and fsck.vfat, with clusters of
// several sizes.
func TestVolume_Put(t *testing.T) {
	for cluster, size := range map[string]string{"1": "64M", "2": "160M", "8": "600M"} { // fewer clusters are FAT16 to mtools
		t.Run(cluster+"Sectors", func(t *testing.T) {
			path := makeVolume(t, size, "-s", cluster)
			tool(t, "old and long\n", "sh", "-c", "cat >"+path+".txt && mcopy -i "+path+" "+path+".txt ::holdfast-site.yaml && mmd -i "+path+" ::EFI && mcopy -i "+path+" "+path+".txt ::EFI/other.txt")
			volume, _ := openVolume(t, path)
			random := rand.NewChaCha8([32]byte{1})
			want := map[string][]byte{"holdfast-site.yaml": []byte("node: {name: x}\n"), "empty.txt": nil, "EFI/boot-settings.conf": []byte("timeout 0\n")}
			for i := range 40 { // more than one cluster of names
				content := make([]byte, 1+i*997)
				if _, err := random.Read(content); err != nil {
					t.Fatal(err)
				}
				want[fmt.Sprintf("images/a model with a long name, number %d.oci.tar", i)] = content
			}
			for name, content := range want {
				put(t, volume, name, content)
				put(t, volume, name, content) // replaced by itself
			}
			if err := volume.Flush(); err != nil {
				t.Fatal(err)
			}
			if said := judge(t, path); said != "" {
				t.Errorf("fsck.vfat: %s", said)
			}
			again, _ := openVolume(t, path)
			for name, content := range want {
				if got := tool(t, "", "mtype", "-i", path, "::"+name); got != string(content) {
					t.Errorf("mtools reads %d bytes of %s, want %d", len(got), name, len(content))
				}
				if got := contentOf(t, again, name); !bytes.Equal(got, content) {
					t.Errorf("read %d bytes of %s, want %d", len(got), name, len(content))
				}
			}
			if got := contentOf(t, again, "EFI/OTHER.TXT"); string(got) != "old and long\n" {
				t.Errorf("got %q of a file that was there", got)
			}
		})
	}
}

// TestVolume_Damage is the control of the judge: what this package did not do is seen.
func TestVolume_Damage(t *testing.T) {
	path := makeVolume(t, "64M")
	volume, file := openVolume(t, path)
	put(t, volume, "a.txt", bytes.Repeat([]byte("x"), 5000))
	if err := volume.Flush(); err != nil {
		t.Fatal(err)
	}
	if said := judge(t, path); said != "" {
		t.Fatalf("fsck.vfat: %s", said)
	}
	if _, err := file.WriteAt([]byte{0, 0, 0, 0}, 32*512+4*4); err != nil { // a link of the file's chain
		t.Fatal(err)
	}
	if judge(t, path) == "" {
		t.Error("fsck.vfat sees nothing wrong with a chain that was cut")
	}
}

func TestVolume_Refuses(t *testing.T) {
	volume, _ := openVolume(t, makeVolume(t, "34M"))
	for name, path := range map[string]string{"Colon": "a:b", "Nothing": "", "TwoDeep": "a/b/c", "Dot": "a.", "Letters": "modèle.tar", "Up": "../x"} {
		if err := volume.Put(path, 0, strings.NewReader("")); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", name, err, edge.ErrInvalid)
		}
	}
	free := volume.Free()
	if err := volume.Put("large", free+1, strings.NewReader("")); !errors.Is(err, edge.ErrNoRoom) {
		t.Errorf("got %v, want %v", err, edge.ErrNoRoom)
	}
	if volume.Free() != free {
		t.Errorf("got %d bytes free, want %d as before", volume.Free(), free)
	}
	put(t, volume, "images/x", []byte("x"))
	if err := volume.Put("images", 1, strings.NewReader("x")); !errors.Is(err, edge.ErrInvalid) {
		t.Errorf("got %v for a file in a folder's place", err)
	}
	put(t, volume, "HOLDFAST", []byte("bears the volume's name"))
	if _, err := volume.Open("none"); !errors.Is(err, edge.ErrNotFound) {
		t.Errorf("got %v, want %v", err, edge.ErrNotFound)
	}
	t.Run("FAT16", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fat16")
		tool(t, "", "truncate", "-s", "16M", path)
		tool(t, "", "/usr/sbin/mkfs.vfat", "-F", "16", path)
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := flash.OpenVolume(file, flash.Partition{Size: 16 << 20}, time.Time{}); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want a refusal", err)
		}
	})
}

// memory is a small disk whose rest is zeros, and which takes what is written.
type memory struct {
	head []byte
	size int64
	over map[int64]byte
}

func (m *memory) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(p)) > m.size {
		return 0, io.ErrUnexpectedEOF
	}
	for i := range p {
		p[i] = 0
		if place := at + int64(i); place < int64(len(m.head)) {
			p[i] = m.head[place]
		}
		if b, found := m.over[at+int64(i)]; found {
			p[i] = b
		}
	}
	return len(p), nil
}

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if at < 0 || at+int64(len(p)) > m.size {
		return 0, io.ErrShortWrite
	}
	for i, b := range p {
		m.over[at+int64(i)] = b
	}
	return len(p), nil
}

// FuzzVolume puts a file into file systems that are damaged in any way.
func FuzzVolume(f *testing.F) {
	path := makeVolume(f, "1M", "-s", "1")
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	const head = 20 << 10 // tables, and the beginning of the root folder
	// What the fuzzer begins with has to be taken, or it would try nothing.
	sound := &memory{head: whole[:head], size: 1 << 20, over: map[int64]byte{}}
	volume, err := flash.OpenVolume(sound, flash.Partition{Size: sound.size}, time.Time{})
	if err != nil {
		f.Fatal(err)
	}
	put(f, volume, "images/model.oci.tar", []byte("hello"))
	if got := contentOf(f, volume, "images/model.oci.tar"); string(got) != "hello" {
		f.Fatalf("got %q", got)
	}
	f.Add(whole[:head], "images/model.oci.tar", uint16(3000))
	f.Add(whole[:512], "a.txt", uint16(0))
	f.Fuzz(func(t *testing.T, head []byte, name string, size uint16) {
		disk := &memory{head: head, size: 1 << 20, over: map[int64]byte{}}
		volume, err := flash.OpenVolume(disk, flash.Partition{Size: disk.size}, time.Time{})
		if err != nil {
			return
		}
		content := bytes.Repeat([]byte("y"), int(size))
		if err := volume.Put(name, int64(size), bytes.NewReader(content)); err != nil {
			return
		}
		if err := volume.Flush(); err != nil {
			return
		}
		from, err := volume.Open(name)
		if err != nil {
			return // a folder that runs in a circle may hide it; that is seen when it is read back
		}
		if _, err := io.ReadAll(from); err != nil {
			return
		}
	})
}
