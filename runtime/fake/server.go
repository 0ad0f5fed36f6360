package fake

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"syscall"

	"holdfast/edge"
)

// server is the HTTP server inside a container.
type server struct {
	http     http.Server
	listener net.Listener
	done     chan struct{}
}

// serveLocked starts the container's server, when it has one.
func (d *Driver) serveLocked(c *container, w edge.Workload, inst edge.Instance) error {
	if d.Serve == nil {
		return nil
	}
	handler := d.Serve(w, inst.ID)
	if handler == nil {
		return nil
	}
	listener, err := d.listenLocked(inst.Socket)
	if err != nil {
		return err
	}
	s := &server{listener: listener, done: make(chan struct{})}
	s.http.Handler = handler
	c.server = s
	d.jobs.Go(func() {
		defer close(s.done)
		_ = s.http.Serve(gatedListener{listener, &c.gate}) // always fails in the end: it is closed
	})
	return nil
}

// close ends the server as the death of its process would: every connection at
// once, and the socket's file stays.
func (s *server) close(g *gate) {
	g.open()
	s.listener.Close()
	s.http.Close()
	<-s.done
}

func (d *Driver) listenLocked(socket string) (net.Listener, error) {
	if d.Dir == "" {
		listener := newPipeListener()
		d.listeners[socket] = listener
		return listener, nil
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %q: %w", socket, err)
	}
	listener.SetUnlinkOnClose(false) // as a killed process leaves it
	return listener, nil
}

// Dial reaches a container's in-memory server; it fits runtime.Options.Dial.
func (d *Driver) Dial(ctx context.Context, socket string) (net.Conn, error) {
	d.mu.Lock()
	listener := d.listeners[socket]
	d.mu.Unlock()
	if listener == nil {
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: syscall.ENOENT}
	}
	return listener.dial(ctx)
}

// pipeListener hands out in-memory connections. Unlike sockets they work in
// synctest bubbles.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: syscall.ECONNREFUSED}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept waits for the next connection.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and refuses later dials.
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr names the listener.
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
