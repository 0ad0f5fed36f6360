package localapi

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/edge/rawconn"
)

// patience is how long a request may take before its caller is watched for
// leaving; most are answered before, and need no watch.
const patience = 20 * time.Millisecond

// shortConn is a connection of the socket that answers by itself what nearly every
// caller sends: an inference request that has come whole, with nothing unusual in
// its head. Everything else it hands on to net/http, whose handling of a request
// costs as much as all that the agent does for it.
//
// It stands where net/http reads: between two requests net/http waits in Read, and
// there the short ones are answered without its knowledge. From the first byte
// that is handed on until the answer to it, Read only reads. The first request of
// a connection is always net/http's, which then knows the connection as an idle
// one that may be closed when the agent stops.
type shortConn struct {
	*limitedConn
	socket  *rawconn.Unix
	server  *Server
	between atomic.Bool // net/http waits for a request to begin
	plain   plainReader
	written shortAnswer

	mu     sync.Mutex // guards what follows
	busy   bool
	closed bool
}

// shortListener makes its connections short ones where it can.
type shortListener struct {
	*limitedListener
	server *Server
}

// Accept waits for a connection.
func (l shortListener) Accept() (net.Conn, error) {
	conn, err := l.limitedListener.Accept()
	if err != nil {
		return nil, err
	}
	limited, _ := conn.(*limitedConn)
	socket, ok := limited.Conn.(*rawconn.Unix)
	if !ok {
		return conn, nil
	}
	socket.TakeLate()
	return &shortConn{limitedConn: limited, socket: socket, server: l.server, written: shortAnswer{socket: socket}}, nil
}

// follow keeps track of where net/http is.
func follow(conn net.Conn, state http.ConnState) {
	if c, ok := conn.(*shortConn); ok {
		c.between.Store(state == http.StateIdle)
	}
}

// Read is called by net/http and answers on the way.
func (c *shortConn) Read(p []byte) (int, error) {
	for {
		n, err := c.socket.Read(p)
		if n == 0 || !c.between.Load() {
			return n, err
		}
		r, body := c.plain.read(p[:n])
		if r == nil {
			c.between.Store(false)
			return n, err
		}
		if !c.answer(r, body) {
			return 0, io.EOF
		}
	}
}

// answer runs the request; false when the connection is not to be used again.
func (c *shortConn) answer(r *http.Request, body []byte) (again bool) {
	if !c.begin() {
		return false
	}
	defer func() { again = c.end() && again }()
	ctx, cancel := context.WithCancel(c.server.inside)
	defer cancel()
	r = r.WithContext(ctx)
	r.Body = io.NopCloser(bytes.NewReader(body))
	w := &c.written
	w.begin()
	c.server.name(w)
	rest := c.watch(cancel)
	defer rest()
	c.server.infer(w, r)
	return w.again
}

// begin holds off Close, and the end of Run, until end.
func (c *shortConn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.server.enter() {
		return false
	}
	c.busy = true
	return true
}

func (c *shortConn) end() (open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
	c.server.running.Done()
	if c.closed {
		_ = c.limitedConn.Close() // nobody is left to hear of it
		return false
	}
	return c.SetReadDeadline(time.Now().Add(idleTimeout)) == nil
}

// Close lets an answer out first: net/http takes the connection for an idle one.
// How long that may take, shutdown decides.
func (c *shortConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.busy {
		return nil
	}
	return c.limitedConn.Close()
}

// watch calls gone should the caller leave, until rest is called.
func (c *shortConn) watch(gone func()) (rest func()) {
	_ = c.SetReadDeadline(time.Time{}) // that of waiting for the request
	ended := make(chan struct{})
	timer := time.AfterFunc(patience, func() {
		defer close(ended)
		if c.socket.Gone() {
			gone()
		}
	})
	return func() {
		if !timer.Stop() {
			_ = c.SetReadDeadline(time.Unix(1, 0)) // ends the watch
			<-ended
		}
	}
}
