package flash

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// Machine is what the kernel tells of disks. The zero one is this machine; tests have
// their own trees.
type Machine struct {
	Sys, Proc string
	// Stat tells what a path is; nil asks the kernel.
	Stat func(path string) (Node, error)
}

// Node is what a path leads to.
type Node struct {
	Device  bool   // a block device
	Number  string // its number, as 8:16
	Regular bool   // a file
	Absent  bool
	Size    int64 // of a file
}

// Target is what an image may be written to.
type Target struct {
	Path      string
	Name      string // what a person types to agree
	Number    string // of a device, as 8:16
	Sequence  string // counts disks as they come; empty before Linux 5.15
	Device    bool
	Absent    bool // a file that is to be made
	Size      int64
	Model     string
	Serial    string
	Removable bool // a card, a stick, a disk at USB, or a file
}

func (m Machine) sys(parts ...string) string {
	if m.Sys == "" {
		m.Sys = "/sys"
	}
	return filepath.Join(append([]string{m.Sys}, parts...)...)
}

func (m Machine) proc(name string) string {
	if m.Proc == "" {
		m.Proc = "/proc"
	}
	return filepath.Join(m.Proc, name)
}

func (m Machine) stat(path string) (Node, error) {
	if m.Stat != nil {
		return m.Stat(path)
	}
	var info unix.Stat_t
	err := unix.Stat(path, &info)
	if errors.Is(err, fs.ErrNotExist) {
		return Node{Absent: true}, nil
	}
	if err != nil {
		return Node{}, fmt.Errorf("cannot look at %q: %w", path, err)
	}
	kind := info.Mode & unix.S_IFMT
	number := uint64(info.Rdev) //nolint:unconvert // on some architectures it is of 32 bits
	return Node{
		Device: kind == unix.S_IFBLK, Regular: kind == unix.S_IFREG, Size: info.Size,
		Number: fmt.Sprintf("%d:%d", unix.Major(number), unix.Minor(number)),
	}, nil
}

// Examine tells what a path is, and refuses what must not be written to.
func (m Machine) Examine(path string) (*Target, error) {
	node, err := m.stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case node.Device:
		return m.examineDevice(path, node)
	case node.Regular, node.Absent:
		return m.examineFile(path, node)
	}
	return nil, refusal(path, "is neither a disk nor a file", "name a disk such as /dev/sdb, or a file")
}

// confirm looks once more at what is open now, and refuses what is not the target that was
// examined: names go from one disk to another, and much time has passed.
func (m Machine) confirm(file *os.File, was *Target) error {
	node, err := m.stat(m.proc(fmt.Sprintf("self/fd/%d", file.Fd())))
	if err != nil {
		return err
	}
	same := node.Regular && !was.Device && node.Size == was.Size
	if node.Device && was.Device {
		now, err := m.examineDevice(was.Path, node)
		if err != nil {
			return err
		}
		same = *now == *was
	}
	if !same {
		return refusal(was.Path, "is not what it was at first", "see what it is now, and start again")
	}
	return nil
}

func refusal(path, why, hint string) error {
	return edge.WithHint(fmt.Errorf("cannot write to %q: it %s: %w", path, why, edge.ErrInvalid), hint)
}

func (m Machine) examineFile(path string, node Node) (*Target, error) {
	whole, err := filepath.Abs(path)
	if err == nil && !node.Absent {
		whole, err = filepath.EvalSymlinks(whole)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot resolve %q: %w", path, err)
	}
	if isAmongDevices(whole) {
		return nil, refusal(path, "is no disk that is there", "is it plugged in, and is this what lsblk calls it? What is written to a file there would be in memory only")
	}
	loops, err := filepath.Glob(m.sys("block", "loop*", "loop", "backing_file"))
	if err != nil {
		return nil, fmt.Errorf("cannot list loop devices: %w", err)
	}
	for _, loop := range loops {
		if m.line(loop) == whole {
			return nil, refusal(path, "is attached as "+filepath.Base(filepath.Dir(filepath.Dir(loop))), "detach it (losetup -d), or name that device")
		}
	}
	swaps, err := m.swaps()
	if err != nil {
		return nil, err
	}
	if slices.Contains(swaps, whole) {
		return nil, refusal(path, "is swapped to", "name another file")
	}
	return &Target{Path: path, Name: filepath.Base(path), Absent: node.Absent, Size: node.Size, Removable: true}, nil
}

// isAmongDevices tells whether a file would stand among the devices: somebody means one that
// is not there. The memory that programs share is for files.
func isAmongDevices(whole string) bool {
	if folder, err := filepath.EvalSymlinks(filepath.Dir(whole)); err == nil {
		whole = filepath.Join(folder, filepath.Base(whole))
	}
	return strings.HasPrefix(whole, "/dev/") && !strings.HasPrefix(whole, "/dev/shm/")
}

func (m Machine) examineDevice(path string, node Node) (*Target, error) {
	folder, err := filepath.EvalSymlinks(m.sys("dev", "block", node.Number))
	if err != nil {
		return nil, fmt.Errorf("cannot find what %q is: %w", path, err)
	}
	name := filepath.Base(folder)
	if m.has(folder, "partition") {
		return nil, refusal(path, "is a partition", "name the whole disk, "+filepath.Base(filepath.Dir(folder)))
	}
	if slaves, err := os.ReadDir(filepath.Join(folder, "slaves")); err == nil && len(slaves) > 0 {
		return nil, refusal(path, "is made of "+slaves[0].Name(), "name a whole disk that nothing uses")
	}
	if m.line(folder, "ro") != "0" {
		return nil, refusal(path, "is read-only", "some cards and adapters have a small slide that says so")
	}
	if size := m.line(folder, "queue", "logical_block_size"); size != strconv.Itoa(sectorSize) {
		return nil, refusal(path, "has sectors of "+size+" bytes", "images are made for disks with sectors of 512 bytes")
	}
	sectors, err := strconv.ParseInt(m.line(folder, "size"), 10, 64)
	if err != nil || sectors <= 0 {
		return nil, refusal(path, "has no medium", "put a card in")
	}
	if err := m.inUse(path, folder); err != nil {
		return nil, err
	}
	return &Target{
		Path: path, Name: name, Number: node.Number, Sequence: m.line(folder, "diskseq"), Device: true, Size: sectors * 512, // of the kernel's own, whatever the disk's are
		Model:  strings.TrimSpace(m.line(folder, "device", "vendor") + " " + m.line(folder, "device", "model") + m.line(folder, "device", "name")),
		Serial: m.line(folder, "device", "serial"), Removable: m.removable(folder),
	}, nil
}

// removable tells a card, a stick or an outer disk from one that is built in.
func (m Machine) removable(folder string) bool {
	return m.line(folder, "removable") == "1" || m.line(folder, "device", "type") == "SD" ||
		slices.ContainsFunc(strings.Split(folder, "/"), func(part string) bool { return strings.HasPrefix(part, "usb") })
}

// inUse refuses a disk of which anything is mounted, swapped to, or held by a device that is
// made of it.
func (m Machine) inUse(path, folder string) error {
	used, err := m.used()
	if err != nil {
		return err
	}
	members, err := m.members(folder)
	if err != nil {
		return err
	}
	for _, member := range members {
		if err := m.memberInUse(path, member, used); err != nil {
			return err
		}
	}
	return nil
}

// members are a disk and its partitions.
func (m Machine) members(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("cannot list partitions: %w", err)
	}
	all := []string{folder}
	for _, entry := range entries {
		if one := filepath.Join(folder, entry.Name()); m.has(one, "partition") {
			all = append(all, one)
		}
	}
	return all, nil
}

func (m Machine) memberInUse(path, member string, used map[string]string) error {
	if where, found := used[m.line(member, "dev")]; found {
		return refusal(path, "is in use: "+filepath.Base(member)+" is "+where, hintOf(where))
	}
	holders, err := os.ReadDir(filepath.Join(member, "holders"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot list holders: %w", err)
	}
	if len(holders) == 0 {
		return nil
	}
	for _, holder := range holders { // what they are used for tells more than that they are there
		if err := m.memberInUse(path, m.sys("block", holder.Name()), used); err != nil {
			return err
		}
	}
	return refusal(path, "is in use: "+filepath.Base(member)+" is held by "+holders[0].Name(), "take that apart first (dmsetup, mdadm, vgchange)")
}

func hintOf(where string) string {
	if where == "mounted at /" || strings.HasPrefix(where, "mounted at /boot") || where == "swapped to" {
		return "the system that runs here stands on it: name another disk"
	}
	return "unmount it, if it is the one that is meant"
}

// used are the numbers of devices that are mounted or swapped to, and where.
func (m Machine) used() (map[string]string, error) {
	found := map[string]string{}
	file, err := os.Open(m.proc("self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("cannot list mounts: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		before, after, _ := strings.Cut(lines.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		const fields = 5 // id, parent, number, root, mount point
		if len(left) < fields || len(right) < 2 {
			continue
		}
		at := "mounted at " + unescape(left[4])
		m.note(found, left[2], at)
		// Some file systems have numbers of their own; these name their device.
		if source := unescape(right[1]); strings.HasPrefix(source, "/dev/") {
			if node, err := m.stat(source); err == nil && node.Device {
				m.note(found, node.Number, at)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("cannot list mounts: %w", err)
	}
	swaps, err := m.swaps()
	for _, swap := range swaps {
		if node, err := m.stat(swap); err == nil && node.Device {
			m.note(found, node.Number, "swapped to")
		}
	}
	return found, err
}

// note keeps the place that tells most: the root before any other.
func (m Machine) note(found map[string]string, number, where string) {
	if found[number] != "mounted at /" {
		found[number] = where
	}
}

func (m Machine) swaps() (all []string, err error) {
	text, err := os.ReadFile(m.proc("swaps"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a kernel without swap
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list swap: %w", err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		if fields := strings.Fields(line); i > 0 && len(fields) > 0 {
			all = append(all, unescape(fields[0]))
		}
	}
	return all, nil
}

// unescape undoes \040 and the like, as the kernel writes blanks in paths.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// line is a small file's only line; empty where there is none.
func (m Machine) line(parts ...string) string {
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func (m Machine) has(parts ...string) bool {
	_, err := os.Stat(filepath.Join(parts...))
	return err == nil
}
