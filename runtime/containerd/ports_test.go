package containerd_test

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge"
)

// publishing is a program that answers, at a port of the node.
func publishing(name string, port int, said string) edge.Workload {
	w := on("line", name, nil, "answer", said)
	w.Ports = []edge.Port{{Port: port, Target: 7000}}
	return w
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String()) // by its own words
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// ask returns what a port of the node says, or nothing.
func ask(host string, port int) string {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(port)), 2*time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	said, _ := io.ReadAll(conn) // what was said before it broke off
	return strings.TrimSpace(string(said))
}

// relays are the processes that serve the node's ports.
func (n *node) relays() (pids []int) {
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline") // well formed
	for _, name := range commands {
		text, _ := os.ReadFile(name) // gone: empty
		if strings.Contains(string(text), "\x00"+filepath.Join(n.opts.RunDir, "net", n.opts.Namespace, "relay")+"\x00") {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name))) // by the pattern
			pids = append(pids, pid)
		}
	}
	return pids
}

func (n *node) wantNoRelay(t *testing.T) {
	t.Helper()
	if err := await(t.Context(), func() bool { return len(n.relays()) == 0 }); err != nil {
		t.Errorf("relays %v are left", n.relays())
	}
}

func TestDriver_Ports(t *testing.T) {
	n := newNode(t)
	port := freePort(t)
	if got := ask("127.0.0.1", port); got != "" {
		t.Fatalf("got %q before anything is published", got)
	}
	old := n.start(t, publishing("web", port, "i am the old one"), "old")
	t.Run("OnLoopbackAlone", func(t *testing.T) {
		if got := ask("127.0.0.1", port); got != "i am the old one" {
			t.Fatalf("got %q", got)
		}
		addresses, stop := listenEverywhere(t)
		defer stop()
		for _, address := range addresses {
			host, _, _ := net.SplitHostPort(address) // as the kernel has it
			if got := ask(host, port); got != "" {
				t.Errorf("got %q at %s", got, host)
			}
		}
	})
	t.Run("Shown", func(t *testing.T) {
		want := []edge.Port{{Port: port, Target: 7000}}
		if got := n.instance(t, "old").Ports; !slices.Equal(got, want) || !slices.Equal(old.Ports, want) {
			t.Errorf("got %v and %v, want %v", got, old.Ports, want)
		}
	})
	t.Run("NoNetworkForThat", func(t *testing.T) {
		if got := n.calls(t, "line", nil, "192.0.2.1:53"); got != "192.0.2.1:53 unreachable\n" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("NextVersionBesideIt", func(t *testing.T) {
		n.start(t, publishing("web", port, "i am the new one"), "young")
		for _, ready := range []string{"old", "young"} {
			n.Offer(t.Context(), []string{ready})
			said := map[string]string{"old": "i am the old one", "young": "i am the new one"}[ready]
			for range 3 {
				if got := ask("127.0.0.1", port); got != said {
					t.Errorf("got %q with %s alone ready", got, ready)
				}
			}
		}
		n.Offer(t.Context(), []string{"old", "young"})
		seen := map[string]bool{}
		for range 4 {
			seen[ask("127.0.0.1", port)] = true
		}
		if !seen["i am the old one"] || !seen["i am the new one"] || len(seen) != 2 {
			t.Errorf("got %v, want both to answer", seen)
		}
		n.wantNoGap(t, port, func() {
			if err := n.Stop(t.Context(), "old", 5*time.Second); err != nil {
				t.Error(err)
			}
			if err := n.Remove(t.Context(), "old"); err != nil {
				t.Error(err)
			}
		})
		if got := ask("127.0.0.1", port); got != "i am the new one" {
			t.Errorf("got %q, want the one that is left", got)
		}
	})
	if err := n.Remove(t.Context(), "young"); err != nil {
		t.Fatal(err)
	}
	if got := ask("127.0.0.1", port); got != "" {
		t.Errorf("got %q of nobody", got)
	}
	n.wantNoRelay(t)
}

// wantNoGap asks a port all the time while something is done; every call is answered.
func (n *node) wantNoGap(t *testing.T, port int, do func()) {
	t.Helper()
	done, told := make(chan struct{}), make(chan [2]int)
	go func() {
		asked, missed := 0, 0
		for {
			select {
			case <-done:
				told <- [2]int{asked, missed}
				return
			default:
			}
			asked++
			if ask("127.0.0.1", port) == "" {
				missed++
			}
		}
	}()
	do()
	close(done)
	if got := <-told; got[0] < 10 || got[1] > 0 {
		t.Errorf("%d of %d calls were not answered, want none of at least ten", got[1], got[0])
	}
}

func TestDriver_PortsRefused(t *testing.T) {
	n := newNode(t)
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, text, _ := net.SplitHostPort(taken.Addr().String()) // by its own words
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("Taken", func(t *testing.T) {
		_, err := n.Start(t.Context(), publishing("web", port, "x"), "web")
		if !errors.Is(err, edge.ErrExists) || !strings.Contains(err.Error(), taken.Addr().String()) || !strings.Contains(edge.HintOf(err), "doctor") {
			t.Errorf("got %v (%s), want the port that is taken", err, edge.HintOf(err))
		}
		n.wantNoRelay(t)
	})
	t.Run("BesideTheHosts", func(t *testing.T) {
		w := publishing("web", freePort(t), "x")
		w.Security.HostNetwork = true
		if _, err := n.Start(t.Context(), w, "web"); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("got %v, want edge.ErrInvalid", err)
		}
	})
	t.Run("WithoutTheRight", func(t *testing.T) {
		complaint := errand{Node: n.place(), Workload: publishing("web", freePort(t), "x"), ID: "web"}.send(t)
		if !strings.Contains(complaint, "networks.conf") {
			t.Errorf("got %q, want what is missing", complaint)
		}
		n.wantNoRelay(t)
	})
}

// TestDriver_PortsSurvive: who published them may go, and so may the relay.
func TestDriver_PortsSurvive(t *testing.T) {
	n := newNode(t)
	port := freePort(t)
	w := publishing("web", port, "i am the web")
	rights := []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE}
	if complaint := (errand{Node: n.place(), Workload: w, ID: "web", More: rights}).send(t); complaint != "" {
		t.Fatal(complaint) // its agent has ended by now
	}
	relays := n.relays()
	if len(relays) != 1 {
		t.Fatalf("got relays %v, want one", relays)
	}
	answers := func() bool { return ask("127.0.0.1", port) == "i am the web" }
	if !answers() {
		t.Fatal("without an agent nobody answers")
	}
	t.Run("TakenOver", func(t *testing.T) {
		next := publishing("next", freePort(t), "i am the next")
		n.start(t, next, "next")
		if got := ask("127.0.0.1", next.Ports[0].Port); got != "i am the next" {
			t.Errorf("got %q of the one beside it", got)
		}
		if err := n.Remove(t.Context(), "next"); err != nil {
			t.Fatal(err)
		}
		if got := n.relays(); !slices.Equal(got, relays) || !answers() {
			t.Errorf("got relays %v, want %v as before", got, relays)
		}
	})
	t.Run("RelayKilled", func(t *testing.T) {
		if err := unix.Kill(relays[0], unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		n.wantNoRelay(t)
		n.sweepUntil(t, answers)
	})
	if err := n.Remove(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	n.wantNoRelay(t)
}
