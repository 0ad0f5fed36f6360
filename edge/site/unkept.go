package site

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
)

// What the kernel calls file systems that lie in memory.
const (
	tmpfsMagic uint32 = 0x01021994
	ramfsMagic uint32 = 0x858458f6
)

// Unkept tells whether what is made of a site file is gone at the next start though the file
// itself would last: a gateway whose data partition cannot be used goes on in memory.
func (a *Applier) Unkept() bool {
	return (a.inMemory(a.folders.State) || a.inMemory(a.folders.Etc)) && !a.inMemory(a.folders.Boot)
}

// inMemory asks the kernel for the file system that a folder is in, or will be.
func inMemory(folder string) bool {
	var found syscall.Statfs_t
	err := syscall.Statfs(folder, &found)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(folder) != folder {
		return inMemory(filepath.Dir(folder))
	}
	kind := uint32(found.Type) //nolint:gosec // all of these are of 32 bits
	return err == nil && (kind == tmpfsMagic || kind == ramfsMagic)
}
