// Package mosquitto starts Debian's broker as a process of its own, on a free port of
// the loopback, for tests and measurements beside a broker that is not ours.
//
// # Concurrency
//
// A Broker belongs to one goroutine; its Log may be read by any.
package mosquitto

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Broker is one broker, which may be started again and again on the same port.
type Broker struct {
	config, address string
	process         *exec.Cmd
	log             log
}

// Start starts a broker that keeps its files in dir, with further lines of
// configuration, and returns once it listens. It lets everybody in and forgets
// everything at its end, unless the lines say otherwise.
func Start(ctx context.Context, dir string, lines ...string) (*Broker, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot create folder: %w", err)
	}
	b := &Broker{config: filepath.Join(dir, "mosquitto.conf"), address: "127.0.0.1:" + port}
	if err := os.WriteFile(b.config, []byte(configuration(port, lines)), 0o600); err != nil {
		return nil, fmt.Errorf("cannot configure broker: %w", err)
	}
	if err := b.Start(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

func configuration(port string, lines []string) string {
	all := []string{"user root", "listener " + port + " 127.0.0.1"}
	said := strings.Join(lines, "\n")
	for _, unless := range []string{"persistence false", "allow_anonymous true"} {
		if key, _, _ := strings.Cut(unless, " "); !strings.Contains(said, key+" ") {
			all = append(all, unless)
		}
	}
	return strings.Join(append(all, lines...), "\n") + "\n"
}

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot find a free port: %w", err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}

// Address is where it listens, host:port.
func (b *Broker) Address() string { return b.address }

// Log is what it has said so far.
func (b *Broker) Log() string { return b.log.String() }

// Start starts it again, and returns once it listens.
func (b *Broker) Start(ctx context.Context) error {
	b.process = exec.Command("mosquitto", "-c", b.config)
	b.process.Stdout, b.process.Stderr = &b.log, &b.log
	b.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := b.process.Start(); err != nil {
		return fmt.Errorf("cannot start broker: %w: apt-get install mosquitto", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := net.Dial("tcp", b.address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("broker does not listen: %w: %s", err, b.Log())
		}
	}
}

// Kill ends it as a power cut would.
func (b *Broker) Kill() error { return b.end(syscall.SIGKILL) }

// End lets it write down what it has, where it is told to keep anything.
func (b *Broker) End() error { return b.end(syscall.SIGTERM) }

// end may be called again.
func (b *Broker) end(signal syscall.Signal) error {
	if err := b.process.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("cannot end broker: %w", err)
	}
	_ = b.process.Wait() // how it ends is not of interest
	return nil
}

// log collects what a process says.
type log struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write takes some more.
func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
