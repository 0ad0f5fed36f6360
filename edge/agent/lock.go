package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"holdfast/edge"
)

// stateLock is the claim of one agent on its state folder. The kernel drops it
// with the process, so a crash leaves nothing to clean.
//
// On a disk that takes no writes the lock may not be to be had. That is no reason
// to leave the node without an agent: then only the claim on the namespace stands
// between two of them.
type stateLock struct {
	file *os.File
	lost error // why the folder is not claimed; nil when it is
}

// lockState claims the folder or says which process holds it.
func lockState(dir string) (*stateLock, error) {
	path := filepath.Join(dir, "agent.lock")
	file, err := openLock(dir, path)
	if isFull(err) {
		return &stateLock{lost: err}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := readHolder(file)
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, edge.WithHint(
				fmt.Errorf("cannot lock %q: %w (%s)", path, edge.ErrLocked, holder),
				"stop the other agent, or give this one folders and a namespace of its own with --set paths.state=… --set paths.run=… --set containerd.namespace=…")
		}
		return nil, fmt.Errorf("cannot lock %q: %w", path, err)
	}
	lock := &stateLock{file: file}
	if err := lock.sign(); err != nil && !isFull(err) { // the name in it is a courtesy
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// openLock opens the file to write in, or only to hold where the disk is read-only
// and an earlier agent has left one.
func openLock(dir, path string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot create state folder: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if errors.Is(err, syscall.EROFS) {
		if held, readErr := os.Open(path); readErr == nil {
			return held, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open lock: %w", err)
	}
	return file, nil
}

// isFull tells whether the disk takes no writes.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EROFS) ||
		errors.Is(err, syscall.EBADF) // a file that could only be opened for reading
}

// sign leaves our process id in the file, for the message of the next comer.
func (l *stateLock) sign() error {
	if err := l.file.Truncate(0); err != nil && !errors.Is(err, syscall.EINVAL) { // not open for writing
		return fmt.Errorf("cannot write lock: %w", err)
	}
	if _, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("cannot write lock: %w", err)
	}
	return nil
}

// Close gives the folder up. A lock that was never taken is given up already.
func (l *stateLock) Close() error {
	if l == nil || l.file == nil {
		return nil
	}
	return l.file.Close()
}

func readHolder(file *os.File) string {
	text := make([]byte, 32)
	n, _ := file.ReadAt(text, 0)
	pid := strings.TrimSpace(string(text[:n]))
	if pid == "" {
		return "process unknown"
	}
	return "process " + pid
}
