package host_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/edge/host"
)

func TestCheck_ClockSync(t *testing.T) {
	for name, c := range map[string]struct {
		state  int
		status int32
		err    error
		want   host.Level
	}{
		"Right":     {0, 0, nil, host.LevelOK},
		"Error":     {5, 0, nil, host.LevelWarn},
		"Alone":     {0, unix.STA_UNSYNC, nil, host.LevelWarn},
		"Forbidden": {0, 0, unix.EPERM, host.LevelWarn},
	} {
		t.Run(name, func(t *testing.T) {
			o := sound(t, gateway).WithTick(func(status *unix.Timex) (int, error) {
				status.Status = c.status
				return c.state, c.err
			})
			if got := check(t, o)["clock-sync"]; got.Level != c.want {
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
}

func TestCheck_ClockJump(t *testing.T) {
	o := sound(t, gateway)
	write(t, filepath.Join(o.StateDir, "state.db"), "")
	for ahead, want := range map[time.Duration]host.Level{-time.Hour: host.LevelOK, time.Minute: host.LevelOK, time.Hour: host.LevelWarn} {
		at := o.Now.Add(ahead)
		if err := os.Chtimes(filepath.Join(o.StateDir, "state.db"), at, at); err != nil {
			t.Fatal(err)
		}
		if got := check(t, o)["clock-jump"]; got.Level != want {
			t.Errorf("%v ahead: got %+v, want %s", ahead, got, want)
		}
	}
}

func TestCheck_Shim(t *testing.T) {
	for name, c := range map[string]struct {
		script, daemon string
		want           host.Level
	}{
		"Same":         {"echo '  Version:  v2.2.1'", "v2.2.9", host.LevelOK},
		"OlderThan":    {"echo '  Version:  1.7.24'", "v2.2.9", host.LevelOK},
		"NewerThan":    {"echo '  Version:  v2.2.1'", "1.6.20~ds1", host.LevelWarn},
		"NoDaemon":     {"echo '  Version:  v2.2.1'", "", host.LevelOK},
		"SaysNothing":  {"true", "v2.2.9", host.LevelOK},
		"ManyDigits":   {"echo '  Version:  99999999999999999999.1.1'", "v2.2.9", host.LevelWarn},
		"Failing":      {"exit 3", "v2.2.9", host.LevelFail},
		"StrangeWords": {"echo '  Version:  v2.2.1'", "unknown", host.LevelOK},
	} {
		t.Run(name, func(t *testing.T) {
			o := sound(t, gateway)
			o.ContainerdVersion = c.daemon
			write(t, o.Shim, "#!/bin/sh\n"+c.script+"\n")
			if got := check(t, o)["shim"]; got.Level != c.want {
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
	t.Run("BesideTheDaemon", func(t *testing.T) {
		o := sound(t, gateway)
		o.Shim, o.Beside = "", filepath.Join(t.TempDir(), "containerd")
		write(t, filepath.Join(filepath.Dir(o.Beside), "containerd-shim-runc-v2"), "#!/bin/sh\necho '  Version: v2.0.1'\n")
		if got := check(t, o)["shim"]; got.Level != host.LevelOK || !strings.Contains(got.Detail, "2.0.1") {
			t.Errorf("got %+v, want version 2.0.1", got)
		}
	})
}

func TestCheck_Ports(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unused := free.Addr().String()
	free.Close()
	for name, c := range map[string]struct {
		address string
		owner   int
		want    host.Level
	}{
		"Taken":      {listener.Addr().String(), 0, host.LevelFail},
		"Ours":       {listener.Addr().String(), os.Getpid(), host.LevelOK},
		"Free":       {unused, 0, host.LevelOK},
		"NotListens": {unused, os.Getpid(), host.LevelWarn},
		"Any":        {"127.0.0.1:0", 0, host.LevelOK},
		"NoAddress":  {"7433", 0, host.LevelFail},
	} {
		t.Run(name, func(t *testing.T) {
			got := check(t, host.CheckOptions{
				StateDir: t.TempDir(), RunDir: t.TempDir(), Ports: []host.Port{{Code: "api-port", Address: c.address, Owner: c.owner}},
			})["api-port"]
			if got.Level != c.want {
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
}

// TestCheck_Hanging has a question that nobody answers: the others are heard all the same.
func TestCheck_Hanging(t *testing.T) {
	o := sound(t, gateway)
	o.Patience = 300 * time.Millisecond
	gone := make(chan struct{})
	t.Cleanup(func() { close(gone) })
	o = o.WithTick(func(*unix.Timex) (int, error) { <-gone; return 0, nil })
	got := check(t, o)
	if f := got["clock-sync"]; f.Level != host.LevelFail || !strings.Contains(f.Detail, "hangs") {
		t.Errorf("got %+v, want that it hangs", f)
	}
	if f := got["kernel"]; f.Level != host.LevelOK {
		t.Errorf("got %+v, want ok", f)
	}
}
