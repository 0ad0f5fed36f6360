package rawconn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Unix is a unix stream socket. Go's poller does not know of it, but of a set with
// the socket as its only member, which becomes ready when something can be read. A
// second such set, for writing, is made when a write first finds the socket full.
type Unix struct {
	local, remote net.Addr
	fd            int // open as long as somebody is inside readable or writable
	readable      *os.File
	raw           syscall.RawConn // of readable
	reads, writes transfer
	pushing       func(uintptr) // push, for Control

	late bool // reads leave what they have read in the socket
	owed int  // as many bytes; guarded by reads.mu

	full bool // the write under way must wait; guarded by writes.mu

	mu       sync.Mutex // guards what follows
	writable *os.File
	until    time.Time // the deadline for writing
	closed   atomic.Bool
}

var _ net.Conn = (*Unix)(nil)

// newUnix takes the socket over. After an error it is as it was.
func newUnix(conn *net.UnixConn) (*Unix, error) {
	c := &Unix{local: conn.LocalAddr(), remote: conn.RemoteAddr()}
	if err := c.adopt(conn); err != nil {
		return nil, err
	}
	var err error
	if c.readable, err = watch(c.fd, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLET); err == nil {
		c.raw, err = c.readable.SyscallConn()
	}
	if err != nil {
		_ = unix.Close(c.fd)
		return nil, err
	}
	c.reads.try, c.writes.try = c.look, c.push
	c.pushing = func(fd uintptr) { c.push(fd) }
	_ = conn.Close() // the socket lives on in our descriptor
	return c, nil
}

// adopt makes a descriptor of our own.
func (c *Unix) adopt(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { c.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	return errors.Join(err, failed)
}

// watch makes a set of one descriptor that Go's poller can wait for.
func watch(fd int, events uint32) (*os.File, error) {
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot create event set: %w", err)
	}
	err = unix.EpollCtl(set, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events})
	if err == nil {
		err = unix.SetNonblock(set, true)
	}
	if err != nil {
		_ = unix.Close(set)
		return nil, fmt.Errorf("cannot watch socket: %w", err)
	}
	file := os.NewFile(uintptr(set), "socket")
	if err := file.SetDeadline(time.Time{}); err != nil { // the poller does not take it
		_ = file.Close()
		return nil, fmt.Errorf("cannot wait for socket: %w", err)
	}
	return file, nil
}

// TakeLate lets small reads leave what they have read in the socket until the next
// Write is out: taking it wakes the other side, if that waits as package net does,
// and who has just asked should not be woken before there is an answer. It is for
// the side that answers, and to be called before the first Read.
func (c *Unix) TakeLate() { c.late = true }

// Read reads what is there, and waits while nothing is.
func (c *Unix) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.reads.carry(c.raw.Read, p)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, c.named(err)
}

// lateRead is the largest read that leaves its bytes, which are copied twice then:
// what bufio reads at once.
const lateRead = 4 << 10

func (c *Unix) look(uintptr) (done bool) {
	c.take()
	t := &c.reads
	var errno syscall.Errno
	if c.late && len(t.left) <= lateRead {
		t.n, c.owed, errno = peek(uintptr(c.fd), t.left)
	} else {
		t.n, errno = read(uintptr(c.fd), t.left)
	}
	t.err = failure("read", errno)
	return errno != syscall.EAGAIN
}

// take takes from the socket what has been read. reads.mu is held.
func (c *Unix) take() {
	var scratch [1 << 10]byte
	for c.owed > 0 {
		n, errno := read(uintptr(c.fd), scratch[:min(c.owed, len(scratch))])
		if errno != 0 || n == 0 {
			n = c.owed // the next read will find out why
		}
		c.owed -= n
	}
}

// takeUnlessReading is take for all but the reader, who has taken everything.
func (c *Unix) takeUnlessReading(uintptr) {
	if c.late && c.reads.mu.TryLock() {
		c.take()
		c.reads.mu.Unlock()
	}
}

// Gone waits until the other side has ended, which is true, or something can be
// read, Close was called or the deadline for reading has passed.
func (c *Unix) Gone() bool {
	c.reads.mu.Lock()
	defer c.reads.mu.Unlock()
	gone := false
	err := c.raw.Read(func(uintptr) (done bool) {
		c.take()
		n, _, err := unix.Recvfrom(c.fd, make([]byte, 1), unix.MSG_PEEK)
		gone = n <= 0
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	return err == nil && gone
}

// Write writes all of p unless an error or the deadline comes first.
func (c *Unix) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t := &c.writes
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left, t.n, t.err, c.full = p, 0, nil, false
	err := c.raw.Control(c.pushing)
	for err == nil && c.full {
		err = c.pushWhenReady()
	}
	t.left = nil
	if err == nil {
		err = t.err
	}
	return t.n, c.named(err)
}

// push writes as much as there is room for.
func (c *Unix) push(uintptr) (done bool) {
	c.full = !c.writes.write(uintptr(c.fd))
	if !c.full {
		c.takeUnlessReading(0)
	}
	return !c.full
}

// pushWhenReady waits for room, and pushes until all is written.
func (c *Unix) pushWhenReady() error {
	room, err := c.room()
	if err != nil {
		return err
	}
	raw, err := room.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(c.writes.try)
}

// room is the set that becomes ready when something can be written.
func (c *Unix) room() (*os.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writable != nil {
		return c.writable, nil
	}
	if c.closed.Load() {
		return nil, net.ErrClosed
	}
	room, err := watch(c.fd, unix.EPOLLOUT|unix.EPOLLET)
	if err == nil {
		err = room.SetReadDeadline(c.until)
		c.writable = room
	}
	return room, err
}

// named gives errors of closed sets the name they have in package net.
func (c *Unix) named(err error) error {
	if err != nil && c.closed.Load() && !errors.Is(err, os.ErrDeadlineExceeded) {
		return net.ErrClosed
	}
	return err
}

// Close ends the connection, and every Read and Write under way.
func (c *Unix) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	// Bytes left in the socket would make its end a broken one for the other side.
	err := c.raw.Control(c.takeUnlessReading)
	err = errors.Join(err, c.readable.Close())
	if c.writable != nil {
		err = errors.Join(err, c.writable.Close())
	}
	return errors.Join(err, unix.Close(c.fd)) // those inside have left
}

// CloseWrite ends the half that is written.
func (c *Unix) CloseWrite() error {
	var failed error
	err := c.raw.Control(func(uintptr) { failed = unix.Shutdown(c.fd, unix.SHUT_WR) })
	return c.named(errors.Join(err, failed))
}

// LocalAddr is the address of this side.
func (c *Unix) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the address of the other side.
func (c *Unix) RemoteAddr() net.Addr { return c.remote }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (c *Unix) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline bounds the waiting of Read and Gone.
func (c *Unix) SetReadDeadline(t time.Time) error { return c.named(c.readable.SetReadDeadline(t)) }

// SetWriteDeadline bounds the waiting of Write.
func (c *Unix) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	if c.writable == nil {
		return nil
	}
	return c.named(c.writable.SetReadDeadline(t))
}
