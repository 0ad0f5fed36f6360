package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/shirou/gopsutil/v3/disk"
)

// checkFolder writes, syncs and removes a small file. A folder that is not there
// yet must be one that can be made.
func checkFolder(code, folder string) Finding {
	const remedy = "run as root, choose another folder, or remount its file system read-write"
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		above := existing(folder)
		made, err := os.MkdirTemp(above, ".doctor-*")
		if err != nil {
			return finding(code, LevelFail, folder, "is not there and cannot be made: "+err.Error(), remedy)
		}
		os.Remove(made)
		return finding(code, LevelOK, folder, "will be made at the first start", "")
	case err != nil:
		return finding(code, LevelFail, folder, err.Error(), remedy)
	case !info.IsDir():
		return finding(code, LevelFail, folder, "is not a folder", "remove it or choose another")
	}
	if err := tryWrite(folder); err != nil {
		return finding(code, LevelFail, folder, err.Error(), remedy)
	}
	return finding(code, LevelOK, folder, "can be written", "")
}

func tryWrite(folder string) error {
	file, err := os.CreateTemp(folder, ".doctor-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if _, err := file.WriteString("holdfast\n"); err != nil {
		return err
	}
	return file.Sync()
}

// Room the agent's state needs: the database, the telemetry ring and one image
// unpacked beside another; below the lesser even the first two do not fit.
const (
	tightDisk = 256 << 20
	fullDisk  = 32 << 20
	// tightInodes is about one unpacked image.
	tightInodes = 5000
)

func checkDisk(o CheckOptions) Finding {
	const code, remedy = "disk", "free space, or choose another state folder"
	usage, err := disk.UsageWithContext(context.Background(), existing(o.StateDir))
	if err != nil {
		return finding(code, LevelFail, o.StateDir, err.Error(), remedy)
	}
	detail := fmt.Sprintf("%d MiB of %d MiB free", usage.Free>>20, usage.Total>>20)
	level := LevelOK
	switch {
	case usage.Free < fullDisk:
		level = LevelFail
	case usage.Free < tightDisk:
		level = LevelWarn
	case usage.InodesTotal > 0 && usage.InodesFree < tightInodes:
		level, detail = LevelWarn, fmt.Sprintf("%d inodes free", usage.InodesFree)
	}
	return finding(code, level, o.StateDir, detail, remedy)
}

// checkPersistence finds a state folder that a power cut would empty.
func checkPersistence(o CheckOptions) Finding {
	const code = "persistence"
	usage, err := disk.UsageWithContext(context.Background(), existing(o.StateDir))
	if err == nil && (usage.Fstype == "tmpfs" || usage.Fstype == "ramfs") {
		return finding(code, LevelWarn, o.StateDir, "lies in memory and is gone after a power cut", "set paths.state to a folder on disk")
	}
	return finding(code, LevelOK, o.StateDir, "is kept on disk", "")
}
