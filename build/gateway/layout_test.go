package main

import (
	"bytes"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"holdfast/build/rootfs"
)

// TestArch_Parts: partitions neither overlap nor leave gaps, each has a number of its own,
// and the last one is that which grows.
func TestArch_Parts(t *testing.T) {
	for _, a := range arches() {
		parts := a.parts("", "", "")
		seen := map[string]bool{diskID: true}
		at := int64(firstAt)
		for _, p := range parts {
			if p.at != at || p.size <= 0 {
				t.Errorf("%s: partition %s begins at %d MiB and has %d, want it to begin at %d", a.name, p.name, p.at, p.size, at)
			}
			if seen[p.id] {
				t.Errorf("%s: number %s is there twice", a.name, p.id)
			}
			seen[p.id], at = true, at+p.size
		}
		var names []string
		for _, p := range parts {
			names = append(names, p.name)
		}
		if want := []string{"boot", "root-a", "root-b", "data"}; !slices.Equal(names, want) {
			t.Errorf("%s: got partitions %q, want %q", a.name, names, want)
		}
		if parts[1].size != parts[2].size || parts[1].kind == parts[3].kind {
			t.Errorf("%s: the two systems need the same room, and a type that is not the data's: %+v", a.name, parts)
		}
	}
}

// TestArch_Words: a kernel that is told of one console looks for no other, so those of boards,
// whose serial lines only the firmware knows, are told of none.
func TestArch_Words(t *testing.T) {
	for _, a := range arches() {
		words := strings.Fields(a.words())
		told := slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(word, "console=") })
		if told != (a.name == "amd64") || !slices.Contains(words, "panic=30") {
			t.Errorf("%s: the kernel is told %q", a.name, words)
		}
	}
}

func TestTable(t *testing.T) {
	got := table([]part{{name: "one", kind: "KIND", id: "ID", at: 1, size: 2}})
	want := "label: gpt\nlabel-id: " + diskID + "\nunit: sectors\nstart=1MiB, size=2MiB, type=KIND, uuid=ID, name=one\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestPut: what is empty is not written, and what does not fit is refused.
func TestPut(t *testing.T) {
	dir := t.TempDir()
	image, name := filepath.Join(dir, "image"), filepath.Join(dir, "disk")
	content := slices.Concat([]byte("begin"), make([]byte, 2*mebibyte), []byte("end"))
	if err := os.WriteFile(image, content, 0o600); err != nil {
		t.Fatal(err)
	}
	disk, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	if err := put(disk, part{at: 1, size: 3, image: image}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(name)
	if err != nil || !bytes.Equal(got[mebibyte:], content) {
		t.Errorf("got %d bytes, %v, want the image after one MiB", len(got), err)
	}
	if err := put(disk, part{at: 1, size: 2, image: image}); err == nil {
		t.Error("an image of more than two MiB went into two")
	}
}

// TestWriteCPIO reads what the kernel would.
func TestWriteCPIO(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"b/file": "odd", "a": "", "init": "#!/bin/sh\n"} {
		if err := rootfs.Write(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := rootfs.Symlink("init", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	var one, two bytes.Buffer
	if err := writeCPIO(&one, dir, 7); err != nil {
		t.Fatal(err)
	}
	if err := writeCPIO(&two, dir, 7); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Errorf("the same folder gave other bytes (%v)", err)
	}
	got := entries(t, one.Bytes())
	want := []string{". 040755 7 ", "a 0100755 7 ", "b 040755 7 ", "b/file 0100755 7 odd", "init 0100755 7 #!/bin/sh\n", "link 0120777 7 init", "TRAILER!!! 00 7 "}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// entries are name, mode, time and content of an archive's.
func entries(t *testing.T, archive []byte) (all []string) {
	t.Helper()
	for at := 0; at < len(archive); {
		if string(archive[at:at+6]) != "070701" {
			t.Fatalf("there is no entry at %d", at)
		}
		field := func(n int) int {
			value, err := strconv.ParseUint(string(archive[at+6+8*n:at+14+8*n]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(value)
		}
		size, length := field(6), field(11)
		name := string(archive[at+110 : at+110+length-1])
		body := (at + 110 + length + 3) &^ 3
		mode := "0" + strconv.FormatInt(int64(field(1)), 8)
		all = append(all, strings.Join([]string{name, mode, strconv.Itoa(field(5)), string(archive[body : body+size])}, " "))
		at = (body + size + 3) &^ 3
	}
	return all
}

// TestDependencies: a driver comes with all that it needs, and nothing else.
func TestDependencies(t *testing.T) {
	file := filepath.Join(t.TempDir(), "modules.dep")
	text := "kernel/drivers/nvme/host/nvme.ko: kernel/drivers/nvme/host/nvme-core.ko kernel/crypto/x.ko\nkernel/sound/s.ko:\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	needs, err := dependencies(file)
	if err != nil || !slices.Equal(needs["kernel/drivers/nvme/host/nvme.ko"], []string{"kernel/drivers/nvme/host/nvme-core.ko", "kernel/crypto/x.ko"}) {
		t.Errorf("got %v, %v", needs, err)
	}
	for module, want := range map[string]bool{
		"kernel/drivers/nvme/host/nvme.ko": true, "kernel/drivers/nvmem/other.ko": false, "kernel/drivers/scsi/sd_mod.ko": true, "kernel/sound/s.ko": false,
	} {
		if got := below(module, drivers); got != want {
			t.Errorf("%s is taken: %v, want %v", module, got, want)
		}
	}
	if err := os.WriteFile(file, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := dependencies(file); err == nil {
		t.Error("a line that is none was read")
	}
}

// TestDebian reads packages as dpkg writes them.
func TestDebian(t *testing.T) {
	file := filepath.Join(t.TempDir(), "status")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("Package: runc\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.1.5+ds1-1\nDescription: a\n b: c\n\nPackage: udev\nArchitecture: amd64\nVersion: 1:2\n")
	got, err := debian(file)
	if err != nil || len(got) != 2 || got[0].Name != "runc" || got[0].Ref != "pkg:deb/debian/runc@1.1.5%2Bds1-1?arch=amd64&distro=debian-12" || got[1].Version != "1:2" {
		t.Errorf("got %+v, %v", got, err)
	}
	put("Package: runc\n")
	if _, err := debian(file); err == nil {
		t.Error("a package without a version was taken")
	}
}

// TestFiles: nothing that is started is missing, nothing of ours is masked, and no password
// or key lies among the files.
func TestFiles(t *testing.T) {
	const units = "files/root/usr/lib/systemd/system/"
	for _, unit := range started {
		_, err := fs.Stat(files, units+unit)
		of := !strings.HasPrefix(unit, "gateway-") && unit != "holdfast-site.service"
		if err != nil && !of {
			t.Errorf("%s is started, and is not there: %v", unit, err)
		}
		if slices.Contains(masked, unit) {
			t.Errorf("%s is started and masked", unit)
		}
	}
	for _, unit := range []string{"getty@.service", "serial-getty@.service", "debug-shell.service"} {
		if !slices.Contains(masked, unit) {
			t.Errorf("%s lets somebody in", unit)
		}
	}
	err := fs.WalkDir(files, "files", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		if strings.Contains(string(text), "PRIVATE KEY") || strings.Contains(name, "shadow") {
			t.Errorf("%s has no place in an image", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestDiskID: numbers are as tools write them.
func TestDiskID(t *testing.T) {
	for _, p := range arches()[0].parts("", "", "") {
		if plain := strings.ReplaceAll(p.id, "-", ""); len(p.id) != 36 || len(plain) != 32 {
			t.Errorf("%q is no UUID", p.id)
		} else if _, err := hex.DecodeString(plain); err != nil {
			t.Errorf("%q is no UUID: %v", p.id, err)
		}
	}
}

// TestPlace_Data: the file system for what is kept is made for disks, not for the small
// partition of the image: it can grow far, and growing writes little.
func TestPlace_Data(t *testing.T) {
	dir := t.TempDir()
	p := &place{arch: arches()[0], out: dir, work: dir}
	image, err := p.data(t.Context(), options{})
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	super := make([]byte, 1024)
	if _, err := file.ReadAt(super, 1024); err != nil {
		t.Fatal(err)
	}
	number := func(at, size int) (n int64) {
		for i := range size {
			n |= int64(super[at+i]) << (8 * i)
		}
		return n
	}
	block := int64(1024) << number(0x18, 4)
	perGroup := number(0x20, 4) * block
	describes := max(number(0xFE, 2), 32) // bytes, of a group of blocks
	if limit := number(0xCE, 2) * block / describes * perGroup; limit < 1<<40 {
		t.Errorf("it grows to %d GiB, want a TiB and more", limit>>30)
	}
	inodes := number(0x28, 4) * number(0x58, 2)
	if inodes > perGroup/100 {
		t.Errorf("of each %d MiB %d KiB are for inodes, which are written when it grows; want a hundredth", perGroup>>20, inodes>>10)
	}
}
