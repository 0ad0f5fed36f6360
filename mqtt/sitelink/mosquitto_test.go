package sitelink_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// mosquitto runs Debian's broker as a process of its own, which remembers over a
// restart what it had.
type mosquitto struct {
	config, at string
	process    *exec.Cmd
	log        lockedBuffer
}

func startMosquitto(tb testing.TB) *mosquitto {
	tb.Helper()
	folder := tb.TempDir()
	m := &mosquitto{config: filepath.Join(folder, "mosquitto.conf"), at: freeAddress(tb)}
	_, port, _ := net.SplitHostPort(m.at)
	lines := []string{
		"user root", "persistence true", "persistence_location " + folder + "/", "listener " + port + " 127.0.0.1",
		"allow_anonymous true", "max_queued_messages 0",
	}
	if err := os.WriteFile(m.config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	m.run(tb)
	tb.Cleanup(m.end)
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

// end lets it write down what it has.
func (m *mosquitto) end() {
	_ = m.process.Process.Signal(syscall.SIGTERM)
	_ = m.process.Wait()
}

func (m *mosquitto) restart(tb testing.TB) {
	m.end()
	m.run(tb)
}

// lockedBuffer collects what a process says.
type lockedBuffer struct {
	mu   sync.Mutex // guards text
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

// tool runs one of mosquitto's commands against a broker.
func tool(tb testing.TB, name, at string, args ...string) string {
	tb.Helper()
	host, port, _ := net.SplitHostPort(at)
	out, err := exec.Command(name, append([]string{"-h", host, "-p", port}, args...)...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return fmt.Sprint(strings.TrimSpace(string(out)))
}
