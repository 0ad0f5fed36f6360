// Package netns owns the way into the network of another process, as a library for the
// rooms that have to do something there.
//
// # Promises
//
//   - What is done there is done by one thread, which comes back before anything else is
//     done by it, or ends.
//   - A process that has become another's is not entered: whoever knows the network by
//     its number says so.
//
// # Concurrency
//
// Do and Dial may be called from any goroutine; each call costs a thread while it lasts.
//
// # Failure
//
// Without the right to enter, errors are unix.EPERM or unix.EACCES. One who is not there
// any more is edge.ErrNotFound.
//
// # Testing
//
// Against networks that the tests make, in which they see what the host does not have.
package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	goruntime "runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// Of is the number of a process's network, by which it is known while it lasts.
func Of(pid uint32) (uint64, error) {
	var stat unix.Stat_t
	if err := unix.Stat(path(pid), &stat); err != nil {
		return 0, fmt.Errorf("cannot find the network of process %d: %w", pid, native(err))
	}
	return stat.Ino, nil
}

// Do calls do in the network of a process: sockets that it makes stay of that network
// wherever they are used. It must start no goroutine that does. A number other than 0
// is the one the network has to have.
func Do(pid uint32, number uint64, do func() error) error {
	// A goroutine of its own: when its thread cannot come back it ends with it.
	done := make(chan error)
	go func() { done <- within(pid, number, do) }()
	return <-done
}

// Dial connects to a port of the loopback there, of either kind, since a server may listen
// on one alone.
func Dial(ctx context.Context, pid uint32, number uint64, port int) (conn net.Conn, err error) {
	err = Do(pid, number, func() (err error) {
		conn, err = dialLoopback(ctx, strconv.Itoa(port))
		return err
	})
	return conn, err
}

func dialLoopback(ctx context.Context, port string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort(edge.Loopback, port))
	if err == nil || ctx.Err() != nil || !errors.Is(err, unix.ECONNREFUSED) {
		return conn, err
	}
	if conn, other := dialer.DialContext(ctx, "tcp6", net.JoinHostPort("::1", port)); other == nil {
		return conn, nil
	}
	return nil, err
}

func within(pid uint32, number uint64, do func() error) error {
	goruntime.LockOSThread()
	own, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		goruntime.UnlockOSThread()
		return fmt.Errorf("cannot find own network: %w", err)
	}
	defer unix.Close(own)
	if err := enter(pid, number); err != nil {
		goruntime.UnlockOSThread()
		return fmt.Errorf("cannot enter the network of process %d: %w", pid, err)
	}
	err = do()
	if unix.Setns(own, unix.CLONE_NEWNET) == nil {
		goruntime.UnlockOSThread() // or the thread ends with this goroutine
	}
	return err
}

// enter takes the calling thread into the network of a process.
func enter(pid uint32, number uint64) error {
	theirs, err := unix.Open(path(pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return native(err)
	}
	defer unix.Close(theirs)
	var stat unix.Stat_t
	if err := unix.Fstat(theirs, &stat); err != nil {
		return err
	}
	if number != 0 && stat.Ino != number {
		return fmt.Errorf("it is another process by now: %w", edge.ErrNotFound)
	}
	return unix.Setns(theirs, unix.CLONE_NEWNET)
}

func path(pid uint32) string { return fmt.Sprintf("/proc/%d/ns/net", pid) }

// native makes a process that is gone one that is not found.
func native(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("%w: %w", edge.ErrNotFound, err)
	}
	return err
}
