package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// TestMain lets the tests' own program be started as one that forwards.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "forward" {
		if forward(context.Background(), os.Args[2:]) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestForward: what one side says the other hears, to the end.
func TestForward(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		line, _ := bufio.NewReader(conn).ReadString('\n')
		_, _ = conn.Write([]byte("heard " + line))
	}()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "forward", listener.Addr().String())
	cmd.Stdin = strings.NewReader("hello\n")
	out, err := cmd.Output()
	if err != nil || string(out) != "heard hello\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if err := exec.CommandContext(t.Context(), program, "forward", "127.0.0.1:1").Run(); err == nil {
		t.Error("it forwards to where nobody is")
	}
}

// emulated answers at a socket as QEMU's monitor does, and returns what it was told.
func emulated(t *testing.T, answers ...string) (socket string, told <-chan string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "monitor")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	heard := make(chan string, len(answers)+1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte(`{"QMP": {"version": {}, "capabilities": []}}` + "\r\n"))
		lines := bufio.NewScanner(conn)
		for _, answer := range append([]string{`{"return": {}}`}, answers...) {
			if !lines.Scan() {
				return
			}
			heard <- lines.Text()
			_, _ = conn.Write([]byte(answer + "\r\n"))
		}
	}()
	return socket, heard
}

// TestMonitor: QEMU's answers are told from its events, and its refusals are errors.
func TestMonitor(t *testing.T) {
	socket, told := emulated(t, `{"event": "NIC_RX_FILTER_CHANGED", "timestamp": {}}`+"\n"+`{"return": {}}`, `{"error": {"class": "GenericError", "desc": "there is no such card"}}`)
	m, err := dialMonitor(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.plug(t.Context(), true); err != nil {
		t.Error(err)
	}
	if err := m.picture(t.Context(), "x.png"); err == nil || !strings.Contains(err.Error(), "there is no such card") {
		t.Errorf("got %v, want QEMU's own words", err)
	}
	for _, want := range []string{`"qmp_capabilities"`, `"up":true`, `"screendump"`} {
		line := <-told
		var order struct{ Arguments map[string]any }
		if err := json.Unmarshal([]byte(line), &order); err != nil || order.Arguments == nil || !strings.Contains(line, want) {
			t.Errorf("QEMU was told %q, want %s, and arguments, which may be none", line, want)
		}
	}
	if err := m.do(t.Context(), "cont", nil); err == nil {
		t.Error("got nothing of a monitor that is gone")
	}
}

// TestWatch: what is waited for is seen when it is told, and a machine that ends, or takes
// too long, is an error that says what was not seen.
func TestWatch(t *testing.T) {
	ready := func(now *seen) bool { return now.boot == "b" }
	line := told{what: "boot", rest: "b"}
	t.Run("Seen", func(t *testing.T) {
		w := newWatch(false)
		go func() { _, _ = w.add(line) }()
		if _, err := w.until(t.Context(), "it started", time.Minute, ready); err != nil {
			t.Error(err)
		}
	})
	t.Run("Ended", func(t *testing.T) {
		w := newWatch(false)
		go w.end(errEnded)
		if _, err := w.until(t.Context(), "it started", time.Minute, ready); !errors.Is(err, errEnded) || !strings.Contains(err.Error(), "it started") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("Never", func(t *testing.T) {
		if _, err := newWatch(false).until(t.Context(), "it started", time.Millisecond, ready); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// TestStory_Same: a machine that was started anew, or whose instances were, is found.
func TestStory_Same(t *testing.T) {
	running := func(boot string, pid uint32) seen {
		instance := edge.InstanceView{Instance: edge.Instance{PID: pid, Running: true}}
		return seen{boot: boot, status: edge.Status{Workloads: []edge.WorkloadView{{Instances: []edge.InstanceView{instance}}}}}
	}
	for name, c := range map[string]struct {
		now  seen
		want string
	}{
		"Same":     {running("b", 7), ""},
		"Started":  {running("c", 7), "it was started anew"},
		"Replaced": {running("b", 8), "its instances are [8], they were [7]"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatch(false)
			w.now = c.now
			w.now.work++
			p := &place{arch: arch{name: "armv7"}}
			err := (&story{d: &desk{p: p}, w: w, first: running("b", 7)}).same(t.Context(), c.now, "")
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestDesk: the site file and what it names are what a gateway takes, and the token counts at
// the broker.
func TestDesk(t *testing.T) {
	dir := t.TempDir()
	p := &place{arch: arches()[0], out: dir, work: dir}
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d := &desk{p: p, dir: dir}
	if err := d.users(t.Context()); err == nil {
		t.Error("a site file was made without the root document that it names")
	}
	if err := errors.Join(os.Remove(d.path("site/line-3.yaml")), d.authority(t.Context()), os.WriteFile(d.path("site/policy.json"), []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := d.users(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := holdfast(t.Context(), "site", "check", d.path("site/line-3.yaml")); err == nil || !strings.Contains(err.Error(), "policy") {
		t.Errorf("got %v, want nothing but the policy to be wrong", err)
	}
	text, err := os.ReadFile(d.path("users"))
	if err != nil || strings.Count(string(text), "\n") != 2 || !strings.HasPrefix(string(text), nodeName+":") {
		t.Errorf("got users %q, %v", text, err)
	}
}

// TestIndented: what comes in pieces is shown in lines.
func TestIndented(t *testing.T) {
	var out bytes.Buffer
	w := &indented{to: &out}
	for _, piece := range []string{"NODE  ", "IS\ngw", "-1\nrest"} {
		if n, err := w.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Errorf("got %d, %v of %q", n, err, piece)
		}
	}
	if got := out.String(); got != "    NODE  IS\n    gw-1\n" {
		t.Errorf("got %q", got)
	}
}

// TestSeen_Inside: what tests on the gateway told is counted, and a step that failed or was
// not run is named.
func TestSeen_Inside(t *testing.T) {
	steps := []insideStep{{name: "service"}, {name: "driver"}}
	s := &seen{}
	for _, line := range []string{
		"1 line service --- PASS: TestOne (0.1s)", "2 line service     --- PASS: TestOne/Part (0.1s)", "3 ran service 0",
		"4 line driver --- FAIL: TestTwo (0.1s)", "5 disk 100 10 3", "65 disk 2148 10 5",
	} {
		one, err := parseTold(line, time.Second)
		if err == nil {
			err = s.add(one)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	err := s.judgeInside("amd64", steps)
	if err == nil || !strings.Contains(err.Error(), "step driver: run to its end: false") || strings.Contains(err.Error(), "step service") {
		t.Errorf("got %v", err)
	}
	var out bytes.Buffer
	s.printDisk(&out)
	if !strings.Contains(out.String(), "60 s: 1024 KiB to the data partition in 2 writes, which is 60.0 MiB an hour; 0 KiB to the boot partition") {
		t.Errorf("got %s", &out)
	}
}
