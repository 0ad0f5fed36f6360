package localapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// plainInfer is an inference request with nothing unusual.
func plainInfer(body string) string {
	return fmt.Sprintf("POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nX-Holdfast-Tenant: line\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// talk is a bare connection and what comes back on it.
type talk struct {
	net.Conn
	in *bufio.Reader
}

// warmed opens a connection whose first request, which is never a short one, has
// been answered.
func (r *rig) warmed(t testing.TB) talk {
	t.Helper()
	c := talk{Conn: r.dial(t)}
	c.in = bufio.NewReader(c.Conn)
	if status, _, _ := c.ask(t, "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"); status != http.StatusOK {
		t.Fatalf("first request: got %d", status)
	}
	return c
}

// ask sends text and reads one answer; short tells whether it came past net/http,
// which puts the date further down.
func (c talk) ask(t testing.TB, text string) (status int, body string, short bool) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c.hear(t)
}

func (c talk) hear(t testing.TB) (status int, body string, short bool) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, _ = c.in.Peek(1)
	head, _ := c.in.Peek(c.in.Buffered())
	_, second, _ := strings.Cut(string(head), "\r\n")
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatalf("cannot read answer: %v", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text), strings.HasPrefix(second, "Date:")
}

// shortly asks until an answer came past net/http. One that arrives while net/http
// is still busy with the answer before is handed on.
func (c talk) shortly(t testing.TB, text string) (status int, body string) {
	t.Helper()
	for range 100 {
		if status, body, short := c.ask(t, text); short {
			return status, body
		}
	}
	t.Fatal("no answer came past net/http")
	return 0, ""
}

var taskID = regexp.MustCompile(`"task":"[^"]*"`)

func TestServer_Short_AnswersAsOthersAre(t *testing.T) {
	for name, body := range map[string]string{"Good": question, "Bad": `{"inputs":[]}`, "Empty": ""} {
		t.Run(name, func(t *testing.T) {
			r := start(t, newNode())
			c := r.warmed(t)
			first := talk{Conn: r.dial(t)}
			first.in = bufio.NewReader(first.Conn)
			wantStatus, want, short := first.ask(t, plainInfer(body))
			if short {
				t.Fatal("the first request of a connection was a short one")
			}
			status, got := c.shortly(t, plainInfer(body))
			if status != wantStatus || taskID.ReplaceAllString(got, "") != taskID.ReplaceAllString(want, "") {
				t.Errorf("got %d %s\nwant %d %s", status, got, wantStatus, want)
			}
			if again, _ := c.shortly(t, plainInfer(body)); again != wantStatus {
				t.Errorf("the next one: got %d, want %d", again, wantStatus)
			}
		})
	}
}

func TestServer_Short_LargeAnswer(t *testing.T) {
	n := newNode()
	large := sum(3)
	large.Body = append([]byte(`{"note":"`+strings.Repeat("a", 100_000)+`",`), large.Body[1:]...)
	n.infer = func(_ context.Context, task edge.Task) edge.Settlement { return completed(task, large) }
	_, body := start(t, n).warmed(t).shortly(t, plainInfer(question))
	if got, err := oip.ParseResponse(edge.Payload{Body: []byte(body)}); err != nil || len(got.Outputs) != 1 || len(body) < 100_000 {
		t.Errorf("got %d bytes, %v", len(body), err)
	}
}

func TestServer_Short_HandsOn(t *testing.T) {
	plain := plainInfer(question)
	with := func(line string) string { return strings.Replace(plain, "Host: x\r\n", "Host: x\r\n"+line+"\r\n", 1) }
	cases := map[string]struct {
		text   string
		status []int
	}{
		"Chunked": {"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
			fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(question), question), []int{200}},
		"BothLengths":  {with("Transfer-Encoding: chunked") + "\r\n", []int{400}},
		"TwoLengths":   {with("Content-Length: 3"), []int{400}},
		"NoHost":       {strings.Replace(plain, "Host: x\r\n", "", 1), []int{400}},
		"OddHost":      {strings.Replace(plain, "Host: x", "Host: a b", 1), []int{400}},
		"SpaceInName":  {with("A : b"), []int{400}},
		"FoldedLine":   {with("A: b\r\n c"), []int{200}},
		"LineFeedOnly": {strings.ReplaceAll(plain, "\r\n", "\n"), []int{200}},
		"Continue":     {with("Expect: 100-continue"), []int{100, 200}},
		"Close":        {with("Connection: close"), []int{200}},
		"OldVersion":   {strings.Replace(plain, "HTTP/1.1", "HTTP/1.0", 1), []int{200}},
		"Pipelined":    {plain + plain, []int{200, 200}},
		"Version":      {strings.Replace(plain, "digits/infer", "digits/versions/1/infer", 1), []int{200}},
		"Escaped":      {strings.Replace(plain, "digits", "d%69gits", 1), []int{200}},
		"Dots":         {strings.Replace(plain, "digits", "..", 1), []int{307}},
		"Other":        {"GET /v1/vitals HTTP/1.1\r\nHost: x\r\n\r\n", []int{200}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			talk := start(t, newNode()).warmed(t)
			talk.shortly(t, plain)
			if _, err := io.WriteString(talk, c.text); err != nil {
				t.Fatal(err)
			}
			for _, want := range c.status {
				if got, body, short := talk.hear(t); got != want || short {
					t.Errorf("got %d %s (short: %v), want %d", got, body, short, want)
				}
			}
		})
	}
	t.Run("InParts", func(t *testing.T) {
		talk := start(t, newNode()).warmed(t)
		talk.shortly(t, plain)
		for i := range len(plain) - 1 {
			_, _ = io.WriteString(talk, plain[i:i+1])
		}
		if status, body, _ := talk.ask(t, plain[len(plain)-1:]); status != http.StatusOK {
			t.Errorf("got %d %s", status, body)
		}
		talk.shortly(t, plain) // and is itself again
	})
}

func TestServer_Short_CallerGone(t *testing.T) {
	n := newNode()
	inside, gaveUp := make(chan struct{}), make(chan struct{})
	c := start(t, n).warmed(t)
	c.shortly(t, plainInfer(question))
	n.infer = func(ctx context.Context, task edge.Task) edge.Settlement {
		close(inside)
		<-ctx.Done()
		close(gaveUp)
		return completed(task, sum(1))
	}
	if _, err := io.WriteString(c, plainInfer(question)); err != nil {
		t.Fatal(err)
	}
	<-inside
	c.Close()
	select {
	case <-gaveUp:
	case <-time.After(5 * time.Second):
		t.Error("the task of a caller who left goes on")
	}
}

func TestServer_Short_OutlastsTheWatch(t *testing.T) {
	n := newNode()
	c := start(t, n).warmed(t)
	c.shortly(t, plainInfer(question))
	n.infer = func(ctx context.Context, task edge.Task) edge.Settlement {
		watched, stop := context.WithTimeout(ctx, 100*time.Millisecond)
		defer stop()
		<-watched.Done() // long after the watch for a caller who leaves has begun
		if ctx.Err() != nil {
			t.Error("the caller was taken for gone")
		}
		return completed(task, sum(1))
	}
	for range 3 {
		if status, body, _ := c.ask(t, plainInfer(question)); status != http.StatusOK {
			t.Fatalf("got %d %s", status, body)
		}
	}
}

func TestServer_Short_Stop(t *testing.T) {
	t.Run("Idle", func(t *testing.T) {
		r := start(t, newNode())
		r.warmed(t).shortly(t, plainInfer(question))
		begun := time.Now()
		if err := r.stop(); err != nil || time.Since(begun) > 2*time.Second {
			t.Errorf("after %v: got %v", time.Since(begun), err)
		}
	})
	t.Run("Inside", func(t *testing.T) {
		r := start(t, newNode())
		c := r.warmed(t)
		c.shortly(t, plainInfer(question))
		inside, leave := make(chan struct{}), make(chan struct{})
		r.infer = func(_ context.Context, task edge.Task) edge.Settlement {
			close(inside)
			<-leave
			return completed(task, sum(1))
		}
		if _, err := io.WriteString(c, plainInfer(question)); err != nil {
			t.Fatal(err)
		}
		<-inside
		stopped := make(chan error, 1)
		go func() { stopped <- r.stop() }()
		for { // until nobody listens any more
			conn, err := net.Dial("unix", r.socket)
			if err != nil {
				break
			}
			conn.Close()
		}
		close(leave)
		if status, body, _ := c.hear(t); status != http.StatusOK {
			t.Errorf("got %d %s", status, body)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if _, err := c.in.ReadByte(); err != io.EOF {
			t.Errorf("afterwards: got %v, want the end", err)
		}
	})
	t.Run("GraceOver", func(t *testing.T) {
		r := start(t, newNode())
		c := r.warmed(t)
		c.shortly(t, plainInfer(question))
		inside := make(chan struct{})
		r.infer = func(ctx context.Context, task edge.Task) edge.Settlement {
			close(inside)
			<-ctx.Done()
			return completed(task, sum(1))
		}
		if _, err := io.WriteString(c, plainInfer(question)); err != nil {
			t.Fatal(err)
		}
		<-inside
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
}
