package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// serving is the argument of the second of the two processes of a start.
const serving = "--serve"

// Main is the relay's own main: FOLDER makes ready what it listens on, leaves it to
// another process of the same program, and returns when that can be reached; FOLDER
// --serve is that one. So whoever starts a relay waits for a process that ends at once,
// and the one that stays is nobody's child. It returns the exit code.
func Main(ctx context.Context, args []string, stderr io.Writer) int {
	err := errors.New("usage: relay FOLDER")
	switch {
	case len(args) == 1:
		err = launch(ctx, args[0])
	case len(args) == 2 && args[1] == serving:
		err = inherit(ctx, args[0])
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

// launch makes the relay of a folder, of which there is one at a time.
func launch(ctx context.Context, folder string) error {
	lock, err := claim(folder)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := os.Remove(socketIn(folder)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("cannot remove socket of an earlier relay: %w", err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socketIn(folder), Net: "unix"})
	if err != nil {
		return fmt.Errorf("cannot listen for the agent: %w", err)
	}
	listener.SetUnlinkOnClose(false) // it is the other's
	file, err := listener.File()
	if err = errors.Join(err, listener.Close()); err != nil {
		return fmt.Errorf("cannot pass on socket: %w", err)
	}
	defer file.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/proc/self/exe", append(os.Args[1:], serving)...)
	cmd.Dir, cmd.ExtraFiles = "/", []*os.File{lock, file}
	cmd.Env = []string{} // nothing of the agent's, least of all its credentials
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start relay: %w", err)
	}
	return nil
}

// claimWithin is how long an earlier relay may take to let go.
const claimWithin = 3 * time.Second

// claim takes the lock of a folder, which passes on with the file.
func claim(folder string) (*os.File, error) {
	for until := time.Now().Add(claimWithin); ; {
		lock, err := os.OpenFile(lockIn(folder), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return nil, fmt.Errorf("cannot open lock of relay: %w", err)
		}
		err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && isThere(lock) {
			return lock, nil
		}
		if err = errors.Join(err, lock.Close()); err != nil && !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(until) {
			return nil, fmt.Errorf("cannot lock folder of relay: %w", err)
		}
		pause(context.Background(), 10*time.Millisecond)
	}
}

// isThere tells whether a file is still the one of its name, which who ends takes away.
func isThere(file *os.File) bool {
	own, ownErr := file.Stat()
	named, err := os.Stat(file.Name())
	return ownErr == nil && err == nil && os.SameFile(own, named)
}

// The files that launch leaves to inherit.
const (
	lockFile   = 3
	socketFile = 4
	backlog    = 16 // agents at once: there is one
)

func inherit(ctx context.Context, folder string) error {
	lock := os.NewFile(lockFile, "lock")
	file := os.NewFile(socketFile, "socket")
	unix.CloseOnExec(lockFile)
	// Who listens is who did so last: this process, and not the one that has ended.
	err := unix.Listen(socketFile, backlog)
	if err != nil {
		return fmt.Errorf("cannot take over socket: %w", err)
	}
	listener, err := net.FileListener(file)
	err = errors.Join(err, file.Close())
	if err != nil {
		return fmt.Errorf("cannot take over socket: %w", err)
	}
	own, err := program()
	if err != nil {
		return err
	}
	r := &relay{folder: folder, program: own, lock: lock, control: listener, ports: map[string]*port{}, open: newConnections(maxConnections), grace: endWithin}
	if r.socket, err = r.identity(); err != nil {
		return fmt.Errorf("cannot find own socket: %w", err)
	}
	return r.run(ctx)
}
