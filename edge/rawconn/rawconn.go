// Package rawconn makes reading and writing sockets cheaper for an agent that
// mostly waits.
//
// Before each system call Go tells its monitor thread that the call may block; when
// the process was idle that wakes the thread, which then looks around every few
// dozen microseconds until all is idle again. The sockets of package net never
// block, so these calls can do without. An agent that wakes up, passes a few
// hundred bytes on and sleeps again spends a quarter less processor time on it.
//
// Of a unix socket it waits for what can be read, and not, as package net does, for
// what can be written as well: of that the kernel tells each time the other side has
// read something, and so woke the agent four times a request where two will do. Who
// wakes a thread of another core on a virtual machine pays some 8 µs for it.
//
// # Promise
//
// A connection of this package behaves as the one it was made from: deadlines,
// Close from another goroutine, and errors that wrap what they would have wrapped. A
// deadline for writing counts when the socket is full.
//
// # Concurrency
//
// As for every net.Conn: all methods may be called from any goroutine.
//
// # Testing
//
// Real sockets: partial writes, ends of either kind, deadlines, a thousand
// goroutines on one connection.
package rawconn

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// Conn is a stream socket whose Read and Write are raw system calls.
type Conn struct {
	net.Conn
	raw           syscall.RawConn
	reads, writes transfer
}

// Of wraps a connection of package net, which is not to be used any more. What is no
// socket comes back as it is. A unix socket becomes a *Unix, if there are file
// descriptors enough.
func Of(conn net.Conn) net.Conn {
	if socket, ok := conn.(*net.UnixConn); ok {
		if c, err := newUnix(socket); err == nil {
			return c
		}
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return conn
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return conn
	}
	c := &Conn{Conn: conn, raw: raw}
	c.reads.try, c.writes.try = c.reads.read, c.writes.write
	return c
}

// Read reads what is there, and waits while nothing is.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.reads.carry(c.raw.Read, p)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

// Write writes all of p unless an error or the deadline comes first.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return c.writes.carry(c.raw.Write, p)
}

// CloseWrite ends the half that is written, where the socket has two.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// transfer is one direction. Its state lives here and not on the stack, where it
// would be allocated anew for each call.
type transfer struct {
	mu   sync.Mutex // guards what follows; who waits for bytes holds it
	try  func(fd uintptr) (done bool)
	left []byte
	n    int
	err  error
}

// carry moves bytes: try is called each time the socket may have become ready.
func (t *transfer) carry(whenReady func(func(uintptr) bool) error, p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left, t.n, t.err = p, 0, nil
	err := whenReady(t.try)
	t.left = nil
	if err == nil {
		err = t.err
	}
	return t.n, err
}

func (t *transfer) read(fd uintptr) (done bool) {
	n, errno := read(fd, t.left)
	if errno == syscall.EAGAIN {
		return false
	}
	t.n, t.err = n, failure("read", errno)
	return true
}

func (t *transfer) write(fd uintptr) (done bool) {
	for len(t.left) > 0 {
		n, errno := write(fd, t.left)
		if errno == syscall.EAGAIN {
			return false
		}
		if errno != 0 {
			t.err = failure("write", errno)
			return true
		}
		t.n, t.left = t.n+n, t.left[n:]
	}
	return true
}

func failure(operation string, errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return os.NewSyscallError(operation, errno)
}
