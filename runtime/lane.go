package runtime

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

const (
	// maxAnswer bounds the body of one answer: as much as a request may have unless
	// configured otherwise. Reading one takes up to three times that while it grows.
	maxAnswer = 16 << 20
	// maxMetadata bounds the body of everything else a model server says.
	maxMetadata = 1 << 20
	// maxHead bounds status line and headers; net/http's own default.
	maxHead = 1 << 20
	// dialWithin bounds connecting; a local socket answers in microseconds or its
	// server's backlog is full.
	dialWithin = time.Second
	// inlineBody is up to where head and body are copied together: one small copy
	// is cheaper than a second write.
	inlineBody = 16 << 10
)

// lane is one persistent connection to an instance. It carries one request at a
// time, so it needs no goroutine: the caller's own writes and reads. (Measured
// against http.Transport in the package's benchmark; figures in DESIGN.md.)
type lane struct {
	socket string
	dial   func(context.Context, string) (net.Conn, error)

	reader limitedConn
	buf    *bufio.Reader
	head   []byte // scratch

	mu      sync.Mutex // guards what follows; held only to swap the connection, or its deadline
	conn    net.Conn
	aborted bool
	clock   clock // of the request
}

// request is what is sent. An empty method is POST.
type request struct {
	method       string
	path         string // escaped
	body         []byte
	headerLength int // 0: the body is all JSON
	limit        int64
	trace        *edge.Trace // nil: of none
}

// reply is what came back, read whole.
type reply struct {
	status       int
	body         []byte
	headerLength int
}

// wireError is why a request got no reply.
type wireError struct {
	kind wireKind
	err  error
}

type wireKind uint8

const (
	wireUnreached wireKind = iota // there was no connection to send anything on
	wireUnsent                    // the server cannot have read the request whole
	wireBroken                    // the connection ended before the reply did
	wireHung                      // no reply in time
	wireBad                       // what came is not a reply
)

func (e *wireError) Error() string { return e.err.Error() }
func (e *wireError) Unwrap() error { return e.err }

// do sends a request and reads the reply, both within the given time. A
// connection that the server closed while it lay idle is replaced once, and only
// when the request cannot have been read whole.
func (l *lane) do(r request, within time.Duration) (reply, *wireError) {
	l.begin(within)
	for {
		conn, reused, err := l.connect(within)
		if err != nil {
			return reply{}, &wireError{wireUnreached, err}
		}
		answer, keep, failure := l.exchange(conn, r)
		if failure == nil {
			if !keep {
				l.close()
			}
			return answer, nil
		}
		l.close()
		if failure.kind != wireUnsent || !reused {
			return reply{}, failure
		}
	}
}

// connect returns the lane's connection, dialling when there is none.
func (l *lane) connect(within time.Duration) (conn net.Conn, reused bool, err error) {
	l.mu.Lock()
	conn, aborted := l.conn, l.aborted
	if conn != nil {
		err = conn.SetDeadline(l.clock.deadline())
	}
	l.mu.Unlock()
	if aborted {
		return nil, false, net.ErrClosed
	}
	if conn != nil {
		return conn, true, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(dialWithin, within))
	defer cancel()
	if conn, err = l.dial(ctx, l.socket); err != nil {
		return nil, false, err
	}
	return conn, false, l.keep(conn)
}

// keep makes conn the lane's own, unless the lane was aborted meanwhile.
func (l *lane) keep(conn net.Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.aborted {
		conn.Close()
		return net.ErrClosed
	}
	l.conn = conn
	l.reader = limitedConn{conn: conn}
	if l.buf == nil {
		l.buf = bufio.NewReader(&l.reader)
	} else {
		l.buf.Reset(&l.reader)
	}
	return conn.SetDeadline(l.clock.deadline())
}

// close drops the connection; the next request dials anew.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
}

// abort ends the request in flight, if any, and every later one. Any goroutine
// may call it.
func (l *lane) abort() {
	l.mu.Lock()
	l.aborted = true
	l.mu.Unlock()
	l.close()
}

// exchange is one request and its reply on conn. keep tells whether the
// connection may carry another.
func (l *lane) exchange(conn net.Conn, r request) (answer reply, keep bool, failure *wireError) {
	unsent := l.send(conn, r)
	if isTimeout(unsent) {
		return reply{}, false, &wireError{wireHung, unsent}
	}
	// A server may refuse a large body before it has read it and close; its refusal
	// can be read all the same. Without one the request was not read whole.
	l.reader.left = maxHead
	l.reader.seen = false
	head, err := l.readHead()
	switch {
	case err != nil && unsent != nil:
		return reply{}, false, &wireError{wireUnsent, fmt.Errorf("cannot write request: %w", unsent)}
	case err != nil:
		return reply{}, false, l.readFailure(err)
	}
	l.reader.left = r.limit + bodySlack
	answer, err = readReply(head, r.limit)
	if err != nil {
		return reply{}, false, l.readFailure(err)
	}
	return answer, unsent == nil && !head.last && l.buf.Buffered() == 0, nil
}

// send writes the request, a small one in one call.
func (l *lane) send(conn net.Conn, r request) error {
	l.head = appendHead(l.head[:0], r)
	if len(r.body) <= inlineBody {
		l.head = append(l.head, r.body...)
		_, err := conn.Write(l.head)
		return err
	}
	if _, err := conn.Write(l.head); err != nil {
		return err
	}
	_, err := conn.Write(r.body)
	return err
}

func appendHead(head []byte, r request) []byte {
	if r.method == http.MethodGet {
		head = append(head, "GET "...)
		head = append(head, r.path...)
		return append(head, " HTTP/1.1\r\nHost: model\r\n\r\n"...)
	}
	head = append(head, "POST "...)
	head = append(head, r.path...)
	head = append(head, " HTTP/1.1\r\nHost: model\r\nContent-Length: "...)
	head = strconv.AppendInt(head, int64(len(r.body)), 10)
	if r.trace != nil && !r.trace.ID.IsZero() {
		head = r.trace.AppendParent(append(head, "\r\ntraceparent: "...))
		if r.trace.State != "" {
			head = append(append(head, "\r\ntracestate: "...), r.trace.State...)
		}
	}
	if r.headerLength == 0 {
		return append(head, "\r\nContent-Type: application/json\r\n\r\n"...)
	}
	head = append(head, "\r\nContent-Type: application/octet-stream\r\n"+oip.HeaderLengthField+": "...)
	head = strconv.AppendInt(head, int64(r.headerLength), 10)
	return append(head, "\r\n\r\n"...)
}
