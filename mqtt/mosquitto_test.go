package mqtt_test

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"holdfast/build/mosquitto"
)

// server is a real broker for one test.
type server interface {
	address() string
	restart(tb testing.TB) // everything it remembered is lost
}

// mosquittoServer is Debian's broker as a server.
type mosquittoServer struct{ *mosquitto.Broker }

// startMosquitto listens on a free port of the loopback, with more lines of
// configuration.
func startMosquitto(tb testing.TB, more ...string) mosquittoServer {
	tb.Helper()
	// The oracle must not lose what a slow test leaves waiting.
	b, err := mosquitto.Start(tb.Context(), tb.TempDir(), append([]string{"max_queued_messages 0", "max_inflight_messages 0"}, more...)...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.Kill() })
	return mosquittoServer{b}
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

func (m mosquittoServer) address() string { return m.Address() }

func (m mosquittoServer) restart(tb testing.TB) {
	tb.Helper()
	if err := errors.Join(m.Kill(), m.Start(tb.Context())); err != nil {
		tb.Fatal(err)
	}
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
