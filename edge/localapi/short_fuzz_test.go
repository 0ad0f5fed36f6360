package localapi_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// FuzzShort holds what is answered past net/http against what net/http makes of
// the same bytes, as the first request of a connection.
func FuzzShort(f *testing.F) {
	f.Add("POST /v2/models/digits/infer HTTP/1.1", "Host: x\r\nX-Holdfast-Deadline: 30s\r\nX-Holdfast-Class: urgent", question)
	f.Add("POST /v2/models/silent/infer HTTP/1.1", "host:x\r\nContent-type: \t a/b \r\nX-HOLDFAST-TENANT: b_c", question)
	f.Add("POST /v2/models/digits/infer HTTP/1.1", "Host: [::1]:80\r\nContent-Encoding: gzip", "x")
	f.Add("POST /v2/models/di.gits/infer HTTP/1.1", "Host: a:\r\nInference-Header-Content-Length: 3", `{}`)
	f.Add("POST /v2/models/../infer HTTP/1.1", "Host: x\r\nConnection: Keep-Alive", "{")
	f.Add("POST  /v2/models/digits/infer HTTP/1.1", "Host: x\r\nHost: y", question)
	n := newNode()
	r := start(f, n)
	f.Fuzz(func(t *testing.T, line, fields, body string) {
		text := fmt.Sprintf("%s\r\n%s\r\nContent-Length: %d\r\n\r\n%s", line, fields, len(body), body)
		if !strings.HasPrefix(text, "POST /v2/models/") {
			return // no inference, and so nothing of ours
		}
		first := talk{Conn: r.dial(t)}
		first.in = bufio.NewReader(first.Conn)
		want := r.heard(t, first, text)
		if got := r.heard(t, r.warmed(t), text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\ngot  %+v\nwant %+v", text, got, want)
		}
	})
}

// heard is what an exchange looks like from both of its ends.
type heard struct {
	status  int
	body    string
	header  http.Header
	closing bool
	tasks   []edge.Task
}

func (r *rig) heard(t *testing.T, c talk, text string) (h heard) {
	defer c.Close()
	r.forget()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)) // some texts have no answer
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return h
	}
	defer response.Body.Close()
	raw, _ := io.ReadAll(response.Body)
	h = heard{status: response.StatusCode, header: response.Header, closing: response.Close}
	h.body = taskID.ReplaceAllString(string(raw), "")
	h.header.Del("Date")
	h.header.Del("X-Holdfast-Task")
	h.header.Del("Content-Length") // ids grow
	for _, task := range r.submitted() {
		if task.HasDeadline() {
			task.Deadline = time.Time{}.Add(task.Deadline.Sub(task.Arrived))
		}
		task.ID, task.Arrived = "", time.Time{}
		h.tasks = append(h.tasks, task)
	}
	return h
}

// forget forgets the tasks so far.
func (n *node) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tasks = nil
}
