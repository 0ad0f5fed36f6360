package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"
)

// notifier tells the service manager how the agent is, by systemd's notification
// protocol: datagrams on the socket that NOTIFY_SOCKET names. Without one it
// does nothing.
type notifier struct {
	socket   string
	interval time.Duration // between watchdog pings; 0: no watchdog
}

// newNotifier reads where to report to from the environment it is handed.
func newNotifier(lookup func(string) string) notifier {
	n := notifier{socket: lookup("NOTIFY_SOCKET")}
	micros, err := strconv.ParseInt(lookup("WATCHDOG_USEC"), 10, 64)
	if pid := lookup("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return n
	}
	if err == nil && micros > 0 {
		// A third of the limit leaves room for two late pings.
		n.interval = time.Duration(micros) * time.Microsecond / 3
	}
	return n
}

// Send reports one state, for example READY=1.
func (n notifier) Send(state string) error {
	if n.socket == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", n.socket)
	if err != nil {
		return fmt.Errorf("cannot reach service manager: %w", err)
	}
	_, err = conn.Write([]byte(state))
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("cannot notify service manager: %w", err)
	}
	return nil
}

// Watchdog pings for as long as alive answers in time. When it no longer does,
// the pings stop and the service manager restarts the agent: that is the point.
func (n notifier) Watchdog(ctx context.Context, alive func(context.Context) error) error {
	if n.socket == "" || n.interval == 0 {
		<-ctx.Done()
		return nil
	}
	ticker := time.NewTicker(n.interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			n.ping(ctx, alive)
		}
	}
}

func (n notifier) ping(ctx context.Context, alive func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, n.interval)
	defer cancel()
	if alive(ctx) == nil {
		_ = n.Send("WATCHDOG=1") // the next ping tries again
	}
}
