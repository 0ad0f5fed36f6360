package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
)

// watcher reads a live stream as a page does.
type watcher struct {
	t     testing.TB
	lines *bufio.Scanner
	read  atomic.Int64 // bytes
	close func()
}

// message is one of a live stream.
type message struct{ kind, id, data string }

// watch opens a live stream; header is name and value, in turn.
func (n *node) watch(header ...string) *watcher {
	n.t.Helper()
	resp := n.atPort(http.MethodGet, "/v1/live", header...)
	if resp.StatusCode != http.StatusOK {
		n.t.Fatalf("live: %s", resp.Status)
	}
	w := &watcher{t: n.t, close: func() { resp.Body.Close() }}
	w.lines = bufio.NewScanner(io.TeeReader(resp.Body, w))
	w.lines.Buffer(nil, 1<<24)
	return w
}

// Write counts what is read.
func (w *watcher) Write(b []byte) (int, error) {
	w.read.Add(int64(len(b)))
	return len(b), nil
}

// atPort asks at the port.
func (n *node) atPort(method, path string, header ...string) *http.Response {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*within)
	req, err := http.NewRequestWithContext(ctx, method, "http://"+n.port()+path, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		n.t.Fatalf("%s %s: %v", method, path, err)
	}
	n.t.Cleanup(func() {
		resp.Body.Close()
		cancel()
	})
	return resp
}

// next is the next message; false when the stream has ended.
func (w *watcher) next() (m message, more bool) {
	for w.lines.Scan() {
		switch name, value, _ := strings.Cut(w.lines.Text(), ": "); name {
		case "event":
			m.kind = value
		case "id":
			m.id = value
		case "data":
			m.data = value
		case "":
			if m.kind != "" {
				return m, true
			}
		}
	}
	return m, false
}

// until reads on until a message of the kind is the one that is looked for.
func until[T any](w *watcher, kind string, is func(T) bool) (v T, m message) {
	w.t.Helper()
	for began := time.Now(); time.Since(began) < within; {
		m, more := w.next()
		if !more {
			w.t.Fatalf("the stream has ended: %v", w.lines.Err())
		}
		if m.kind != kind {
			continue
		}
		v = *new(T)
		if err := json.Unmarshal([]byte(m.data), &v); err != nil {
			w.t.Fatalf("%s: %v in %s", kind, err, m.data)
		}
		if is(v) {
			return v, m
		}
	}
	w.t.Fatalf("no %s was what was looked for; the last: %+v", kind, v)
	return v, m
}

func anything[T any](T) bool { return true }

func byModel(views []edge.TaskView, model string) (edge.TaskView, bool) {
	for _, view := range views {
		if view.Model == model {
			return view, true
		}
	}
	return edge.TaskView{}, false
}

func TestLive_Tasks(t *testing.T) {
	n, long := busy(t)
	w := n.watch()
	hello, _ := until(w, "hello", anything[edge.LiveHello])
	if hello.PID != n.AgentPID() || hello.Version == "" || hello.Seq != n.latest() {
		t.Errorf("got %+v", hello)
	}
	running, _ := until(w, "tasks", func(tasks edge.LiveTasks) bool {
		view, there := byModel(tasks.Running, "long")
		return there && view.State == "running"
	})
	view, _ := byModel(running.Running, "long")
	if slot, in := view.Slot.Number(); !in || slot != 0 || view.Started.Before(view.Arrived) || view.Deadline.Sub(view.Arrived) != time.Minute {
		t.Errorf("it runs as %+v", view)
	}
	short := n.send("short", shortWork, pressing)
	halted, _ := until(w, "tasks", func(tasks edge.LiveTasks) bool {
		view, there := byModel(tasks.Running, "long")
		return there && view.State == "suspended"
	})
	if other, there := byModel(halted.Running, "short"); !there || other.State != "running" || other.Slot != edge.SlotAt(0) {
		t.Errorf("what it gave way to: got %+v", other)
	}
	sample, _ := until(w, "sample", func(s edge.Sample) bool { return s.Suspended == 1 })
	if sample.Running != 1 || sample.Link != "none" || sample.AgentRSS == 0 || sample.MemoryUsed == 0 {
		t.Errorf("sample: got %+v", sample)
	}
	ended, _ := until(w, "tasks", func(tasks edge.LiveTasks) bool {
		_, there := byModel(tasks.Ended, "long")
		return there
	})
	if view, _ := byModel(ended.Ended, "long"); view.State != "completed" || view.Slot != edge.SlotAt(0) || view.Compute <= 0 {
		t.Errorf("it ended as %+v", view)
	}
	inTime := uint64(0)
	if a := <-short; a.err == nil { // on a busy machine it may be late
		inTime = 1
	}
	n.wantDone("long", long)
	counts, _ := until(w, "sample", func(s edge.Sample) bool { return s.Ended.Urgent[1]+s.Ended.Batch[1] == 2 })
	if urgent, batch := counts.Ended.Urgent, counts.Ended.Batch; urgent[0] != inTime || urgent[1] != 1 || batch != (edge.EndedCount{1, 1}) {
		t.Errorf("counted: got %+v, want %d of 1 urgent in time", counts.Ended, inTime)
	}
}

func TestLive_Resumes(t *testing.T) {
	n := newNode(t)
	w := n.watch()
	if _, first := until(w, "event", anything[edge.Event]); first.id == "" {
		t.Error("an event has no id")
	}
	if err := n.Client().Undrain(t.Context()); err != nil {
		t.Fatal(err)
	}
	asked, last := until(w, "event", func(e edge.Event) bool { return e.Subject == "POST /v1/undrain" })
	want := fmt.Sprintf("local API, uid %d, pid %d", os.Getuid(), os.Getpid())
	if asked.Kind != edge.EventAPIAsked || asked.Cause != want || last.id != fmt.Sprint(asked.Seq) {
		t.Errorf("got %+v with id %s, want cause %q", asked, last.id, want)
	}
	w.close()
	if err := n.Client().Undrain(t.Context()); err != nil {
		t.Fatal(err)
	}
	w = n.watch("Last-Event-ID", last.id)
	hello, _ := until(w, "hello", anything[edge.LiveHello])
	if next, _ := until(w, "event", anything[edge.Event]); next.Seq != asked.Seq+1 {
		t.Errorf("after event %d: got %d", asked.Seq, next.Seq)
	}

	if err := n.KillAgent(); err != nil {
		t.Fatal(err)
	}
	for more := true; more; {
		_, more = w.next()
	}
	n.startAgent()
	w = n.watch("Last-Event-ID", fmt.Sprint(asked.Seq+1))
	again, _ := until(w, "hello", anything[edge.LiveHello])
	if again.PID == hello.PID || !again.Started.After(hello.Started) {
		t.Errorf("the agent after a restart: got %+v, before %+v", again, hello)
	}
	if next, _ := until(w, "event", anything[edge.Event]); next.Kind != edge.EventAgentStarted || next.Seq <= asked.Seq+1 {
		t.Errorf("the first event after it: got %+v", next)
	}
}

func TestLive_Bounds(t *testing.T) {
	n := newNode(t)
	t.Run("Thirteenth", func(t *testing.T) {
		n := n.in(t)
		for range 12 { // at the port; the socket keeps four more
			n.watch()
		}
		resp := n.atPort(http.MethodGet, "/v1/live")
		if text, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), "too_many_streams") {
			t.Errorf("got %s: %s, %v", resp.Status, text, err)
		}
	})
	n.await("the twelve to be gone", func(ctx context.Context) error {
		err := n.Client().Live(ctx, func(string, []byte) error { return errFound })
		if errors.Is(err, errFound) {
			return nil
		}
		return err
	})
	t.Run("ThousandsOfTasks", func(t *testing.T) { n.in(t).liveStorm() })
}

// liveStorm has thousands of tasks a second refused, whatever that costs, and looks at what is
// told of them.
func (n *node) liveStorm() {
	n.t.Helper()
	n.deploy(worker("short", "5ms", "5s"))
	n.awaitReady("short", 1)
	ctx, stop := context.WithCancel(context.Background())
	var asked atomic.Int64
	var askers sync.WaitGroup
	for range 8 {
		askers.Go(func() {
			c := localapi.Dial(n.Socket())
			defer c.Close()
			for ctx.Err() == nil {
				_, _ = c.Infer(ctx, "short", burn(1), localapi.InferOptions{Deadline: time.Microsecond}) // is refused
				asked.Add(1)
			}
		})
	}
	defer askers.Wait()
	defer stop()
	w := n.watch()
	until(w, "sample", anything[edge.Sample])
	const seconds = 4
	began, before, bytes := time.Now(), asked.Load(), w.read.Load()
	skipped, messages, events := 0, 0, 0
	for time.Since(began) < seconds*time.Second {
		m, more := w.next()
		if !more {
			n.t.Fatal("the stream has ended")
		}
		switch m.kind {
		case "event":
			events++
		case "tasks":
			var tasks edge.LiveTasks
			if err := json.Unmarshal([]byte(m.data), &tasks); err != nil {
				n.t.Fatal(err)
			}
			if messages++; len(tasks.Ended) > 200 || len(tasks.Waiting) > 100 {
				n.t.Errorf("a message lists %d ended and %d waiting", len(tasks.Ended), len(tasks.Waiting))
			}
			skipped += tasks.EndedSkipped
		}
	}
	rate, width := (asked.Load()-before)/seconds, (w.read.Load()-bytes)/seconds
	n.t.Logf("%d tasks a second were asked for: %d KiB a second, %d messages of tasks and %d events in %d s, %d tasks not listed",
		rate, width>>10, messages, events, seconds, skipped)
	if rate < 1000 || skipped == 0 {
		n.t.Errorf("%d tasks a second, %d not listed: too few to show anything", rate, skipped)
	}
	if width > 1<<20 || messages > 5*seconds || events > 450*seconds {
		n.t.Errorf("the stream carries %d bytes a second", width)
	}
}

func TestLocalAPI_Token(t *testing.T) {
	const first, second = "first-token-of-the-node", "second-token-of-the-node"
	folder := t.TempDir()
	path := filepath.Join(folder, "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(first)
	n := newNode(t, "api.tokenFile="+path)
	n.deploy()
	undrain := func(header ...string) int {
		t.Helper()
		resp := n.atPort(http.MethodPost, "/v1/undrain", header...)
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	if got := undrain("Authorization", "Bearer "+first); got != http.StatusOK {
		t.Errorf("with the token: got %d", got)
	}
	n.awaitEvent(0, edge.EventAPIAsked, "POST /v1/undrain local API, token")
	for name, header := range map[string][]string{"Without": nil, "Another": {"Authorization", "Bearer " + second}} {
		if got := undrain(header...); got != http.StatusUnauthorized {
			t.Errorf("%s: got %d", name, got)
		}
	}
	write(second)
	n.reload()
	if got := undrain("Authorization", "Bearer "+second); got != http.StatusOK {
		t.Errorf("with another one after a reload: got %d", got)
	}
	if got := undrain("Authorization", "Bearer "+first); got != http.StatusUnauthorized {
		t.Errorf("with the old one: got %d", got)
	}
	write("short")
	n.reload()
	n.awaitWarning("api-token", "at least 16 characters")
	if got := undrain("Authorization", "Bearer "+second); got != http.StatusOK {
		t.Errorf("with the one before, when the new one is of no use: got %d", got)
	}
	write(second)
	n.reload()
	n.awaitNoWarnings()
}

// TestLocalAPI_Peers opens the socket to everybody, as somebody may, and has one come who
// is not meant.
func TestLocalAPI_Peers(t *testing.T) {
	n := newNode(t, "api.group=4711")
	if err := os.Chmod(n.Socket(), 0o666); err != nil {
		t.Fatal(err)
	}
	ask := func(uid, gid uint32) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		cmd := exec.CommandContext(ctx, "curl", "-s", "--unix-socket", filepath.Base(n.Socket()), "-X", "POST", "http://node/v1/undrain")
		cmd.Dir = filepath.Dir(n.Socket()) // which root has gone into: its way may be closed to others
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("curl as user %d: %v: %s", uid, err, out)
		}
		return string(out)
	}
	if got := ask(65534, 65534); !strings.Contains(got, "user 65534 may not use this socket") {
		t.Errorf("a stranger: got %s", got)
	}
	since := n.latest()
	if got := ask(65534, 4711); strings.TrimSpace(got) != "{}" {
		t.Errorf("a member of the group: got %s", got)
	}
	n.awaitEvent(since, edge.EventAPIAsked, "local API, uid 65534")
}
