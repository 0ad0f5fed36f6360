package runtime

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"

	"holdfast/edge/oip"
)

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
func readReply(h head, limit int64) (reply, error) {
	answer := reply{status: h.status}
	length := h.length
	if length > limit {
		return answer, fmt.Errorf("body of %d bytes: %w", length, errTooMuch)
	}
	var err error
	if length >= 0 && length <= firstRead {
		answer.body = make([]byte, length)
		_, err = io.ReadFull(h.body, answer.body)
	} else {
		answer.body, err = io.ReadAll(io.LimitReader(h.body, limit+1))
	}
	if err != nil {
		return answer, err
	}
	if int64(len(answer.body)) > limit {
		return answer, fmt.Errorf("body of more than %d bytes: %w", limit, errTooMuch)
	}
	answer.headerLength, err = headerLength(h.headerLength, len(answer.body))
	return answer, err
}

// headerLength reads the binary extension's header; 0 when all of the body is
// JSON.
func headerLength(text string, body int) (int, error) {
	text = strings.TrimSpace(text)
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
