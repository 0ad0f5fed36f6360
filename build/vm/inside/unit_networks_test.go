//go:build vm

package inside_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/build/vm/order"
)

// published is a service on a network of its app whose port the node answers at.
const published = `  back:
    image: holdfast.example/digits:1
    command: ["-listen", "tcp://0.0.0.0:7000"]
    networks: [plant]
    ports: ["8085:7000"]
    deploy: {resources: {limits: {cpus: "0.5", memory: 48M, pids: 32}}}
    x-holdfast: {readiness: {http: /v2/health/live, port: 7000, period: 200ms}}
networks:
  plant: {internal: true}
`

// visit is a connection to the published port that stays open.
type visit struct {
	conn net.Conn
	read *bufio.Reader
}

func newVisit(ctx context.Context) (*visit, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:8085")
	if err != nil {
		return nil, err
	}
	return &visit{conn, bufio.NewReader(conn)}, nil
}

func (v *visit) ask() error {
	if err := v.conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(v.conn, "GET /v2/health/live HTTP/1.1\r\nHost: node\r\n\r\n"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(v.read, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s: %w", answer.Status, err)
	}
	return nil
}

func askAnew(ctx context.Context) error {
	v, err := newVisit(ctx)
	if err != nil {
		return err
	}
	defer v.conn.Close()
	return v.ask()
}

// putBack writes a file for the time of a test.
func putBack(t *testing.T, name, text string) {
	t.Helper()
	was, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if was != nil {
			err = os.WriteFile(name, was, 0o644)
		} else {
			err = os.Remove(name)
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// TestService_Networks: with the drop-in for networks the walls that are left let the agent
// make bridges and publish ports, and what answers there stays while the agent does not.
func TestService_Networks(t *testing.T) {
	n := theNode(t)
	t.Run("DropIn", n.networks)
	// Without the drop-in again, and without anybody who wants it.
	systemctl(t, "daemon-reload")
	systemctl(t, "reload", "holdfast")
	look(t, "the published port to be gone", func(ctx context.Context) error {
		if askAnew(ctx) == nil {
			return errors.New("it answers")
		}
		return nil
	})
	look(t, "bridges to be gone", func(context.Context) error {
		links, err := net.Interfaces()
		if err == nil && len(links) > 1 {
			err = fmt.Errorf("there are %+v", links)
		}
		return err
	})
	systemctl(t, "restart", "holdfast")
	n.ready()
}

func (n *node) networks(t *testing.T) {
	n = &node{t, n.client}
	dropIn := read(t, filepath.Join(order.Tree, "build/systemd/networks.conf"))
	compose := read(t, "/etc/holdfast/compose.yaml")
	putBack(t, "/etc/systemd/system/holdfast.service.d/networks.conf", dropIn+"\n")
	putBack(t, "/etc/holdfast/compose.yaml", compose+"\n"+published)
	systemctl(t, "daemon-reload")
	systemctl(t, "restart", "holdfast")
	look(t, "the published port to answer", askAnew)
	before := n.ready()
	if len(before) != 3 {
		t.Errorf("got %d instances, want three", len(before))
	}
	guest, err := newVisit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer guest.conn.Close()
	for _, step := range []string{"stop", "start", "restart"} {
		systemctl(t, step, "holdfast")
		if err := errors.Join(guest.ask(), askAnew(t.Context())); err != nil {
			t.Errorf("after %s: %v", step, err)
		}
	}
	n.wantSame(before)
	pid := mainPID(t)
	if got := read(t, fmt.Sprintf("/proc/%d/status", pid)); !strings.Contains(got, "CapBnd:\t000000000028142b\n") {
		t.Errorf("the agent has other capabilities than the drop-in's: %s", got)
	}
	status, err := n.client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range status.Warnings {
		if warning.Code != "disk-weights-idle" {
			t.Errorf("there is the warning %+v", warning)
		}
	}
}
