package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// relay is a process that stands where the agent stands and does the least there
// is to do: it passes bytes on, to the model's socket and back, and knows nothing
// of HTTP. What it costs is what any process between caller and model costs here.
type relay struct {
	socket string
	cmd    *exec.Cmd
}

// startRelay starts this program anew as a relay to the socket target, on as many
// cores as the agent takes.
func startRelay(ctx context.Context, dir, target string) (*relay, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find own program: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create folder of relay: %w", err)
	}
	r := &relay{socket: filepath.Join(dir, "relay.sock")}
	if err := os.RemoveAll(r.socket); err != nil {
		return nil, fmt.Errorf("cannot remove socket of earlier relay: %w", err)
	}
	r.cmd = exec.CommandContext(ctx, program, "-relay", r.socket+"="+target)
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

// serveRelay is what the relay's process does: "SOCKET=TARGET".
func serveRelay(route string) error {
	socket, target, found := strings.Cut(route, "=")
	if !found {
		return fmt.Errorf("cannot relay %q: must be SOCKET=TARGET", route)
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("cannot listen on %q: %w", socket, err)
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
