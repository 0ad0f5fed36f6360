package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// relay is a process that stands where the agent stands and does the least there is
// to do, in one of two ways. The bare one passes bytes on, to the model's socket and
// back, and knows nothing of HTTP: what it costs is what any process between caller and
// model costs here. The HTTP one takes requests by net/http and asks the model by a
// connection it keeps, without looking at what it carries: what it costs is what any Go
// program costs that serves HTTP there.
type relay struct {
	socket string
	cmd    *exec.Cmd
}

// startRelay starts this program anew as a relay to the socket target, on as many
// cores as the agent takes.
func startRelay(ctx context.Context, dir, way, target string) (*relay, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find own program: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create folder of relay: %w", err)
	}
	r := &relay{socket: filepath.Join(dir, way+".sock")}
	if err := os.RemoveAll(r.socket); err != nil {
		return nil, fmt.Errorf("cannot remove socket of earlier relay: %w", err)
	}
	r.cmd = exec.CommandContext(ctx, program, "-relay", way+"="+r.socket+"="+target)
	r.cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(max(1, goruntime.NumCPU()/2)))
	r.cmd.Stderr = os.Stderr
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start relay: %w", err)
	}
	if err := r.await(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// await returns once the relay listens.
func (r *relay) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		conn, err := net.Dial("unix", r.socket)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("relay does not listen: %w", err), r.stop())
		}
	}
}

func (r *relay) pid() int { return r.cmd.Process.Pid }

// stop ends the relay, whose only way to end is to be killed.
func (r *relay) stop() error {
	if err := r.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("cannot end relay: %w", err)
	}
	_ = r.cmd.Wait() // says only that it was killed
	return nil
}

// The ways of a relay.
const (
	relayBare = "bare"
	relayHTTP = "http"
)

// serveRelay is what the relay's process does: "WAY=SOCKET=TARGET".
func serveRelay(route string) error {
	words := strings.Split(route, "=")
	if len(words) != 3 {
		return fmt.Errorf("cannot relay %q: must be WAY=SOCKET=TARGET", route)
	}
	way, socket, target := words[0], words[1], words[2]
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("cannot listen on %q: %w", socket, err)
	}
	if way == relayHTTP {
		return http.Serve(listener, &httpRelay{target: target})
	}
	for {
		caller, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("cannot accept on %q: %w", socket, err)
		}
		go pass(caller, target)
	}
}

// pass carries one request after another to the model, and its reply back. Both
// fit into one read each.
func pass(caller net.Conn, target string) {
	defer caller.Close()
	model, err := net.Dial("unix", target)
	if err != nil {
		return
	}
	defer model.Close()
	buf := make([]byte, 64<<10)
	for {
		for _, way := range [...]struct{ from, to net.Conn }{{caller, model}, {model, caller}} {
			n, err := way.from.Read(buf)
			if err != nil {
				return
			}
			if _, err := way.to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

// httpRelay carries requests over one connection to the model.
type httpRelay struct {
	target string

	mu     sync.Mutex // held through an exchange; the benchmark has one caller
	conn   net.Conn
	reader *bufio.Reader
}

// ServeHTTP passes one request on, and the reply back.
func (r *httpRelay) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := r.exchange(request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // a caller who has left is not served
}

func (r *httpRelay) exchange(request *http.Request) ([]byte, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	if r.conn == nil {
		if r.conn, err = net.Dial("unix", r.target); err != nil {
			return nil, err
		}
		r.reader = bufio.NewReader(r.conn)
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: model\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", request.URL.Path, len(body))
	if _, err := r.conn.Write(append([]byte(head), body...)); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(r.reader, nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}
