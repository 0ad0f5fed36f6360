package netns_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/edge"
	"holdfast/edge/netns"
)

// alone starts a process with a network of its own.
func alone(t *testing.T) uint32 {
	t.Helper()
	cmd := exec.Command("sleep", "infinity")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(cmd.Process.Kill(), cmd.Wait()); err == nil {
			t.Error("it ended by itself")
		}
	})
	return uint32(cmd.Process.Pid)
}

// addresses are those there are where it is called.
func addresses(t *testing.T) []string {
	t.Helper()
	found, err := net.InterfaceAddrs()
	if err != nil {
		t.Error(err)
	}
	var texts []string
	for _, address := range found {
		texts = append(texts, address.String())
	}
	return texts
}

func TestDo(t *testing.T) {
	there := alone(t)
	number, err := netns.Of(there)
	if err != nil {
		t.Fatal(err)
	}
	before := addresses(t)
	if len(before) == 0 {
		t.Fatal("the host has no address, or nothing could be told from there being none")
	}
	t.Run("Elsewhere", func(t *testing.T) {
		var seen []string
		if err := netns.Do(there, number, func() error { seen = addresses(t); return nil }); err != nil || len(seen) > 0 {
			t.Errorf("got %v, %v, want no address in a new network", seen, err)
		}
		if after := addresses(t); !slices.Equal(after, before) {
			t.Errorf("got %v, want %v as before", after, before)
		}
	})
	t.Run("TellsWhatItWasTold", func(t *testing.T) {
		if err := netns.Do(there, 0, func() error { return edge.ErrNoRoom }); !errors.Is(err, edge.ErrNoRoom) {
			t.Errorf("got %v, want edge.ErrNoRoom", err)
		}
	})
	t.Run("AnotherNetwork", func(t *testing.T) {
		called := false
		err := netns.Do(uint32(os.Getpid()), number, func() error { called = true; return nil })
		if !errors.Is(err, edge.ErrNotFound) || called {
			t.Errorf("got %v, called %t, want edge.ErrNotFound for a process that is another", err, called)
		}
	})
	t.Run("Gone", func(t *testing.T) {
		const nobody = 1<<22 + 1 // above all that the kernel gives
		if _, err := netns.Of(nobody); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("got %v, want edge.ErrNotFound", err)
		}
		if err := netns.Do(nobody, 0, func() error { return nil }); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("got %v, want edge.ErrNotFound", err)
		}
	})
}

// listening starts a server in the network of a process, and returns its port.
func listening(t *testing.T, there uint32, network, host string) int {
	t.Helper()
	var listener net.Listener
	err := netns.Do(there, 0, func() (err error) {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			return fmt.Errorf("cannot raise loopback: %w: %s", err, out)
		}
		listener, err = net.Listen(network, net.JoinHostPort(host, "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	_, text, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func TestDial(t *testing.T) {
	there := alone(t)
	number, err := netns.Of(there)
	if err != nil {
		t.Fatal(err)
	}
	for network, host := range map[string]string{"tcp4": "127.0.0.1", "tcp6": "::1"} {
		t.Run(network, func(t *testing.T) {
			port := listening(t, there, network, host)
			conn, err := netns.Dial(t.Context(), there, number, port)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			if conn, err := netns.Dial(t.Context(), uint32(os.Getpid()), 0, port); err == nil {
				conn.Close()
				t.Error("reached from the host as well, so nothing is shown")
			}
		})
	}
	t.Run("NobodyListens", func(t *testing.T) {
		port := listening(t, there, "tcp4", "127.0.0.2")
		if _, err := netns.Dial(t.Context(), there, number, port); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("got %v, want %v", err, unix.ECONNREFUSED)
		}
	})
	t.Run("NobodyWaits", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := netns.Dial(ctx, there, number, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
	})
	t.Run("AnotherNetwork", func(t *testing.T) {
		if _, err := netns.Dial(t.Context(), uint32(os.Getpid()), number, 1); !errors.Is(err, edge.ErrNotFound) {
			t.Errorf("got %v, want %v", err, edge.ErrNotFound)
		}
	})
}
