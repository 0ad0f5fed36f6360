package sitelink_test

import (
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"holdfast/build/mosquitto"
)

// startMosquitto starts Debian's broker, which remembers over a restart what it had.
func startMosquitto(tb testing.TB) *mosquitto.Broker {
	tb.Helper()
	folder := tb.TempDir()
	b, err := mosquitto.Start(tb.Context(), folder, "persistence true", "persistence_location "+folder+"/", "max_queued_messages 0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = b.End() })
	return b
}

// again ends a broker and starts it anew.
func again(tb testing.TB, b *mosquitto.Broker) {
	tb.Helper()
	if err := errors.Join(b.End(), b.Start(tb.Context())); err != nil {
		tb.Error(err)
	}
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
