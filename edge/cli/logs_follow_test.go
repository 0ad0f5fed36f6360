package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/edge"
)

// printing is an agent whose one instance prints, and which is restarted at will.
type printing struct {
	mu     sync.Mutex // guards what follows
	lines  []string
	pid    int
	away   bool
	grown  chan struct{} // closed when something above changes
	server *http.Server
}

func startPrinting(t *testing.T) (*printing, string) {
	t.Helper()
	p := &printing{pid: 1, grown: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.away {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, `{"pid":%d}`, p.pid)
	})
	mux.HandleFunc("GET /v1/logs/line/digits", p.logs)
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- p.server.Serve(listener) }()
	t.Cleanup(func() {
		p.change(func() { p.away = true })
		if err := errors.Join(p.server.Close()); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return p, path
}

func (p *printing) change(how func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	how()
	close(p.grown)
	p.grown = make(chan struct{})
}

func (p *printing) print(lines ...string) { p.change(func() { p.lines = append(p.lines, lines...) }) }

// logs answers as an agent does: the last lines, and with follow what comes until it ends.
func (p *printing) logs(w http.ResponseWriter, r *http.Request) {
	wanted, _ := strconv.Atoi(r.URL.Query().Get("lines"))
	p.mu.Lock()
	sent, pid := max(0, len(p.lines)-wanted), p.pid
	p.mu.Unlock()
	for {
		p.mu.Lock()
		text := strings.Join(append(p.lines[sent:len(p.lines):len(p.lines)], ""), "\n")
		sent = len(p.lines)
		ended, grown := p.away || p.pid != pid, p.grown
		p.mu.Unlock()
		if _, err := w.Write([]byte(text)); err != nil || ended || r.URL.Query().Get("follow") != "true" {
			return
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-grown:
		case <-r.Context().Done():
			return
		}
	}
}

// heard collects what a verb writes.
type heard struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(b)
}

// await waits for words, and returns all there is.
func (h *heard) await(t *testing.T, words string) string {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for until := time.Now().Add(20 * time.Second); ; <-ticker.C {
		h.mu.Lock()
		text := h.text.String()
		h.mu.Unlock()
		if strings.Contains(text, words) {
			return text
		}
		if time.Now().After(until) {
			t.Fatalf("%q is missing in:\n%s", words, text)
		}
	}
}

func TestDoor_FollowLogs(t *testing.T) {
	agent, path := startPrinting(t)
	agent.print("one", "two", "three")
	var out, said heard
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		ended <- Main(ctx, Process{Args: []string{"logs", "-f", "-n", "2", "line/digits", "--address", path}, Stdout: &out, Stderr: &said})
	}()
	out.await(t, "two\nthree\n")
	agent.print("four")
	out.await(t, "four\n")
	agent.change(func() { agent.away = true })
	said.await(t, "the agent has gone")
	agent.print("five", "six")
	agent.change(func() { agent.away, agent.pid = false, 2 })
	out.await(t, "six\n")
	agent.print("seven")
	if got, want := out.await(t, "seven\n"), "two\nthree\nfour\nfive\nsix\nseven\n"; got != want {
		t.Errorf("it has printed\n%s\nwant\n%s", got, want)
	}
	said.await(t, "an agent answers again, process 2")
	interrupt()
	if code := <-ended; code != ExitInterrupted {
		t.Errorf("exit code %d, want %d", code, ExitInterrupted)
	}
	if text := said.await(t, ""); strings.Contains(text, "interrupted") {
		t.Errorf("it says %q", text)
	}
}

func TestDoor_FollowLogsOfNothing(t *testing.T) {
	_, path := startPrinting(t)
	d := &door{Process: Process{Stdout: &heard{}, Stderr: &heard{}}, address: path}
	if err := d.followLogs(t.Context(), "line/other", 1); err == nil || !errors.Is(err, edge.ErrUnavailable) {
		t.Errorf("what answers no log gives %v", err)
	}
}
