package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// claim is the right of one agent to a containerd namespace: two in one would stop
// each other's workloads. It is a name in the kernel's abstract socket space, so it
// ends with the process, and no folder has to be agreed upon.
type claim struct{ listener net.Listener }

// claimNamespace takes the namespace of the daemon at address, or says who has it.
func claimNamespace(address, namespace string) (*claim, error) {
	sum := sha256.Sum256([]byte(address + "\x00" + namespace))
	name := "@holdfast-" + hex.EncodeToString(sum[:8])
	listener, err := net.Listen("unix", name)
	if err == nil {
		return &claim{listener}, nil
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("cannot claim containerd namespace %q: %w", namespace, err)
	}
	holder, err := askHolder(name)
	if err != nil {
		return nil, fmt.Errorf("cannot claim containerd namespace %q: %w", namespace, err)
	}
	if holder.Uid != uint32(os.Geteuid()) {
		return &claim{}, nil // the name means nothing coming from somebody else
	}
	return nil, edge.WithHint(
		fmt.Errorf("cannot claim containerd namespace %q at %s: %w (process %d)", namespace, address, edge.ErrLocked, holder.Pid),
		"stop the other agent, or give this one a namespace of its own with --set containerd.namespace=…")
}

// askHolder asks the kernel who listens there.
func askHolder(name string) (*unix.Ucred, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: name, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot ask who holds it: %w", err)
	}
	holder, err := peer(conn)
	if err := errors.Join(err, conn.Close()); err != nil {
		return nil, fmt.Errorf("cannot ask who holds it: %w", err)
	}
	return holder, nil
}

// peer is the process at the other end, as the kernel knows it.
func peer(conn *net.UnixConn) (holder *unix.Ucred, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var asked error
	err = raw.Control(func(fd uintptr) { holder, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return holder, errors.Join(err, asked)
}

// Close gives the namespace up. A claim that was never taken is given up already.
func (c *claim) Close() error {
	if c == nil || c.listener == nil {
		return nil
	}
	return c.listener.Close()
}
