package localapi

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"holdfast/edge/rawconn"
)

// shortAnswer writes one answer after another, each of which handlers of inference
// do in one piece.
type shortAnswer struct {
	socket  *rawconn.Unix
	scratch []byte
	header  http.Header
	status  int
	again   bool // it is out, and the connection may carry another
}

var _ http.ResponseWriter = (*shortAnswer)(nil)

// begin makes room for the next.
func (w *shortAnswer) begin() {
	clear(w.header)
	if w.header == nil {
		w.header = make(http.Header)
	}
	w.status, w.again = 0, false
}

// Header is what the head will say.
func (w *shortAnswer) Header() http.Header { return w.header }

// WriteHeader notes the status.
func (w *shortAnswer) WriteHeader(status int) { w.status = status }

// SetReadDeadline has nothing to do: the request is there.
func (w *shortAnswer) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline lets handlers bound the writing, as net/http does.
func (w *shortAnswer) SetWriteDeadline(t time.Time) error { return w.socket.SetWriteDeadline(t) }

// oneWrite is up to where head and body go out together: copying a small body is
// cheaper than a second write, and the scratch stays small.
const oneWrite = 4 << 10

// Write writes the head, and body behind it.
func (w *shortAnswer) Write(body []byte) (int, error) {
	text := w.head()
	rest := body
	if len(body) <= oneWrite {
		text, rest = append(text, body...), nil
	}
	w.scratch = text[:0]
	_, err := w.socket.Write(text)
	if err == nil && len(rest) > 0 {
		_, err = w.socket.Write(rest)
	}
	w.again = err == nil && w.header.Get("Connection") == ""
	return len(body), err
}

// head writes the head into the scratch.
func (w *shortAnswer) head() []byte {
	text := append(w.scratch, "HTTP/1.1 "...)
	text = strconv.AppendInt(text, int64(w.status), 10)
	text = append(append(text, ' '), http.StatusText(w.status)...)
	text = append(text, "\r\nDate: "...)
	text = time.Now().UTC().AppendFormat(text, http.TimeFormat)
	head := bytes.NewBuffer(append(text, "\r\n"...))
	_ = w.header.Write(head) // a buffer takes everything
	return append(head.Bytes(), "\r\n"...)
}
