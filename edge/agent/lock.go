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
// In a folder that takes no writes, or is none, the lock may not be to be had. That is
// no reason to leave the node without an agent: then only the claim on the namespace
// stands between two of them.
type stateLock struct {
	file *os.File
	lost error // why the folder is not claimed; nil when it is
}

// lockState claims the folder, or says which process holds it.
func lockState(dir string) (*stateLock, error) {
	path := filepath.Join(dir, "agent.lock")
	file, err := openLock(dir, path)
	if err != nil {
		return &stateLock{lost: err}, nil
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		lock := &stateLock{file: file}
		lock.sign()
		return lock, nil
	}
	holder := readHolder(file)
	file.Close()
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return &stateLock{lost: fmt.Errorf("cannot lock %q: %w", path, err)}, nil
	}
	return nil, edge.WithHint(
		fmt.Errorf("cannot lock %q: %w (%s)", path, edge.ErrLocked, holder),
		"stop the other agent, or give this one folders and a namespace of its own with --set paths.state=… --set paths.run=… --set containerd.namespace=…")
}

// openLock opens the file to write in, or only to hold where it cannot be written to
// and an earlier agent has left one.
func openLock(dir, path string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot create state folder: %w", err)
	}
	if info, err := os.Stat(path); err == nil {
		if err := wantRegular(path, info); err != nil {
			return nil, fmt.Errorf("cannot open lock: %w", err)
		}
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|waitForNobody, 0o644)
	if err == nil {
		file, err = checkRegular(file)
	} else if held, readErr := openRegular(path); readErr == nil {
		return held, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open lock: %w", err)
	}
	return file, nil
}

// sign leaves our process id in the file, for the message of the next comer. It is a
// courtesy: that it cannot be written, or only half of it, harms nothing.
func (l *stateLock) sign() {
	if err := l.file.Truncate(0); err != nil {
		return
	}
	l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0) //nolint:errcheck // see above
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

// codeUnlocked is the warning that the state folder is not claimed.
const codeUnlocked = "state-unlocked"

// warnLock says that the folder does not even take a lock.
func (a *Agent) warnLock() {
	if a.lock.lost == nil {
		return
	}
	state := a.config.Load().Paths.State
	a.warnings.Raise(edge.Warning{
		Code: codeUnlocked, Subject: state, Detail: a.lock.lost.Error(),
		Remedy: "see that " + state + " is a folder which the agent may write to, on a disk with room, and start the agent anew",
	})
}
