package localapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// message is one of a live stream.
type message struct{ kind, id, data string }

// listener reads a live stream.
type listener struct {
	t     testing.TB
	body  *bufio.Scanner
	leave func()
}

// listen opens a stream at the port; header is name and value.
func (r *rig) listen(t testing.TB, header ...string) *listener {
	t.Helper()
	resp := r.openLive(t, header...)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("got %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	body := bufio.NewScanner(resp.Body)
	body.Buffer(nil, 1<<22)
	return &listener{t, body, func() { resp.Body.Close() }}
}

func (r *rig) openLive(t testing.TB, header ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.server.Addr()+"/v1/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// next is the next message.
func (l *listener) next() (m message) {
	l.t.Helper()
	for l.body.Scan() {
		name, value, _ := strings.Cut(l.body.Text(), ": ")
		switch name {
		case "event":
			m.kind = value
		case "id":
			m.id = value
		case "data":
			m.data = value
		case "":
			if m.kind != "" {
				return m
			}
		}
	}
	l.t.Fatalf("the stream ended: %v", l.body.Err())
	return m
}

// until is the next message of that kind.
func (l *listener) until(kind string) message {
	l.t.Helper()
	for {
		if m := l.next(); m.kind == kind {
			return m
		}
	}
}

func into[T any](t testing.TB, m message) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(m.data), &v); err != nil {
		t.Fatalf("%s: %v", m.kind, err)
	}
	return v
}

// sampled adds a sample.
func (n *node) sampled(cpu float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.samples = append(n.samples, edge.Sample{CPU: cpu})
}

// runNow makes these the running tasks.
func (n *node) runNow(views ...edge.TaskView) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.runs = views
	n.changes++
}

// ends has tasks end.
func (n *node) ends(ids ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range ids {
		n.ended = append(n.ended, edge.TaskView{ID: id})
	}
}

func TestServer_Live(t *testing.T) {
	n := newNode()
	n.sampled(0.25)
	n.happen(edge.EventAgentStarted)
	n.ends("old")
	r := start(t, n)
	l := r.listen(t)

	t.Run("Greeting", func(t *testing.T) {
		l.t = t
		hello := into[edge.LiveHello](t, l.next())
		if hello.Node != "gw-1" || hello.Seq != 1 {
			t.Errorf("got %+v", hello)
		}
		past := into[struct {
			Every   int
			Samples []edge.Sample
		}](t, l.next())
		if past.Every != 1 || len(past.Samples) != 1 || past.Samples[0].CPU != 0.25 {
			t.Errorf("got %+v", past)
		}
		if status := l.next(); status.kind != "status" || strings.Contains(status.data, "secret") || !strings.Contains(status.data, "PASSWORD=…") {
			t.Errorf("got %+v, want no values of environments", status)
		}
		if tasks := l.next(); tasks.kind != "tasks" || !strings.Contains(tasks.data, `"id":"old"`) || !strings.Contains(tasks.data, `"running":[]`) {
			t.Errorf("got %+v", tasks)
		}
		if event := l.next(); event.kind != "event" || event.id != "1" || into[edge.Event](t, event).Kind != edge.EventAgentStarted {
			t.Errorf("got %+v", event)
		}
	})
	t.Run("Tasks", func(t *testing.T) {
		l.t = t
		n.runNow(edge.TaskView{ID: "a", State: "suspended", Slot: edge.SlotAt(0)})
		n.ends("x", "y")
		tasks := into[edge.LiveTasks](t, l.until("tasks"))
		if len(tasks.Running) == 0 { // they ended just in between
			tasks = into[edge.LiveTasks](t, l.until("tasks"))
		}
		slot, in := tasks.Running[0].Slot.Number()
		if tasks.Running[0].State != "suspended" || slot != 0 || !in {
			t.Errorf("got %+v", tasks.Running)
		}
	})
	t.Run("Sample", func(t *testing.T) {
		l.t = t
		n.sampled(0.5)
		if sample := into[edge.Sample](t, l.until("sample")); sample.CPU != 0.5 {
			t.Errorf("got %+v", sample)
		}
		if status := l.next(); status.kind != "status" {
			t.Errorf("got %+v, want the status with each sample", status)
		}
	})
	t.Run("Event", func(t *testing.T) {
		l.t = t
		n.happen(edge.EventLinkDown)
		if event := l.until("event"); event.id != "2" {
			t.Errorf("got %+v", event)
		}
	})
	t.Run("AnotherReader", func(t *testing.T) {
		other := r.listen(t)
		past := into[struct{ Samples []edge.Sample }](t, other.until("history"))
		if len(past.Samples) != 2 {
			t.Errorf("got %+v", past)
		}
		n.ends("z")
		for name, reader := range map[string]*listener{"first": l, "second": other} {
			reader.t = t
			seen := 0
			for seen == 0 {
				for _, view := range into[edge.LiveTasks](t, reader.until("tasks")).Ended {
					if view.ID == "z" {
						seen++
					}
				}
			}
			if seen != 1 {
				t.Errorf("%s: told %d times", name, seen)
			}
		}
	})
}

func TestServer_Live_Resumes(t *testing.T) {
	n := newNode()
	for range 300 {
		n.happen(edge.EventLinkUp)
	}
	r := start(t, n)
	cases := map[string]struct {
		header []string
		first  string
	}{
		"FirstTime": {nil, "101"},
		"ComesBack": {[]string{"Last-Event-ID", "298"}, "299"},
		// Its numbers were of another agent's, before the machine began anew.
		"FromTheFuture": {[]string{"Last-Event-ID", "9000"}, "101"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := r.listen(t, c.header...).until("event").id; got != c.first {
				t.Errorf("got %s, want %s", got, c.first)
			}
		})
	}
	t.Run("NoNumber", func(t *testing.T) {
		if resp := r.openLive(t, "Last-Event-ID", "soon"); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("got %s", resp.Status)
		}
	})
}

func TestServer_Live_Bounds(t *testing.T) {
	t.Run("PlacesAtPortAndSocket", func(t *testing.T) {
		r := start(t, newNode())
		var streams []*listener
		for range 12 {
			l := r.listen(t)
			l.next()
			streams = append(streams, l)
		}
		if resp := r.openLive(t); resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("the 13th at the port: got %s", resp.Status)
		}
		stop := errors.New("enough")
		err := r.client(t).Live(t.Context(), func(string, []byte) error { return stop })
		if !errors.Is(err, stop) {
			t.Errorf("the 13th at the socket: got %v", err)
		}
		streams[3].leave()
		for deadline := time.Now().Add(5 * time.Second); ; {
			resp := r.openLive(t)
			if resp.StatusCode == http.StatusOK {
				break
			}
			if resp.Body.Close(); time.Now().After(deadline) {
				t.Fatalf("after one has left: got %s", resp.Status)
			}
		}
	})
	t.Run("StormOfTaskEvents", func(t *testing.T) {
		n := newNode()
		r := start(t, n)
		l := r.listen(t)
		l.until("tasks")
		n.mu.Lock()
		for i := range 1000 {
			kind := edge.EventTaskRefused
			if i == 10 {
				kind = edge.EventLinkDown
			}
			n.events = append(n.events, edge.Event{Seq: uint64(i + 1), Kind: kind})
		}
		n.mu.Unlock()
		var ids []string
		for len(ids) == 0 || ids[len(ids)-1] != "1000" {
			ids = append(ids, l.until("event").id)
		}
		if len(ids) != 101 || ids[0] != "11" || ids[1] != "901" {
			t.Errorf("got %d events, %v first; want the node's and the latest 100 of tasks", len(ids), ids[:2])
		}
	})
}

func TestClient_Live(t *testing.T) {
	n := newNode()
	n.happen(edge.EventAgentStarted)
	r := start(t, n)
	stop := errors.New("enough")
	var kinds []string
	err := r.client(t).Live(t.Context(), func(kind string, data []byte) error {
		if kinds = append(kinds, kind); !json.Valid(data) {
			t.Errorf("%s: got %q", kind, data)
		}
		if kind == "event" {
			return stop
		}
		return nil
	})
	if want := []string{"hello", "history", "status", "tasks", "event"}; !errors.Is(err, stop) || !slices.Equal(kinds, want) {
		t.Errorf("got %v, %v; want %v", kinds, err, want)
	}
	t.Run("Cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := r.client(t).Live(ctx, func(string, []byte) error { cancel(); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("AgentStops", func(t *testing.T) {
		ended := make(chan error, 1)
		greeted := make(chan struct{}, 100)
		c := r.client(t)
		go func() {
			ended <- c.Live(context.Background(), func(string, []byte) error { greeted <- struct{}{}; return nil })
		}()
		<-greeted
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Errorf("got %v", err)
		}
	})
	t.Run("SaysNothingAnyMore", func(t *testing.T) {
		listener, err := net.Listen("unix", filepath.Join(socketDir(t), "mute.sock"))
		if err != nil {
			t.Fatal(err)
		}
		hold := make(chan struct{})
		mute := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "event: sample\ndata: {}\n\n")
			_ = http.NewResponseController(w).Flush()
			<-hold
		})}
		served := make(chan error, 1)
		go func() { served <- mute.Serve(listener) }()
		defer func() { close(hold); mute.Close(); <-served }()
		c := localapi.Dial(listener.Addr().String())
		defer c.Close()
		c.EndureSilence(50 * time.Millisecond)
		heard := 0
		err = c.Live(t.Context(), func(string, []byte) error { heard++; return nil })
		if !errors.Is(err, edge.ErrUnavailable) || !strings.Contains(err.Error(), "says nothing") || heard != 1 {
			t.Errorf("got %v after %d messages", err, heard)
		}
	})
}

// FuzzMessages: whatever comes, a message is what stands on one line; and what is sent
// arrives, whatever is in its texts.
func FuzzMessages(f *testing.F) {
	f.Add([]byte("event: status\ndata: {}\n\n"), "gw-1", "line\nbreak")
	f.Add([]byte("data\ndata:\ndata: \nevent\nevent:\n: \n\r\n"), "", "event: x\r\ndata: y")
	f.Add([]byte(":\n\nid: 7"), "\u2028", "</script>")
	f.Fuzz(func(t *testing.T, text []byte, node, cause string) {
		_, err := localapi.Messages(text, func(kind string, data []byte) error {
			if strings.ContainsRune(kind, '\n') || bytes.ContainsRune(data, '\n') {
				t.Errorf("got %q with %q", kind, data)
			}
			return nil
		})
		if err != nil {
			t.Errorf("got %v", err)
		}
		sent := localapi.Frame(edge.Status{Node: node}, []edge.Event{{Seq: 1, Cause: cause}, {Seq: 2}})
		var kinds []string
		_, err = localapi.Messages(sent, func(kind string, data []byte) error {
			if kinds = append(kinds, kind); !json.Valid(data) {
				t.Errorf("%s: got %q", kind, data)
			}
			return nil
		})
		if want := []string{"status", "event", "event"}; err != nil || !slices.Equal(kinds, want) {
			t.Errorf("got %v, %v, want %v", kinds, err, want)
		}
	})
}
