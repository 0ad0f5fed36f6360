package stand

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Broker is Debian's mosquitto as a process of its own, on a free port of the
// loopback. It forgets everything when it ends.
type Broker struct {
	dir, address string
	process      *process
}

// StartBroker starts a broker that keeps its files in dir, with further lines of
// configuration.
func StartBroker(ctx context.Context, dir string, more ...string) (*Broker, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot create folder: %w", err)
	}
	b := &Broker{dir: dir, address: "127.0.0.1:" + port}
	lines := append([]string{"user root", "persistence false", "allow_anonymous true", "listener " + port + " 127.0.0.1"}, more...)
	if err := os.WriteFile(b.config(), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("cannot configure broker: %w", err)
	}
	if err := b.Start(ctx); err != nil {
		return nil, err
	}
	return b, nil
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

func (b *Broker) config() string { return filepath.Join(b.dir, "mosquitto.conf") }

// Log is the file the broker's log goes to.
func (b *Broker) Log() string { return filepath.Join(b.dir, "mosquitto.log") }

// Address is where it listens, host:port.
func (b *Broker) Address() string { return b.address }

// Start starts it, anew and with nothing remembered, and returns once it listens.
func (b *Broker) Start(ctx context.Context) (err error) {
	if b.process, err = startProcess("mosquitto", []string{"-c", b.config()}, b.Log()); err != nil {
		return fmt.Errorf("%w: apt-get install mosquitto", err)
	}
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		conn, err := net.Dial("tcp", b.address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ticker.C:
		case <-b.process.ended:
			return fmt.Errorf("broker ended (%v); its log is %s", b.process.err, b.Log())
		case <-ctx.Done():
			return fmt.Errorf("broker does not listen: %w", err)
		}
	}
}

// Kill ends it as a power cut would.
func (b *Broker) Kill() error { return b.process.kill() }
