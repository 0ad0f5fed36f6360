package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
	"holdfast/edge/oip"
)

// reply is what the API answered to a request written by hand.
type reply struct {
	status int
	header http.Header
	oip.ErrorBody
}

// post sends a body to the digits model as any HTTP client would.
func (n *node) post(body string, header ...string) reply {
	n.t.Helper()
	text := fmt.Sprintf("POST /v2/models/digits/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n%s\r\n%s",
		len(body), headerLines(header), body)
	conn := n.dial()
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		n.t.Fatalf("send: %v", err)
	}
	return n.readReply(conn)
}

// headerLines makes lines of names and values.
func headerLines(header []string) string {
	var lines strings.Builder
	for i := 0; i+1 < len(header); i += 2 {
		fmt.Fprintf(&lines, "%s: %s\r\n", header[i], header[i+1])
	}
	return lines.String()
}

func (n *node) dial() net.Conn {
	n.t.Helper()
	conn, err := net.Dial("unix", n.Socket())
	if err != nil {
		n.t.Fatal(err)
	}
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		n.t.Fatal(err)
	}
	return conn
}

func (n *node) readReply(conn net.Conn) reply {
	n.t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		n.t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	got := reply{status: resp.StatusCode, header: resp.Header}
	if err := json.NewDecoder(resp.Body).Decode(&got.ErrorBody); err != nil {
		n.t.Fatalf("%s: the answer is not JSON: %v", resp.Status, err)
	}
	return got
}

// pixels is a request with one input as given and the data of a blank picture.
func pixels(input string) string {
	data := strings.TrimSuffix(strings.Repeat("0,", 64), ",")
	return fmt.Sprintf(`{"inputs":[{%s}]}`, strings.ReplaceAll(input, "BLANK", data))
}

func TestInput_Wrong(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(1))
	before := n.awaitReady("digits", 1)
	const sound = `"name":"pixels","shape":[1,64],"datatype":"FP32","data":[BLANK]`
	cases := map[string]struct {
		body   string
		header []string
		status int
		field  string
	}{
		"Sound":             {body: pixels(sound), status: 200},
		"Empty":             {body: "", status: 400},
		"NotJSON":           {body: "hello", status: 400},
		"Cut":               {body: pixels(sound)[:80], status: 400, field: "inputs[0].data"},
		"TrailingText":      {body: pixels(sound) + "x", status: 400},
		"NoInputs":          {body: `{"inputs":[]}`, status: 400, field: "inputs"},
		"OtherName":         {body: pixels(strings.Replace(sound, "pixels", "picture", 1)), status: 400, field: "inputs[0].name"},
		"OtherType":         {body: pixels(strings.Replace(sound, "FP32", "INT64", 1)), status: 400, field: "inputs[0].datatype"},
		"UnknownType":       {body: pixels(strings.Replace(sound, "FP32", "FLOAT", 1)), status: 400, field: "inputs[0].datatype"},
		"OtherShape":        {body: pixels(strings.Replace(sound, "[1,64]", "[1,8,8]", 1)), status: 400, field: "inputs[0].shape"},
		"OtherDimension":    {body: pixels(strings.Replace(sound, "[1,64]", "[2,32]", 1)), status: 400, field: "inputs[0].shape[1]"},
		"NegativeDimension": {body: pixels(strings.Replace(sound, "[1,64]", "[-1,64]", 1)), status: 400, field: "inputs[0].shape[0]"},
		"HugeDimension":     {body: pixels(strings.Replace(sound, "[1,64]", "[9223372036854775807,64]", 1)), status: 400, field: "inputs[0].shape"},
		"TooFew":            {body: pixels(strings.Replace(sound, "BLANK", "0,0", 1)), status: 400, field: "inputs[0].data"},
		"Text":              {body: pixels(strings.Replace(sound, "[BLANK]", `["ink"]`, 1)), status: 400, field: "inputs[0].data"},
		"OutOfRange":        {body: pixels(strings.Replace(sound, "[BLANK]", "[99,"+strings.Repeat("0,", 62)+"0]", 1)), status: 400},
		"Twice":             {body: `{"inputs":[` + strings.TrimSuffix(strings.Repeat(strings.TrimSuffix(strings.TrimPrefix(pixels(sound), `{"inputs":[`), `]}`)+",", 2), ",") + `]}`, status: 400, field: "inputs[1].name"},
		"UnknownOutput":     {body: strings.TrimSuffix(pixels(sound), "}") + `,"outputs":[{"name":"colour"}]}`, status: 400, field: "outputs[0].name"},
		"BinaryWithoutTail": {body: pixels(`"name":"pixels","shape":[1,64],"datatype":"FP32","parameters":{"binary_data_size":256}`), status: 400, field: "inputs[0].parameters.binary_data_size"},
		"HeaderLength":      {body: pixels(sound), header: []string{oip.HeaderLengthField, "99999"}, status: 400, field: oip.HeaderLengthField},
		"Encoding":          {body: pixels(sound), header: []string{"Content-Encoding", "gzip"}, status: 415, field: "Content-Encoding"},

		"DeadlineZero":     {body: pixels(sound), header: []string{localapi.HeaderDeadline, "0s"}, status: 400, field: localapi.HeaderDeadline},
		"DeadlineNegative": {body: pixels(sound), header: []string{localapi.HeaderDeadline, "-5s"}, status: 504},
		"DeadlineYear":     {body: pixels(sound), header: []string{localapi.HeaderDeadline, "8760h"}, status: 400, field: localapi.HeaderDeadline},
		"DeadlineText":     {body: pixels(sound), header: []string{localapi.HeaderDeadline, "soon"}, status: 400, field: localapi.HeaderDeadline},
		"DeadlineOverflow": {body: pixels(sound), header: []string{localapi.HeaderDeadline, "99999999999999999h"}, status: 400, field: localapi.HeaderDeadline},
		"TimeoutZero":      {body: `{"parameters":{"timeout":0},` + pixels(sound)[1:], status: 400, field: "parameters.timeout"},
		"TimeoutNegative":  {body: `{"parameters":{"timeout":-1},` + pixels(sound)[1:], status: 504},
		"TimeoutYear":      {body: `{"parameters":{"timeout":31536000000000},` + pixels(sound)[1:], status: 400, field: "parameters.timeout"},
		"TimeoutText":      {body: `{"parameters":{"timeout":"1s"},` + pixels(sound)[1:], status: 400, field: "parameters.timeout"},
		"TimeoutHuge":      {body: `{"parameters":{"timeout":9223372036854775807},` + pixels(sound)[1:], status: 400, field: "parameters.timeout"},
		"Class":            {body: pixels(sound), header: []string{localapi.HeaderClass, "vip"}, status: 400, field: localapi.HeaderClass},
		"Priority":         {body: `{"parameters":{"priority":9},` + pixels(sound)[1:], status: 400, field: "parameters.priority"},
		"Tenant":           {body: pixels(sound), header: []string{localapi.HeaderTenant, "a b"}, status: 400, field: localapi.HeaderTenant},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := n.in(t).post(c.body, c.header...)
			if got.status != c.status || got.Field != c.field {
				t.Errorf("got %d, field %q: %s\nwant %d, field %q", got.status, got.Field, got.Error, c.status, c.field)
			}
			if c.status != 200 && (got.Error == "" || got.Reason == "") {
				t.Errorf("the error is %+v, want words and a reason", got.ErrorBody)
			}
		})
	}
	if err := sameInstances(before, n.awaitReady("digits", 1)); err != nil {
		t.Errorf("wrong input cost the model its instance: %v", err)
	}
}

// zeros never end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestInput_Large(t *testing.T) {
	n := newNode(t)
	n.deploy(digitsService(1))
	s := n.countOnDeadlines(n.awaitReady("digits", 1)[0])
	s.more(20)
	t.Run("GigabyteAnnounced", func(t *testing.T) {
		n := n.in(t)
		conn := n.dial()
		defer conn.Close()
		begun := time.Now()
		fmt.Fprintf(conn, "POST /v2/models/digits/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", 1<<30)
		got := n.readReply(conn) // not a byte of the body has been sent
		if got.status != http.StatusRequestEntityTooLarge || got.Hint == "" {
			t.Errorf("got %d %+v, want 413 with a hint", got.status, got.ErrorBody)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("the answer took %v", took)
		}
	})
	t.Run("GigabyteSent", func(t *testing.T) {
		n := n.in(t)
		conn := n.dial()
		defer conn.Close()
		fmt.Fprintf(conn, "POST /v2/models/digits/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", 1<<30)
		sent := make(chan int64, 1)
		go func() {
			count, _ := io.Copy(conn, io.LimitReader(zeros{}, 1<<30)) // ends with the connection
			sent <- count
		}()
		if got := n.readReply(conn); got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("got %d, want 413", got.status)
		}
		conn.Close()
		if count := <-sent; count > 64<<20 {
			t.Errorf("%d bytes were taken, want it broken off early", count)
		}
	})
	t.Run("EndlessChunks", func(t *testing.T) {
		n := n.in(t)
		conn := n.dial()
		defer conn.Close()
		fmt.Fprint(conn, "POST /v2/models/digits/infer HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
		chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", 1<<16, bytes.Repeat([]byte(" "), 1<<16))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				if _, err := conn.Write(chunk); err != nil {
					return
				}
			}
		}()
		if got := n.readReply(conn); got.status != http.StatusRequestEntityTooLarge {
			t.Errorf("got %d, want 413", got.status)
		}
		conn.Close()
		<-ended
	})
	t.Run("NeverSent", func(t *testing.T) {
		n := n.in(t)
		conn := n.dial()
		defer conn.Close()
		begun := time.Now()
		fmt.Fprint(conn, "POST /v2/models/digits/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nX-Holdfast-Deadline: 200ms\r\n\r\n{")
		got := n.readReply(conn)
		if got.status != http.StatusGatewayTimeout {
			t.Errorf("got %d %+v, want 504 at the deadline", got.status, got.ErrorBody)
		}
		if took := time.Since(begun); took < 200*time.Millisecond || took > 2*time.Second {
			t.Errorf("the answer came after %v, want it at the deadline of 200 ms", took)
		}
	})
	s.more(20)
	s.stop()
	peak := n.memory("VmHWM")
	t.Logf("most memory ever held: %s", mebibytes(peak))
	if peak > 100<<20 {
		t.Errorf("the agent held %s", mebibytes(peak))
	}
}

func TestInput_CallerLeaves(t *testing.T) {
	n := newNode(t)
	n.deploy(faulty{cpus: "1", timeout: "10s"}.service())
	before := n.awaitReady("faulty", 1)
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := n.Client().Infer(ctx, "faulty", burn(500), patient)
		gone <- err
	}()
	n.await("the task to run", func(ctx context.Context) error { return n.running(ctx, "faulty") })
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
	n.await("the task to be cancelled", func(ctx context.Context) error {
		tasks, err := n.Client().Tasks(ctx)
		if err == nil && (len(tasks) != 1 || tasks[0].State != edge.Cancelled.String()) {
			err = fmt.Errorf("tasks are %+v", tasks)
		}
		return err
	})
	// What the model still computes counts until it ends; then there is room again.
	if err := n.inferFaulty(5 * time.Second); err != nil {
		t.Errorf("the next task ended with %v", err)
	}
	if err := sameInstances(before, n.awaitReady("faulty", 1)); err != nil {
		t.Error(err)
	}
	n.wantSettled()
}

// wantSettled wants every submitted task to have exactly one outcome.
func (n *node) wantSettled() {
	n.t.Helper()
	n.await("every task to be settled", func(ctx context.Context) error {
		status, err := n.Client().Status(ctx)
		if err != nil {
			return err
		}
		for _, class := range status.Scheduler.Classes {
			var settled uint64
			for _, count := range class.Settled {
				settled += count
			}
			if settled != class.Submitted || class.Waiting != 0 {
				return fmt.Errorf("class %s: %d submitted, %d waiting, settled %v", class.Class, class.Submitted, class.Waiting, class.Settled)
			}
		}
		return nil
	})
}
