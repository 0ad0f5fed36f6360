package runtime

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"holdfast/edge/oip"
)

const (
	// maxAnswer bounds the body of one answer.
	maxAnswer = 64 << 20
	// maxMetadata bounds the body of everything else a model server says.
	maxMetadata = 1 << 20
	// maxHead bounds status line and headers; net/http's own default.
	maxHead = 1 << 20
	// dialWithin bounds connecting; a local socket answers in microseconds or its
	// server's backlog is full.
	dialWithin = time.Second
	// inlineBody is up to where head and body are copied together: one small copy
	// is cheaper than a second element of a vectored write.
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

	mu      sync.Mutex // guards what follows; held only to swap the connection
	conn    net.Conn
	aborted bool
}

// request is what is sent. An empty method is POST.
type request struct {
	method       string
	path         string // escaped
	body         []byte
	headerLength int // 0: the body is all JSON
	limit        int64
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
	wireUnsent wireKind = iota // the server cannot have read the request whole
	wireBroken                 // the connection ended before the reply did
	wireHung                   // no reply in time
	wireBad                    // what came is not a reply
)

func (e *wireError) Error() string { return e.err.Error() }
func (e *wireError) Unwrap() error { return e.err }

// do sends a request and reads the reply, both within the given time. A
// connection that the server closed while it lay idle is replaced once, and only
// when the request cannot have been read whole.
func (l *lane) do(r request, within time.Duration) (reply, *wireError) {
	deadline := time.Now().Add(within)
	for {
		conn, reused, err := l.connect(deadline)
		if err != nil {
			return reply{}, &wireError{wireUnsent, err}
		}
		answer, keep, failure := l.exchange(conn, r, deadline)
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
func (l *lane) connect(deadline time.Time) (conn net.Conn, reused bool, err error) {
	l.mu.Lock()
	conn, aborted := l.conn, l.aborted
	l.mu.Unlock()
	if aborted {
		return nil, false, net.ErrClosed
	}
	if conn != nil {
		return conn, true, conn.SetDeadline(deadline)
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(dialWithin, time.Until(deadline)))
	defer cancel()
	if conn, err = l.dial(ctx, l.socket); err != nil {
		return nil, false, err
	}
	if !l.keep(conn) {
		return nil, false, net.ErrClosed
	}
	return conn, false, conn.SetDeadline(deadline)
}

// keep makes conn the lane's own, unless the lane was aborted meanwhile.
func (l *lane) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.aborted {
		conn.Close()
		return false
	}
	l.conn = conn
	l.reader = limitedConn{conn: conn}
	if l.buf == nil {
		l.buf = bufio.NewReader(&l.reader)
	} else {
		l.buf.Reset(&l.reader)
	}
	return true
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
func (l *lane) exchange(conn net.Conn, r request, deadline time.Time) (answer reply, keep bool, failure *wireError) {
	unsent := l.send(conn, r)
	if isTimeout(unsent) {
		return reply{}, false, &wireError{wireHung, unsent}
	}
	// A server may refuse a large body before it has read it and close; its refusal
	// can be read all the same. Without one the request was not read whole.
	l.reader.left = maxHead
	l.reader.seen = false
	response, err := l.readHead()
	switch {
	case err != nil && unsent != nil:
		return reply{}, false, &wireError{wireUnsent, fmt.Errorf("cannot write request: %w", unsent)}
	case err != nil:
		return reply{}, false, l.readFailure(err)
	}
	l.reader.left = r.limit + bodySlack
	answer, err = readReply(response, r.limit)
	if err != nil {
		return reply{}, false, l.readFailure(err)
	}
	return answer, unsent == nil && !response.Close && l.buf.Buffered() == 0, nil
}

// send writes the request in one call.
func (l *lane) send(conn net.Conn, r request) error {
	l.head = appendHead(l.head[:0], r)
	if len(r.body) <= inlineBody {
		l.head = append(l.head, r.body...)
		_, err := conn.Write(l.head)
		return err
	}
	parts := net.Buffers{l.head, r.body}
	_, err := parts.WriteTo(conn)
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
	if r.headerLength == 0 {
		return append(head, "\r\nContent-Type: application/json\r\n\r\n"...)
	}
	head = append(head, "\r\nContent-Type: application/octet-stream\r\n"+oip.HeaderLengthField+": "...)
	head = strconv.AppendInt(head, int64(r.headerLength), 10)
	return append(head, "\r\n\r\n"...)
}

// readHead reads status line and headers, past informational ones. maxHead
// bounds them all together.
func (l *lane) readHead() (*http.Response, error) {
	for {
		response, err := http.ReadResponse(l.buf, nil)
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= 200 {
			return response, nil
		}
		if response.StatusCode == http.StatusSwitchingProtocols {
			return nil, errors.New("the server wants to switch protocols")
		}
	}
}

// readFailure says what an error while reading means. A peer that closes a unix
// socket with bytes of the request unread resets it; so a reset before any byte
// of the reply means the request was not read whole. Everything else may have been
// worked on and must not be sent again.
func (l *lane) readFailure(err error) *wireError {
	switch {
	case isTimeout(err):
		return &wireError{wireHung, err}
	case errors.Is(err, errTooMuch), errors.Is(err, errHeaderLength):
		return &wireError{wireBad, err}
	case errors.Is(err, syscall.ECONNRESET) && !l.reader.seen:
		return &wireError{wireUnsent, err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, io.ErrClosedPipe), errors.Is(err, syscall.ECONNRESET):
		return &wireError{wireBroken, err}
	default:
		return &wireError{wireBad, fmt.Errorf("not an HTTP response: %w", err)}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

var (
	// errTooMuch: the server sent more than the limit allows.
	errTooMuch = errors.New("larger than allowed")
	// errHeaderLength: the binary extension's header does not fit its body.
	errHeaderLength = errors.New("impossible header length")
)

// bodySlack lets chunk sizes and trailers of a body at its limit through.
const bodySlack = 64 << 10

// firstRead is how much memory a declared length gets before its bytes have come.
const firstRead = 1 << 20

// readReply reads the body whole.
func readReply(response *http.Response, limit int64) (reply, error) {
	answer := reply{status: response.StatusCode}
	length := response.ContentLength
	if length > limit {
		return answer, fmt.Errorf("body of %d bytes: %w", length, errTooMuch)
	}
	var err error
	if length >= 0 && length <= firstRead {
		answer.body = make([]byte, length)
		_, err = io.ReadFull(response.Body, answer.body)
	} else {
		answer.body, err = io.ReadAll(io.LimitReader(response.Body, limit+1))
	}
	if err != nil {
		return answer, err
	}
	if int64(len(answer.body)) > limit {
		return answer, fmt.Errorf("body of more than %d bytes: %w", limit, errTooMuch)
	}
	answer.headerLength, err = headerLength(response.Header, len(answer.body))
	return answer, err
}

// headerLength reads the binary extension's header; 0 when all of the body is
// JSON.
func headerLength(header http.Header, body int) (int, error) {
	text := strings.TrimSpace(header.Get(oip.HeaderLengthField))
	if text == "" {
		return 0, nil
	}
	length, err := strconv.Atoi(text)
	if err != nil || length < 0 || length > body {
		return 0, fmt.Errorf("%s is %q in a body of %d bytes: %w", oip.HeaderLengthField, text, body, errHeaderLength)
	}
	return length, nil
}

// limitedConn is a connection that yields at most left more bytes.
type limitedConn struct {
	conn net.Conn
	left int64
	seen bool // a byte of the reply has come
}

func (c *limitedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("answer: %w", errTooMuch)
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.conn.Read(p)
	c.left -= int64(n)
	c.seen = c.seen || n > 0
	return n, err
}
