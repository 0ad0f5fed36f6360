package fake

import (
	"context"
	"fmt"
	"net"
	"sync"

	"holdfast/edge"
)

// Suspend halts a container: nothing that its server says gets out. What its handler
// does goes on behind that.
func (d *Driver) Suspend(_ context.Context, id string) error {
	c := d.find(id)
	if c == nil {
		return fmt.Errorf("cannot suspend instance %q: %w", id, edge.ErrNotFound)
	}
	if d.SuspendError != nil {
		if err := d.SuspendError(id); err != nil {
			return fmt.Errorf("cannot suspend instance %q: %w", id, err)
		}
	}
	c.gate.close()
	return nil
}

// Resume lets it go on.
func (d *Driver) Resume(_ context.Context, id string) error {
	c := d.find(id)
	if c == nil {
		return nil
	}
	if d.ResumeError != nil {
		if err := d.ResumeError(id); err != nil {
			return fmt.Errorf("cannot resume instance %q: %w", id, err)
		}
	}
	c.gate.open()
	return nil
}

// Halted tells whether a container is suspended.
func (d *Driver) Halted(id string) (bool, error) {
	c := d.find(id)
	if c == nil {
		return false, fmt.Errorf("cannot find instance %q: %w", id, edge.ErrNotFound)
	}
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	return c.gate.shut != nil, nil
}

// Renew is another driver over the same containers, as an agent has it that was
// started anew: what the last one suspended goes on.
func (d *Driver) Renew() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.containers {
		c.gate.open()
	}
}

// gate is what the words of a container's server go through. The zero value is open.
type gate struct {
	mu   sync.Mutex    // guards shut
	shut chan struct{} // not nil while it is closed; closed when it opens
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut = nil
	}
}

// pass returns once the gate is open.
func (g *gate) pass() {
	for {
		g.mu.Lock()
		shut := g.shut
		g.mu.Unlock()
		if shut == nil {
			return
		}
		<-shut
	}
}

// gatedListener puts the gate before everything a server hears and says.
type gatedListener struct {
	net.Listener
	gate *gate
}

// Accept waits for the next connection, and until the gate is open.
func (l gatedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	l.gate.pass()
	return gatedConn{conn, l.gate}, err
}

type gatedConn struct {
	net.Conn
	gate *gate
}

func (c gatedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.gate.pass()
	return n, err
}

func (c gatedConn) Write(p []byte) (int, error) {
	c.gate.pass()
	return c.Conn.Write(p)
}
