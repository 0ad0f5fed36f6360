package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"holdfast/edge"
)

func TestLockState(t *testing.T) {
	dir := t.TempDir()
	first, err := lockState(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockState(dir)
	if !errors.Is(err, edge.ErrLocked) {
		t.Fatalf("second lock = %v, want %v", err, edge.ErrLocked)
	}
	if want := fmt.Sprintf("process %d", os.Getpid()); !strings.Contains(err.Error(), want) {
		t.Errorf("error %q does not name the holder %q", err, want)
	}
	if edge.HintOf(err) == "" {
		t.Error("error has no remedy")
	}
	first.Close()
	second, err := lockState(dir)
	if err != nil {
		t.Fatalf("lock after the first was given up: %v", err)
	}
	second.Close()
}

// TestLockState_DiskTakesNoWrites stands on small file systems of its own.
func TestLockState_DiskTakesNoWrites(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("mounting a file system takes root")
	}
	t.Run("ReadOnly", func(t *testing.T) {
		dir := mountTmpfs(t, "size=64k")
		remountReadOnly(t, dir)
		lock, err := lockState(dir)
		if err != nil || lock.lost == nil {
			t.Errorf("got lock %+v and error %v, want none of the folder and no error", lock, err)
		}
		lock.Close()
	})
	t.Run("ReadOnlyWithALock", func(t *testing.T) {
		dir := mountTmpfs(t, "size=64k")
		earlier, err := lockState(dir)
		if err != nil {
			t.Fatal(err)
		}
		earlier.Close()
		remountReadOnly(t, dir)
		lock, err := lockState(dir)
		if err != nil || lock.lost != nil {
			t.Fatalf("got lock %+v and error %v, want the file that is there", lock, err)
		}
		if _, err := lockState(dir); !errors.Is(err, edge.ErrLocked) {
			t.Errorf("second lock = %v, want %v", err, edge.ErrLocked)
		}
		lock.Close()
	})
	t.Run("Full", func(t *testing.T) {
		dir := mountTmpfs(t, "size=4k,nr_inodes=1")
		lock, err := lockState(dir)
		if err != nil || lock.lost == nil {
			t.Errorf("got lock %+v and error %v, want none of the folder and no error", lock, err)
		}
		lock.Close()
	})
}

// TestLockState_Odd claims folders that are none, or in which the lock is no file.
func TestLockState_Odd(t *testing.T) {
	for name, put := range map[string]func(dir string) error{
		"File":         func(dir string) error { return os.WriteFile(dir, nil, 0o644) },
		"DanglingLink": func(dir string) error { return os.Symlink("/proc/nowhere", dir) },
		"LockIsFolder": func(dir string) error { return os.MkdirAll(filepath.Join(dir, "agent.lock"), 0o755) },
		"LockIsPipe": func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o755), syscall.Mkfifo(filepath.Join(dir, "agent.lock"), 0o644))
		},
		"LockIsDevice": func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o755), os.Symlink("/dev/zero", filepath.Join(dir, "agent.lock")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			if err := put(dir); err != nil {
				t.Fatal(err)
			}
			lock, err := lockState(dir)
			if err != nil || lock.lost == nil {
				t.Fatalf("got lock %+v and error %v, want none of the folder and no error", lock, err)
			}
			if err := lock.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func remountReadOnly(t *testing.T, dir string) {
	t.Helper()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
}
