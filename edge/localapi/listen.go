package localapi

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/rawconn"
)

// maxSocketPath is what the kernel's socket address holds, without its final zero.
const maxSocketPath = 107

// staleDialTimeout bounds the question whether somebody listens on a socket that
// is already there. A local agent accepts within microseconds.
const staleDialTimeout = time.Second

// listenUnix opens the socket for root and its group, which is the agent's unless another is
// named. A socket nobody listens on
// is what a killed agent left and is replaced; anything else in its place stays.
func listenUnix(path string, group int) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("cannot create folder of socket %q: %w", path, err)
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on socket %q: %w", path, err)
	}
	err = os.Chmod(path, 0o660)
	if err == nil && group != 0 {
		err = os.Chown(path, -1, group)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot restrict socket %q: %w", path, err)
	}
	return l, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look at socket %q: %w", path, err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("cannot listen on %q: it is there and is no socket: %w", path, edge.ErrExists)
	}
	if conn, err := net.DialTimeout("unix", path, staleDialTimeout); err == nil {
		conn.Close()
		return edge.WithHint(fmt.Errorf("cannot listen on socket %q: somebody answers there: %w", path, edge.ErrLocked),
			"another agent runs; stop it, or give this one its own socket and state folder")
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("cannot remove stale socket %q: %w", path, err)
	}
	return nil
}

// checkLoopback refuses addresses that other machines can reach.
func checkLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("cannot listen on %q: must be host:port: %w", address, edge.ErrInvalid)
	}
	if !isLoopback(host) {
		return edge.WithHint(fmt.Errorf("cannot listen on %q: must be a loopback address: %w", address, edge.ErrInvalid),
			"use 127.0.0.1, [::1] or localhost; what should be reachable from elsewhere needs a proxy that knows its callers")
	}
	return nil
}

func isLoopback(host string) bool {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// limitedListener has at most as many open connections as it has slots; the rest
// wait in the kernel's backlog.
type limitedListener struct {
	net.Listener
	meet   func(net.Conn) *peer // nil: it does not matter who it is
	slots  chan struct{}        // one entry for each open connection
	closed chan struct{}
	once   sync.Once
}

func limit(l net.Listener, conns int) *limitedListener {
	return &limitedListener{Listener: l, slots: make(chan struct{}, conns), closed: make(chan struct{})}
}

// Accept waits for a slot, then for a connection.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	var who *peer
	if l.meet != nil {
		who = l.meet(conn)
	}
	return &limitedConn{Conn: rawconn.Of(conn), peer: who, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close ends Accept, also one that waits for a slot.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	peer    *peer // nil: nobody asked
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// CloseWrite lets the server end its half first, so that a client which is still
// sending reads the answer before the connection goes.
func (c *limitedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
