package mqtt_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// server is a real broker for one test.
type server interface {
	address() string
	restart(tb testing.TB) // everything it remembered is lost
}

// mosquitto runs Debian's broker as a process of its own.
type mosquitto struct {
	config, at string
	process    *exec.Cmd
	log        lockedBuffer
}

// startMosquitto listens on a free port of the loopback, with more lines of
// configuration.
func startMosquitto(tb testing.TB, more ...string) *mosquitto {
	tb.Helper()
	m := &mosquitto{config: filepath.Join(tb.TempDir(), "mosquitto.conf"), at: freeAddress(tb)}
	_, port, _ := net.SplitHostPort(m.at)
	lines := append([]string{
		"user root", "persistence false", "listener " + port + " 127.0.0.1",
		"max_queued_messages 0", "max_inflight_messages 0", // the oracle must not lose what a slow test leaves waiting
	}, more...)
	if !strings.Contains(strings.Join(more, "\n"), "allow_anonymous") {
		lines = append(lines, "allow_anonymous true")
	}
	if err := os.WriteFile(m.config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	m.run(tb)
	tb.Cleanup(func() { m.kill() })
	return m
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (m *mosquitto) run(tb testing.TB) {
	tb.Helper()
	m.process = exec.Command("mosquitto", "-c", m.config)
	m.process.Stdout, m.process.Stderr = &m.log, &m.log
	if err := m.process.Start(); err != nil {
		tb.Fatalf("cannot start mosquitto: %v: apt-get install mosquitto mosquitto-clients", err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", m.at)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("mosquitto does not listen: %v\n%s", err, m.log.String())
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (m *mosquitto) kill() {
	_ = m.process.Process.Kill()
	_ = m.process.Wait()
}

func (m *mosquitto) address() string { return m.at }

func (m *mosquitto) restart(tb testing.TB) {
	m.kill()
	m.run(tb)
}

// lockedBuffer collects what a process says.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// hear runs mosquitto_sub until it has heard n messages, and returns them as
// "topic payload".
func hear(tb testing.TB, at, filter string, n int) []string {
	tb.Helper()
	host, port, _ := net.SplitHostPort(at)
	out, err := exec.Command("mosquitto_sub", "-h", host, "-p", port, "-t", filter, "-q", "1", "-v", "-C", fmt.Sprint(n), "-W", "10").CombinedOutput()
	if err != nil {
		tb.Fatalf("mosquitto_sub: %v: %s", err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
