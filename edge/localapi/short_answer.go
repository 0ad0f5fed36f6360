package localapi

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/edge/rawconn"
)

// shortAnswer writes one answer after another, each of which handlers of inference
// do in one piece.
type shortAnswer struct {
	socket  *rawconn.Unix
	scratch []byte
	header  http.Header
	names   []string // scratch
	date    []byte
	second  int64 // of date
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

// head writes the head into the scratch: what net/http writes, without its search for what
// no handler of ours has said.
func (w *shortAnswer) head() []byte {
	text := append(w.scratch, "HTTP/1.1 "...)
	text = strconv.AppendInt(text, int64(w.status), 10)
	text = append(append(text, ' '), http.StatusText(w.status)...)
	text = append(append(text, "\r\nDate: "...), w.now()...)
	w.names = w.names[:0]
	for name := range w.header {
		w.names = append(w.names, name)
	}
	slices.Sort(w.names)
	for _, name := range w.names {
		for _, value := range w.header[name] {
			text = append(append(append(text, "\r\n"...), name...), ": "...)
			text = append(text, oneLine(value)...)
		}
	}
	return append(text, "\r\n\r\n"...)
}

// now is the date, written once a second.
func (w *shortAnswer) now() []byte {
	if now := time.Now(); w.date == nil || now.Unix() != w.second {
		w.date, w.second = now.UTC().AppendFormat(w.date[:0], http.TimeFormat), now.Unix()
	}
	return w.date
}

// oneLine keeps a value from ending its line.
func oneLine(value string) string {
	if strings.ContainsAny(value, "\r\n") {
		return strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
	}
	return value
}
