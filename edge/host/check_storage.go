package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

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
	// fullInodes are fewer than the agent's own files need.
	fullInodes = 100
)

func checkDisk(code, folder string) Finding {
	const remedy = "free space (holdfast images list shows what is held), or choose another folder"
	usage, err := disk.UsageWithContext(context.Background(), existing(folder))
	if err != nil {
		return finding(code, LevelFail, folder, err.Error(), remedy)
	}
	detail := fmt.Sprintf("%d MiB of %d MiB free", usage.Free>>20, usage.Total>>20)
	if usage.InodesTotal > 0 {
		detail += fmt.Sprintf(", %d inodes free", usage.InodesFree)
	}
	level := LevelOK
	switch inodes := usage.InodesTotal > 0; {
	case usage.Free < fullDisk, inodes && usage.InodesFree < fullInodes:
		level = LevelFail
	case usage.Free < tightDisk, inodes && usage.InodesFree < tightInodes:
		level = LevelWarn
	}
	return finding(code, level, folder, detail, remedy)
}

// slowSync is how long flash may take to make a page last. Each change of the policy, and
// each command, waits for two.
const slowSync = 500 * time.Millisecond

// checkSync measures how long the disk takes to make something last: the slowest of three.
func checkSync(o CheckOptions) Finding {
	const code = "disk-sync"
	if info, err := os.Stat(o.StateDir); err != nil || !info.IsDir() {
		return finding(code, LevelOK, o.StateDir, "is not measured before the folder is there", "")
	}
	slowest, err := measureSync(o.StateDir)
	if err != nil {
		return finding(code, LevelFail, o.StateDir, err.Error(), "remount its file system read-write, or replace the disk")
	}
	detail := fmt.Sprintf("4 KiB last after %v", slowest.Round(10*time.Microsecond))
	if slowest > slowSync {
		return finding(code, LevelWarn, o.StateDir, detail, "replace the flash (it wears out), or end what else writes to it")
	}
	return finding(code, LevelOK, o.StateDir, detail, "")
}

func measureSync(folder string) (slowest time.Duration, err error) {
	file, err := os.CreateTemp(folder, ".doctor-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	page := make([]byte, 4096)
	for range 3 {
		started := time.Now()
		if _, err := file.WriteAt(page, 0); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		slowest = max(slowest, time.Since(started))
	}
	return slowest, nil
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
