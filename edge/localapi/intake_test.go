package localapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// zeros is a body without an end, which counts what is taken of it.
type zeros struct{ taken int64 }

func (z *zeros) Read(b []byte) (int, error) {
	clear(b)
	z.taken += int64(len(b))
	return len(b), nil
}

func TestServer_Intake_LargeBody(t *testing.T) {
	t.Run("GigabyteByHeaderAlone", func(t *testing.T) {
		r := start(t, newNode())
		conn := r.dial(t)
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n", inferPath)
		// Not a byte of the body is sent: the answer cannot have waited for one.
		readRaw(t, conn).want(t, http.StatusRequestEntityTooLarge, "body_too_large", "", "16777216 bytes")
	})
	t.Run("GigabyteSent", func(t *testing.T) {
		r := start(t, newNode())
		body := &zeros{}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x"+inferPath, io.LimitReader(body, 1<<30))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = 1 << 30
		resp, err := r.http(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		readReply(t, resp).want(t, http.StatusRequestEntityTooLarge, "body_too_large", "", "")
	})
	t.Run("EndlessChunks", func(t *testing.T) {
		const most = 1 << 20
		r := start(t, newNode(), func(o *localapi.Options) { o.MaxBody, o.MaxInFlight = most, most+1 })
		conn := r.dial(t)
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", inferPath)
		var sent int64
		var writing sync.WaitGroup
		writing.Go(func() {
			chunk := append(append([]byte("10000\r\n"), make([]byte, 0x10000)...), "\r\n"...)
			for {
				if _, err := conn.Write(chunk); err != nil {
					return // the server hung up
				}
				sent += int64(len(chunk))
			}
		})
		readRaw(t, conn).want(t, http.StatusRequestEntityTooLarge, "body_too_large", "", "1048576 bytes")
		writing.Wait()
		if sent > 4*most {
			t.Errorf("got %d bytes taken", sent)
		}
		if got := r.post(t, inferPath, question); got.status != http.StatusOK {
			t.Errorf("the next request: got %d: %s", got.status, got.body)
		}
	})
	t.Run("ExactlyTheLimit", func(t *testing.T) {
		body := question[:len(question)-1] + strings.Repeat(" ", 100_000) + "}"
		for name, limit := range map[string]int{"Fits": len(body), "OneTooMuch": len(body) - 1} {
			r := start(t, newNode(), func(o *localapi.Options) { o.MaxBody = int64(limit) })
			for _, sized := range []bool{true, false} {
				var in io.Reader = strings.NewReader(body)
				if !sized {
					in = io.MultiReader(in) // hides its length
				}
				want := map[string]int{"Fits": 200, "OneTooMuch": 413}[name]
				if got := r.send(t, http.MethodPost, inferPath, in); got.status != want {
					t.Errorf("%s, sized %v: got %d: %s", name, sized, got.status, got.body)
				}
			}
		}
	})
	t.Run("ClientReadsTheRefusal", func(t *testing.T) {
		r := start(t, newNode())
		_, err := r.client(t).Infer(t.Context(), "digits", edge.Payload{Body: make([]byte, 32<<20)}, localapi.InferOptions{})
		if err == nil || !strings.Contains(err.Error(), "larger than 16777216 bytes") || edge.HintOf(err) == "" {
			t.Errorf("got %v, hint %q", err, edge.HintOf(err))
		}
	})
}

// readRaw reads an answer from a bare connection.
func readRaw(t testing.TB, conn net.Conn) reply {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return readReply(t, resp)
}

func TestServer_Intake_SlowBody(t *testing.T) {
	cases := map[string]struct {
		header string
		status int
		reason string
	}{
		"NoDeadline":       {"", http.StatusRequestTimeout, "body_too_slow"},
		"DeadlinePassed":   {"X-Holdfast-Deadline: 10ms\r\n", http.StatusGatewayTimeout, "deadline_passed"},
		"DeadlineLaterYet": {"X-Holdfast-Deadline: 10m\r\n", http.StatusRequestTimeout, "body_too_slow"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := start(t, newNode(), func(o *localapi.Options) { o.BodyTimeout = 50 * time.Millisecond })
			conn := r.dial(t)
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n%s\r\n{\"inp", inferPath, c.header)
			readRaw(t, conn).want(t, c.status, c.reason, "", "")
		})
	}
	t.Run("BrokenOff", func(t *testing.T) {
		r := start(t, newNode())
		conn := r.dial(t)
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"inp", inferPath)
		if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		readRaw(t, conn).want(t, http.StatusBadRequest, "invalid_request", "", "broke off after 5 bytes")
	})
	t.Run("TheReadDeadlineEndsWithTheBody", func(t *testing.T) {
		n := newNode()
		n.infer = func(ctx context.Context, task edge.Task) edge.Settlement {
			select {
			case <-ctx.Done():
				t.Error("the caller was taken for gone")
			case <-time.After(60 * time.Millisecond):
			}
			return completed(task, sum(1))
		}
		r := start(t, n, func(o *localapi.Options) { o.BodyTimeout = 20 * time.Millisecond })
		if got := r.post(t, inferPath, question); got.status != http.StatusOK {
			t.Errorf("got %d: %s", got.status, got.body)
		}
	})
}

func TestServer_Intake_BytesInFlight(t *testing.T) {
	n := newNode()
	inside, let := make(chan struct{}), make(chan struct{})
	n.infer = func(_ context.Context, task edge.Task) edge.Settlement {
		inside <- struct{}{}
		<-let
		return completed(task, sum(1))
	}
	size := int64(len(question))
	r := start(t, n, func(o *localapi.Options) { o.MaxBody, o.MaxInFlight = size, 2*size+size/2 })
	client := r.client(t)
	var group errgroup.Group
	for range 2 {
		group.Go(func() error {
			_, err := client.Infer(context.Background(), "digits", edge.Payload{Body: []byte(question)}, localapi.InferOptions{})
			return err
		})
		<-inside
	}
	got := r.post(t, inferPath, question)
	got.want(t, http.StatusServiceUnavailable, "too_many_bytes_in_flight", "", "as many bytes")
	if got.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After: got %q", got.header.Get("Retry-After"))
	}
	close(let)
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	// What was held is given back.
	go func() { <-inside }()
	if got := r.post(t, inferPath, question); got.status != http.StatusOK {
		t.Errorf("afterwards: got %d: %s", got.status, got.body)
	}
}

// A thousand clients are inside at the same time, each is answered, and what
// they cost is bounded.
func TestServer_Intake_ThousandClients(t *testing.T) {
	const clients = 1000
	n := newNode()
	var inside sync.WaitGroup
	inside.Add(clients)
	let := make(chan struct{})
	n.infer = func(_ context.Context, task edge.Task) edge.Settlement {
		inside.Done()
		<-let
		return completed(task, sum(1))
	}
	r := start(t, n)
	before := heap()
	client := r.client(t)
	var group errgroup.Group
	for range clients {
		group.Go(func() error {
			_, err := client.Infer(context.Background(), "digits", edge.Payload{Body: []byte(question)}, localapi.InferOptions{Deadline: time.Minute})
			return err
		})
	}
	inside.Wait()
	each := (heap() - before) / clients
	t.Logf("%d bytes of heap and stacks for each client, both ends", each)
	if each > 128<<10 {
		t.Errorf("got %d bytes a client", each)
	}
	close(let)
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if got := len(r.submitted()); got != clients {
		t.Errorf("got %d tasks", got)
	}
}

func heap() int64 {
	goruntime.GC()
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

func TestServer_MaxConns(t *testing.T) {
	r := start(t, newNode(), func(o *localapi.Options) { o.MaxConns = 2 })
	first, second, third := r.dial(t), r.dial(t), r.dial(t)
	ask := func(conn net.Conn) { fmt.Fprint(conn, "GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n") }
	for _, conn := range []net.Conn{first, second} {
		ask(conn)
		readRaw(t, conn)
	}
	ask(third)
	if err := third.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Fatal("got an answer on a connection too many")
	}
	first.Close()
	if err := third.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got := readRaw(t, third); got.status != http.StatusOK {
		t.Errorf("got %d", got.status)
	}
}
