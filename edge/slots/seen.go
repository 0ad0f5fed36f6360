package slots

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"holdfast/edge/boltfile"
)

// A program that was held against its digest since the machine was started, and was not
// written to since, is not read again: its second start need not wait for that. What a disk
// spoils below the kernel meanwhile would not be seen at a start anyhow, since the kernel
// reads a program piece by piece while it runs.

// maxSeen bounds the file, in bytes.
const maxSeen = 512

// mark names a file as it is: whatever is written to it, or done to its name, changes the
// mark, and so does a new start of the machine. Empty: there is none.
func (s *Store) mark(b Binary, path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if !ok || err != nil {
		return ""
	}
	return fmt.Sprintf("%s %d %d %d %d %d.%d %s", b.Digest, stat.Dev, stat.Ino, stat.Mode, stat.Size, stat.Ctim.Sec, stat.Ctim.Nsec, boot)
}

func (s *Store) seenPath(name Name) string { return filepath.Join(s.o.Run, "seen."+string(name)) }

// seen tells whether a program bears the mark it had when it was read.
func (s *Store) seen(name Name, mark string) bool {
	if s.o.Run == "" || mark == "" {
		return false
	}
	content, err := boltfile.ReadBounded(s.seenPath(name), maxSeen)
	return err == nil && string(content) == mark
}

// see notes the mark that a program had before it was read.
func (s *Store) see(name Name, mark string) {
	if s.o.Run == "" || mark == "" {
		return
	}
	_ = os.WriteFile(s.seenPath(name), []byte(mark), 0o600) // without it the program is read again
}
