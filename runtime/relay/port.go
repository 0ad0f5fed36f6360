package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// dialWithin bounds one attempt: the other end is on the same machine.
	dialWithin = 3 * time.Second
	// maxConnections at once: each takes two of the 65,536 files a service may have open.
	maxConnections = 4096
)

// port is a port of the node that is listened on.
type port struct {
	listener net.Listener
	targets  atomic.Pointer[[]Target]
	turn     atomic.Uint32
}

// listen takes a port. An address that the node does not have yet is no obstacle: it may
// come with the network.
func listen(ctx context.Context, address string) (*port, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	network := "tcp4"
	if at.Addr().Is6() {
		network = "tcp6"
	}
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		controlErr := raw.Control(func(fd uintptr) { err = freebind(int(fd), at.Addr()) })
		return errors.Join(controlErr, err)
	}}
	listener, err := config.Listen(ctx, network, address)
	if err != nil {
		var refused *net.OpError
		if errors.As(err, &refused) {
			err = refused.Err // which address is known
		}
		return nil, err
	}
	return &port{listener: listener}, nil
}

func freebind(fd int, at netip.Addr) error {
	if at.Is6() {
		return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1)
}

// serve takes connections until the listener is closed.
func (p *port) serve(ctx context.Context, open *connections) {
	for {
		open.acquire()
		client, err := p.listener.Accept()
		if err != nil {
			open.release()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of files or memory: what is open has to end first.
			pause(ctx, 100*time.Millisecond)
			continue
		}
		open.begin(func() { p.hand(ctx, client) })
	}
}

// pause waits, unless it is all over.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// hand connects a caller with an instance, and hands on what they say until both have
// ended.
func (p *port) hand(ctx context.Context, client net.Conn) {
	defer client.Close()
	instance, err := p.dial(ctx)
	if err != nil {
		turnAway(client)
		return
	}
	defer instance.Close()
	stop := context.AfterFunc(ctx, func() { client.Close(); instance.Close() })
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { carry(instance, client) })
	both.Go(func() { carry(client, instance) })
	both.Wait()
}

// turnAway ends a connection as one that nobody took.
func turnAway(client net.Conn) {
	if tcp, ok := client.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it the end is merely a politer one
	}
}

// carry hands on one direction, and then its end. One that breaks off takes the other
// with it.
func carry(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if half, ok := to.(*net.TCPConn); ok && err == nil && half.CloseWrite() == nil {
		return
	}
	to.Close()
	from.Close()
}

// dial asks the targets in turn, those that are spare last.
func (p *port) dial(ctx context.Context) (net.Conn, error) {
	failed := []error{errors.New("nobody is there")}
	for _, target := range p.order() {
		bounded, cancel := context.WithTimeout(ctx, dialWithin)
		conn, err := target.dial(bounded)
		cancel()
		if err == nil {
			return conn, nil
		}
		failed = append(failed, err)
	}
	return nil, fmt.Errorf("cannot reach any instance: %w", errors.Join(failed...))
}

// order is in which order the targets are asked this time.
func (p *port) order() []Target {
	all := *p.targets.Load()
	var first, spare []Target
	for _, target := range all {
		if target.Spare {
			spare = append(spare, target)
		} else {
			first = append(first, target)
		}
	}
	if n := len(first); n > 1 {
		at := int(p.turn.Add(1) % uint32(n)) // n is small
		first = append(first[at:n:n], first[:at]...)
	}
	return append(first, spare...)
}

// connections bounds and counts what is open.
type connections struct {
	free    chan struct{} // one slot for each that may be open
	running sync.WaitGroup
	count   atomic.Int64
}

func newConnections(most int) *connections { return &connections{free: make(chan struct{}, most)} }

func (c *connections) acquire() { c.free <- struct{}{} }
func (c *connections) release() { <-c.free }

// begin runs one that was acquired.
func (c *connections) begin(serve func()) {
	c.count.Add(1)
	c.running.Go(func() {
		defer c.release()
		defer c.count.Add(-1)
		serve()
	})
}
