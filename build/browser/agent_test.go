package browser_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tags are the Makefile's, so that what is tested is what is shipped.
const tags = "grpcnotrace,nethttpomithttp2"

// agent is a real agent on a machine without containerd.
type agent struct {
	t       testing.TB
	binary  string
	dir     string
	address string
	cmd     *exec.Cmd
}

// compile begins to compile a program as it is shipped; what it returns waits for it.
func compile(t testing.TB, pkg string) func() string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(pkg))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", tags, "-ldflags", "-s -w -buildid= -X main.version=1.4.0", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	done := make(chan error, 1)
	go func() {
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("cannot build %s: %w\n%s", pkg, err, out)
		}
		done <- err
	}()
	wait := sync.OnceValue(func() error { return <-done })
	t.Cleanup(func() {
		if err := wait(); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return func() string {
		if err := wait(); err != nil {
			t.Error(err)
		}
		return path
	}
}

// startAgent starts an agent that nothing is configured for but its port.
func startAgent(t testing.TB, binary string) (*agent, error) {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf-browser-")
	if err != nil {
		return nil, fmt.Errorf("cannot make folder: %w", err)
	}
	a := &agent{t: t, dir: dir, address: freePort(t), binary: binary}
	a.start()
	return a, nil
}

func (a *agent) url() string { return "http://" + a.address }

func (a *agent) start() {
	at := func(name string) string { return filepath.Join(a.dir, name) }
	log, err := os.OpenFile(at("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		a.t.Error(err)
		return
	}
	defer log.Close()
	args := []string{"run"}
	for _, setting := range []string{
		"node.name=line-3-gw", "api.listen=" + a.address, "api.socket=" + at("s"), "paths.state=" + at("state"), "paths.run=" + at("run"),
		"containerd.address=" + at("no-containerd.sock"), "policy.root=" + at("no-root.json"), "policy.factory=" + at("no-factory.json"),
	} {
		args = append(args, "--set", setting)
	}
	a.cmd = exec.CommandContext(context.Background(), a.binary, args...)
	a.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + a.dir}
	a.cmd.Stdout, a.cmd.Stderr = log, log
	if err := a.cmd.Start(); err != nil {
		a.t.Error(err)
		return
	}
	if err := a.await(); err != nil {
		text, _ := os.ReadFile(at("log"))
		a.t.Errorf("%v; its log says:\n%s", err, text)
	}
}

// await returns once the agent answers.
func (a *agent) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for ticker := time.NewTicker(30 * time.Millisecond); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url()+"/v2/health/live", nil)
		if err != nil {
			return fmt.Errorf("cannot ask agent: %w", err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("the agent does not answer within 20 s")
		case <-ticker.C:
		}
	}
}

// kill ends the agent as a power cut would.
func (a *agent) kill(signal syscall.Signal) {
	if a.cmd == nil || a.cmd.Process == nil {
		return
	}
	if err := a.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		a.t.Error(err)
	}
	_ = a.cmd.Wait() // how it ends is what the signal says
	a.cmd = nil
}

func (a *agent) close() {
	a.kill(syscall.SIGTERM)
	if err := os.RemoveAll(a.dir); err != nil {
		a.t.Error(err)
	}
}

// do is what a script can do to the agent.
func (a *agent) do(verb string) (any, error) {
	switch verb {
	case "kill":
		a.kill(syscall.SIGKILL)
	case "start":
		a.start()
	default:
		return nil, fmt.Errorf("an agent has no knob %q", verb)
	}
	return verb, nil
}
