package e2e_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/cli"
	"holdfast/edge/host"
)

// vacantPort is one of the loopback that nobody listens on.
func vacantPort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	at, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("got %T", listener.Addr())
	}
	return at.Port
}

// publishedService answers on TCP at a port of the node.
func publishedService(port int, more string) string {
	return fmt.Sprintf("  back:\n    image: %s\n    command: [\"-listen\", \"tcp://0.0.0.0:7000\"%s]\n    restart: always\n    ports: [\"%d:7000\"]\n"+
		"    x-holdfast: {readiness: {http: /v2/health/live, port: 7000, period: 100ms}}\n", faultyImage, more, port)
}

// visit is a connection to a port of the node that stays open.
type visit struct {
	conn net.Conn
	read *bufio.Reader
}

func visitAt(address string, port int) (*visit, error) {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", address, port), time.Second)
	if err != nil {
		return nil, err
	}
	return &visit{conn, bufio.NewReader(conn)}, nil
}

// ask sends a request and wants a good answer, on the one connection.
func (v *visit) ask() error {
	if err := v.conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(v.conn, "GET /v2/health/live HTTP/1.1\r\nHost: node\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(v.read, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s: %w", response.Status, err)
	}
	return nil
}

// answersAt asks on a connection of its own.
func answersAt(address string, port int) error {
	v, err := visitAt(address, port)
	if err != nil {
		return err
	}
	defer v.conn.Close()
	return v.ask()
}

// outerAddress is one of the machine that is not the loopback's.
func outerAddress(t testing.TB) string {
	t.Helper()
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		if at, ok := address.(*net.IPNet); ok && at.IP.IsGlobalUnicast() && at.IP.To4() != nil {
			return at.IP.String()
		}
	}
	t.Fatal("this machine has no address but its loopback's, so nothing can be told of others")
	return ""
}

// TestPorts_Survive: a published port answers through the end of everything but of the
// instance itself, and an update leaves no gap.
func TestPorts_Survive(t *testing.T) {
	n := newNode(t)
	port := vacantPort(t)
	n.deployNetworked(publishedService(port, ""))
	first := n.awaitReady("back", 1)[0]
	n.await("the port to answer", func(context.Context) error { return answersAt(edge.Loopback, port) })
	if err := answersAt(outerAddress(t), port); err == nil {
		t.Error("it answers beyond the loopback, where nobody said so")
	}
	held, err := visitAt(edge.Loopback, port)
	if err != nil {
		t.Fatal(err)
	}
	defer held.conn.Close()
	if err := held.ask(); err != nil {
		t.Fatal(err)
	}
	t.Run("Shown", func(t *testing.T) {
		n := n.in(t)
		where := fmt.Sprintf("127.0.0.1:%d->7000", port)
		n.verb("workloads").want(t, cli.ExitOK, where)
		started := slices.ContainsFunc(n.events(0), func(e edge.Event) bool {
			return e.Kind == edge.EventInstanceStarted && e.Subject == first.ID && e.Facts["at"] == where
		})
		if !started {
			t.Errorf("no event says that %s is reached at %s", first.ID, where)
		}
	})
	t.Run("AgentKilled", func(t *testing.T) {
		n := n.in(t)
		if err := n.KillAgent(); err != nil {
			t.Fatal(err)
		}
		if err := held.ask(); err != nil {
			t.Errorf("without the agent, on a connection from before: %v", err)
		}
		if err := answersAt(edge.Loopback, port); err != nil {
			t.Errorf("without the agent, anew: %v", err)
		}
		n.startAgent()
		if again := n.awaitReady("back", 1)[0]; again.PID != first.PID {
			t.Errorf("got process %d, want %d as before", again.PID, first.PID)
		}
		if err := held.ask(); err != nil {
			t.Errorf("with the next agent: %v", err)
		}
	})
	t.Run("ContainerdKilled", func(t *testing.T) {
		n := n.in(t)
		n.killDaemon()
		if err := held.ask(); err != nil {
			t.Errorf("without containerd: %v", err)
		}
		n.restartDaemon()
		if err := held.ask(); err != nil {
			t.Errorf("with containerd back: %v", err)
		}
	})
	t.Run("InstanceKilled", func(t *testing.T) {
		n := n.in(t)
		if err := syscall.Kill(int(first.PID), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		n.await("the next instance to answer", func(context.Context) error { return answersAt(edge.Loopback, port) })
	})
	t.Run("Updated", func(t *testing.T) {
		n := n.in(t)
		before := n.awaitReady("back", 1)[0]
		end := callAllTheTime(port)
		n.deployNetworked(publishedService(port, `, "-model", "newer"`))
		n.await("the new version alone", func(ctx context.Context) error {
			view, err := n.workload(ctx, "back")
			if err != nil || len(view.Instances) != 1 || view.Ready != 1 || view.Instances[0].ID == before.ID {
				return fmt.Errorf("there are %+v, %w", view.Instances, err)
			}
			return nil
		})
		if calls, missed := end(); calls < 10 || missed != nil {
			t.Errorf("of %d calls while it was updated one failed: %v, want none of at least ten", calls, missed)
		}
	})
	n.deploy()
	n.await("nobody to listen any more", func(context.Context) error {
		if err := answersAt(edge.Loopback, port); err == nil {
			return fmt.Errorf("port %d still answers", port)
		}
		return nil
	})
}

// callAllTheTime asks a port, each time on a connection of its own, until end is called.
func callAllTheTime(port int) (end func() (calls int, missed error)) {
	stop, told := make(chan struct{}), make(chan error, 1)
	count := 0
	go func() {
		var missed error
		for {
			select {
			case <-stop:
				told <- missed
				return
			default:
			}
			count++
			if err := answersAt(edge.Loopback, port); err != nil {
				missed = err
			}
		}
	}()
	return func() (int, error) {
		close(stop)
		missed := <-told
		return count, missed
	}
}

// TestPorts_Governed: what answers beyond the loopback, who shares a network and who may
// go outside is for the policy to say; a port that is another's is refused by name.
func TestPorts_Governed(t *testing.T) {
	n := governed(t)
	port := vacantPort(t)
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	_, other, _ := net.SplitHostPort(taken.Addr().String()) // by its own words
	service := func(line string) string {
		return strings.Replace(publishedService(port, ""), fmt.Sprintf("ports: [\"%d:7000\"]", port), line, 1)
	}
	t.Run("Taken", func(t *testing.T) {
		n := n.in(t)
		signed := n.desk.sign(draft{version: 2, services: []string{service(`ports: ["` + other + `:7000"]`)}})
		n.apply(signed).want(t, cli.ExitFailed, "127.0.0.1:"+other, "line/back", fmt.Sprintf("process %d", os.Getpid()))
		if in := n.policy(); in.Version != 1 {
			t.Errorf("version %d is in force, want the one before", in.Version)
		}
	})
	t.Run("Everywhere", func(t *testing.T) {
		n := n.in(t)
		signed := n.desk.sign(draft{
			version: 3, sections: []string{fmt.Sprintf("security: {hostPorts: [\"0.0.0.0:%d\"]}", port)},
			services: []string{service(fmt.Sprintf("ports: [\"0.0.0.0:%d:7000\"]", port))},
		})
		n.apply(signed).want(t, cli.ExitOK)
		n.await("the port to answer", func(context.Context) error { return answersAt(edge.Loopback, port) })
		if err := answersAt(outerAddress(t), port); err != nil {
			t.Errorf("beyond the loopback: %v", err)
		}
		if at, ok := host.ListenerAt(fmt.Sprintf("127.0.0.1:%d", port)); !ok || at.PID == n.AgentPID() {
			t.Errorf("process %d listens, want one that outlives the agent", at.PID)
		}
	})
	n.apply(n.desk.sign(draft{version: 4})).want(t, cli.ExitOK)
	n.await("nobody to listen any more", func(context.Context) error {
		if at, is := host.ListenerAt(fmt.Sprintf("127.0.0.1:%d", port)); is {
			return fmt.Errorf("process %d does", at.PID)
		}
		return nil
	})
}
