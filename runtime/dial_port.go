package runtime

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

// dialPort connects to a port of the instance's own loopback, which is there also when
// it has no other network. The socket is made by a thread that has entered the network
// of the instance, and stays of that network wherever it is used.
func dialPort(ctx context.Context, inst edge.Instance, port int) (net.Conn, error) {
	if inst.PID == 0 {
		return nil, fmt.Errorf("cannot dial port %d of instance %q: it does not run", port, inst.ID)
	}
	type result struct {
		conn net.Conn
		err  error
	}
	// A goroutine of its own: when its thread cannot come back it ends with it.
	done := make(chan result)
	go func() {
		conn, err := dialInside(ctx, inst.PID, port)
		done <- result{conn, err}
	}()
	r := <-done
	if r.err != nil {
		return nil, fmt.Errorf("cannot dial port %d of instance %q: %w", port, inst.ID, r.err)
	}
	return r.conn, nil
}

// dialInside enters the network of a process, dials, and comes back.
func dialInside(ctx context.Context, pid uint32, port int) (net.Conn, error) {
	goruntime.LockOSThread()
	own, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		goruntime.UnlockOSThread()
		return nil, err
	}
	defer unix.Close(own)
	theirs, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		goruntime.UnlockOSThread()
		return nil, err
	}
	defer unix.Close(theirs)
	if err := unix.Setns(theirs, unix.CLONE_NEWNET); err != nil {
		goruntime.UnlockOSThread()
		return nil, err
	}
	conn, err := dialLoopback(ctx, port)
	if unix.Setns(own, unix.CLONE_NEWNET) == nil {
		goruntime.UnlockOSThread() // or the thread ends with this goroutine
	}
	return conn, err
}

// dialLoopback tries both loopbacks, since a server may listen on either.
func dialLoopback(ctx context.Context, port int) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil || ctx.Err() != nil || !errors.Is(err, unix.ECONNREFUSED) {
		return conn, err
	}
	if conn, other := dialer.DialContext(ctx, "tcp6", net.JoinHostPort("::1", strconv.Itoa(port))); other == nil {
		return conn, nil
	}
	return nil, err
}
