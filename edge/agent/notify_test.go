package agent

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

func listenNotify(t *testing.T) (string, *net.UnixConn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "n")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return path, conn
}

func TestNotifier(t *testing.T) {
	path, conn := listenNotify(t)
	env := map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "30000", "WATCHDOG_PID": strconv.Itoa(os.Getpid())}
	n := newNotifier(func(k string) string { return env[k] })
	receive := func() string {
		text := make([]byte, 64)
		size, err := conn.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(text[:size])
	}
	if err := n.Send("READY=1"); err != nil {
		t.Fatal(err)
	}
	if got := receive(); got != "READY=1" {
		t.Errorf("got %q, want READY=1", got)
	}

	ctx, cancel := context.WithCancel(t.Context())
	healthy := make(chan bool, 1)
	healthy <- false // the first question is answered "no": no ping may come of it
	asked := make(chan bool, 64)
	done := make(chan error)
	go func() {
		done <- n.Watchdog(ctx, func(context.Context) error {
			select {
			case <-healthy:
				asked <- false
				return errors.New("stuck")
			default:
				asked <- true
				return nil
			}
		})
	}()
	if got := receive(); got != "WATCHDOG=1" {
		t.Errorf("got %q, want WATCHDOG=1", got)
	}
	if first := <-asked; first {
		t.Error("the stuck agent was never asked about")
	}
	if second := <-asked; !second {
		t.Error("a ping went out while the agent was stuck")
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("watchdog = %v, want none", err)
	}
}

func TestNewNotifier_ForeignWatchdog(t *testing.T) {
	env := map[string]string{"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
	if n := newNotifier(func(k string) string { return env[k] }); n.interval != 0 {
		t.Errorf("interval = %v, want none: the watchdog is another process's", n.interval)
	}
	if n := newNotifier(func(string) string { return "" }); n.Send("READY=1") != nil || n.interval != 0 {
		t.Error("without a service manager nothing is sent")
	}
}
