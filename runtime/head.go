package runtime

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"holdfast/edge/oip"
)

// head is status line and headers of a reply, as far as they matter here.
type head struct {
	status       int
	length       int64  // of the body; -1: not declared
	headerLength string // of the binary extension, as it came
	last         bool   // the connection carries no further reply
	body         io.Reader
}

// readHead reads status line and headers, past informational ones. maxHead
// bounds them all together.
func (l *lane) readHead() (head, error) {
	if _, err := l.buf.Peek(1); err != nil {
		return head{}, err
	}
	buffered, _ := l.buf.Peek(l.buf.Buffered())
	if h, size := plainHead(buffered); size > 0 {
		_, err := l.buf.Discard(size)
		h.body = l.buf
		return h, err
	}
	for {
		response, err := http.ReadResponse(l.buf, nil)
		if err != nil {
			return head{}, err
		}
		if response.StatusCode >= 200 {
			return head{
				status: response.StatusCode, length: response.ContentLength, last: response.Close,
				headerLength: response.Header.Get(oip.HeaderLengthField), body: response.Body,
			}, nil
		}
		if response.StatusCode == http.StatusSwitchingProtocols {
			return head{}, errors.New("the server wants to switch protocols")
		}
	}
}

// plainHead reads the head nearly every reply has: one that has come whole, of a
// body whose length it names, on a connection that stays open. Every other is
// left to net/http, whose reading costs ten times as much; its size here is 0.
func plainHead(text []byte) (h head, size int) {
	end := bytes.Index(text, []byte("\r\n\r\n"))
	if end < 0 {
		return head{}, 0
	}
	h = head{status: plainStatus(text), length: -1}
	first := bytes.IndexByte(text, '\n') + 1
	for line := range bytes.SplitSeq(text[min(first, end):end], []byte("\r\n")) {
		if len(line) > 0 && !h.plainField(line) {
			return head{}, 0
		}
	}
	if h.status == 0 || h.length < 0 {
		return head{}, 0
	}
	return h, end + len("\r\n\r\n")
}

// plainStatus reads the status of a reply with a body; 0 for what is none.
func plainStatus(text []byte) int {
	const version = "HTTP/1.1 "
	if len(text) < len(version)+4 || string(text[:len(version)]) != version {
		return 0
	}
	status, after := text[len(version):len(version)+3], text[len(version)+3]
	n, err := strconv.Atoi(string(status))
	if err != nil || after != ' ' || n < 200 || n == http.StatusNoContent || n == http.StatusNotModified {
		return 0
	}
	return n
}

// plainField takes note of one header; false for those that change how the rest
// is to be read, or are not as they should be.
func (h *head) plainField(line []byte) bool {
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found || len(name) == 0 || !plain(name, value) {
		return false
	}
	value = bytes.Trim(value, " \t")
	switch {
	case is(name, "Content-Length"):
		n, err := strconv.ParseUint(string(value), 10, 62)
		if err != nil || h.length >= 0 {
			return false
		}
		h.length = int64(n)
	case is(name, oip.HeaderLengthField):
		if h.headerLength != "" {
			return false
		}
		h.headerLength = string(value)
	case is(name, "Transfer-Encoding"), is(name, "Connection"), is(name, "Trailer"):
		return false
	}
	return true
}

func is(name []byte, field string) bool {
	return len(name) == len(field) && strings.EqualFold(string(name), field)
}

// plain tells whether a header is made of nothing unusual.
func plain(name, value []byte) bool {
	for _, b := range name {
		if b != '-' && (b < '0' || b > '9') && (b|0x20 < 'a' || b|0x20 > 'z') {
			return false
		}
	}
	for _, b := range value {
		if b < ' ' && b != '\t' || b > '~' {
			return false
		}
	}
	return true
}
