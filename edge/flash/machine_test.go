package flash_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/flash"
)

// tree is a machine by hand: a disk sdb with two partitions, at USB.
type tree struct {
	testing.TB
	root string
	flash.Machine
}

func newTree(t testing.TB) *tree {
	m := &tree{TB: t, root: t.TempDir()}
	m.Sys, m.Proc = filepath.Join(m.root, "sys"), filepath.Join(m.root, "proc")
	numbers := map[string]string{"/dev/sdb": "8:16", "/dev/sdb1": "8:17", "/dev/sdb2": "8:18", "/dev/sda1": "8:1", "/dev/mapper/root": "254:0"}
	m.Stat = func(path string) (flash.Node, error) {
		if number, found := numbers[path]; found {
			return flash.Node{Device: true, Number: number}, nil
		}
		if path == "/dev/null" {
			return flash.Node{}, nil
		}
		return flash.Node{Absent: true}, nil
	}
	disk := "sys/devices/pci/usb1/1-1/block/sdb"
	for path, text := range map[string]string{
		disk + "/dev": "8:16", disk + "/size": "62333952", disk + "/ro": "0", disk + "/diskseq": "11", disk + "/removable": "0", disk + "/queue/logical_block_size": "512",
		disk + "/device/vendor": "Generic ", disk + "/device/model": "MassStorage", disk + "/device/serial": "0815",
		disk + "/sdb1/partition": "1", disk + "/sdb1/dev": "8:17", disk + "/sdb2/partition": "2", disk + "/sdb2/dev": "8:18",
		"sys/block/dm-0/dev": "254:0", "sys/block/md0/dev": "9:0",
		"proc/self/mountinfo": "22 1 8:1 / / rw - ext4 /dev/sda1 rw", "proc/swaps": "Filename Type Size Used Priority",
	} {
		m.write(path, text)
	}
	for name, to := range map[string]string{"8:16": "sdb", "8:17": "sdb/sdb1"} {
		m.link("sys/dev/block/"+name, filepath.Join(m.root, "sys/devices/pci/usb1/1-1/block", to))
	}
	return m
}

const disk = "sys/devices/pci/usb1/1-1/block/sdb"

func (m *tree) write(path, text string) {
	m.Helper()
	whole := filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(whole), 0o755); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(whole, []byte(text+"\n"), 0o644); err != nil {
		m.Fatal(err)
	}
}

func (m *tree) link(path, to string) {
	m.Helper()
	whole := filepath.Join(m.root, path)
	if err := os.MkdirAll(filepath.Dir(whole), 0o755); err != nil {
		m.Fatal(err)
	}
	if err := os.Symlink(to, whole); err != nil {
		m.Fatal(err)
	}
}

func TestMachine_Examine(t *testing.T) {
	target, err := newTree(t).Examine("/dev/sdb")
	if err != nil {
		t.Fatal(err)
	}
	want := flash.Target{Path: "/dev/sdb", Name: "sdb", Number: "8:16", Sequence: "11", Device: true, Size: 62333952 * 512, Model: "Generic MassStorage", Serial: "0815", Removable: true}
	if *target != want {
		t.Errorf("got %+v, want %+v", *target, want)
	}
}

// TestMachine_ExamineRefuses changes one thing of a disk that is accepted otherwise.
func TestMachine_ExamineRefuses(t *testing.T) {
	mounts := "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
	for name, c := range map[string]struct {
		change func(*tree)
		path   string
		want   string
	}{
		"Mounted": {func(m *tree) {
			m.write("proc/self/mountinfo", mounts+`30 22 8:17 / /media/a\040card rw shared:1 - vfat /dev/sdb1 rw`)
		}, "", "sdb1 is mounted at /media/a card"},
		"MountedByAnotherNumber": {func(m *tree) { m.write("proc/self/mountinfo", mounts+"30 22 0:40 / /data rw - btrfs /dev/sdb2 rw") }, "", "sdb2 is mounted at /data"},
		"Root":                   {func(m *tree) { m.write("proc/self/mountinfo", "22 1 8:18 / / rw - ext4 /dev/root rw\n") }, "", "sdb2 is mounted at /"},
		"Swap":                   {func(m *tree) { m.write("proc/swaps", "Filename\n/dev/sdb2 partition 1 0 -2") }, "", "sdb2 is swapped to"},
		"MountedThroughMapper": {func(m *tree) {
			m.write(disk+"/sdb2/holders/dm-0/x", "")
			m.write("proc/self/mountinfo", "22 1 254:0 / / rw - ext4 /dev/mapper/root rw\n")
		}, "", "dm-0 is mounted at /"},
		"MountedThroughTwo": {func(m *tree) {
			m.write(disk+"/sdb2/holders/md0/x", "")
			m.write("sys/block/md0/holders/dm-0/x", "")
			m.write("proc/swaps", "Filename\n/dev/mapper/root partition 1 0 -2")
		}, "", "dm-0 is swapped to"},
		"Held":      {func(m *tree) { m.write(disk+"/holders/md0/x", "") }, "", "sdb is held by md0"},
		"ReadOnly":  {func(m *tree) { m.write(disk+"/ro", "1") }, "", "is read-only"},
		"Sectors":   {func(m *tree) { m.write(disk+"/queue/logical_block_size", "4096") }, "", "has sectors of 4096 bytes"},
		"Empty":     {func(m *tree) { m.write(disk+"/size", "0") }, "", "has no medium"},
		"Made":      {func(m *tree) { m.write(disk+"/slaves/sdc/x", "") }, "", "is made of sdc"},
		"Partition": {func(*tree) {}, "/dev/sdb1", "is a partition"},
		"Gone":      {func(*tree) {}, "/dev/sdc", "is no disk that is there"},
		"GoneByID":  {func(*tree) {}, "/dev/disk/by-id/usb-card", "is no disk that is there"},
		"LeftByTools": {func(m *tree) {
			m.Stat = func(string) (flash.Node, error) { return flash.Node{Regular: true, Size: 512}, nil }
		}, "/dev/null", "is no disk that is there"},
		"Terminal":    {func(*tree) {}, "/dev/null", "is neither a disk nor a file"},
		"NoMountinfo": {func(m *tree) { os.Remove(filepath.Join(m.root, "proc/self/mountinfo")) }, "", "cannot list mounts"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newTree(t)
			c.change(m)
			if c.path == "" {
				c.path = "/dev/sdb"
			}
			_, err := m.Examine(c.path)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if name != "NoMountinfo" && (!errors.Is(err, edge.ErrInvalid) || edge.HintOf(err) == "") {
				t.Errorf("got %v with hint %q, want a refusal that says what to do", err, edge.HintOf(err))
			}
		})
	}
	t.Run("BuiltIn", func(t *testing.T) {
		m := newTree(t)
		other := filepath.Join(m.root, "sys/devices/pci/ata1/block/sdb")
		if err := os.MkdirAll(filepath.Dir(other), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(m.root, disk), other); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(m.root, "sys/dev/block/8:16")); err != nil {
			t.Fatal(err)
		}
		m.link("sys/dev/block/8:16", other)
		if target, err := m.Examine("/dev/sdb"); err != nil || target.Removable {
			t.Errorf("got %+v and %v, want a disk that is built in", target, err)
		}
	})
}

func TestMachine_ExamineFile(t *testing.T) {
	m := newTree(t)
	m.Stat = nil
	path := filepath.Join(m.root, "disk.img")
	if target, err := m.Examine(path); err != nil || !target.Absent || !target.Removable {
		t.Errorf("got %+v and %v, want a file to be made", target, err)
	}
	m.write("disk.img", "x")
	if target, err := m.Examine(path); err != nil || target.Absent || target.Size != 2 {
		t.Errorf("got %+v and %v, want a file that is there", target, err)
	}
	m.write("proc/swaps", "Filename\n"+path+" file 1 0 -2")
	if _, err := m.Examine(path); err == nil || !strings.Contains(err.Error(), "is swapped to") {
		t.Errorf("got %v, want a refusal", err)
	}
	m.write("proc/swaps", "Filename")
	m.write("sys/block/loop3/loop/backing_file", path)
	if _, err := m.Examine(path); err == nil || !strings.Contains(err.Error(), "is attached as loop3") {
		t.Errorf("got %v, want a refusal", err)
	}
	if _, err := m.Examine(m.root); err == nil {
		t.Error("got no refusal of a folder")
	}
}
