package fake_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/runtime"
	"holdfast/runtime/drivertest"
	"holdfast/runtime/fake"
	"holdfast/runtime/oneshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// behave is a process that does as its command says.
func behave(ctx context.Context, stop <-chan struct{}, w edge.Workload) edge.Exit {
	switch w.Command[0] {
	case "exit":
		code, _ := strconv.Atoi(w.Command[1])
		return edge.Exit{Code: uint32(code)}
	case "eat":
		return edge.Exit{Code: 137, Signal: "SIGKILL", OOM: true}
	case "ignore":
		stop = nil
	}
	select {
	case <-ctx.Done():
	case <-stop:
	}
	return edge.Exit{}
}

// command is a command that does as it says.
func command(ctx context.Context, _ string, args []string) (edge.Exit, string) {
	switch args[0] {
	case "exit":
		code, _ := strconv.Atoi(args[1])
		return edge.Exit{Code: uint32(code)}, ""
	case "hang":
		<-ctx.Done()
	}
	return edge.Exit{}, strings.Join(args[1:], " ")
}

// work is a tool that does as its command says.
func work(ctx context.Context, w edge.Workload, order oneshot.Order) oneshot.Result {
	switch w.Command[0] {
	case "fail":
		code, _ := strconv.Atoi(w.Command[1])
		return oneshot.Result{Exit: edge.Exit{Code: uint32(code)}}
	case "hang":
		<-ctx.Done()
	}
	return oneshot.Result{Output: order.Input}
}

func tool(command ...string) edge.Workload {
	w := workload("tool", command...)
	w.Serve = &edge.Serve{Model: "tool", OneShot: &edge.OneShot{}}
	return w
}

// talk is what every container has written.
func talk(string) string { return "line 0\nline 1\nline 2\nline 3\nline 4\nready\n" }

func workload(image string, command ...string) edge.Workload {
	return edge.Workload{App: "check", Name: "one", Image: image, Command: command}
}

func TestDriver(t *testing.T) {
	drivertest.Suite(t, func(t *testing.T) drivertest.Bench {
		d := &fake.Driver{Main: behave, Command: command, Tool: work, Log: talk, StartError: func(w edge.Workload) error {
			if w.Image == "unknown" {
				return edge.WithHint(edge.ErrNotFound, "import it")
			}
			return nil
		}}
		t.Cleanup(d.Close)
		return drivertest.Bench{
			Driver: d,
			Again: func() runtime.Driver {
				d.Renew()
				return d
			},
			Halted: d.Halted,
			Elsewhere: func() runtime.Driver {
				other := &fake.Driver{Main: behave}
				t.Cleanup(other.Close)
				return other
			},
			Bounce: func(context.Context) error {
				d.SetDaemon(false)
				d.SetDaemon(true)
				return nil
			},
			Tools: &drivertest.Tools{
				Echo: func() edge.Workload { return tool("echo") },
				Fail: func(code int) edge.Workload { return tool("fail", strconv.Itoa(code)) },
				Hang: func() edge.Workload { return tool("hang") },
			},
			Commands: &drivertest.Commands{
				Exit: func(code int) []string { return []string{"exit", strconv.Itoa(code)} },
				Says: []string{"say", "a word"}, Hangs: []string{"hang"},
			},
			Workloads: drivertest.Workloads{
				Talk:       func(int) edge.Workload { return workload("known", "sleep") },
				Exit:       func(code int) edge.Workload { return workload("known", "exit", strconv.Itoa(code)) },
				Sleep:      func() edge.Workload { return workload("known", "sleep") },
				IgnoreTerm: func() edge.Workload { return workload("known", "ignore") },
				Unknown:    func() edge.Workload { return workload("unknown", "sleep") },
				EatMemory:  func() edge.Workload { return workload("known", "eat") },
			},
		}
	})
}

func TestDriver_SetDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fake.Driver{Main: behave}
		defer d.Close()
		if _, err := d.Start(t.Context(), workload("known", "sleep"), "a"); err != nil {
			t.Fatal(err)
		}
		d.SetDaemon(false)
		_, list := d.Instances(t.Context())
		_, start := d.Start(t.Context(), workload("known", "sleep"), "b")
		_, usage := d.Usage(t.Context(), "a")
		for verb, err := range map[string]error{
			"list": list, "start": start, "usage": usage,
			"stop": d.Stop(t.Context(), "a", time.Second), "remove": d.Remove(t.Context(), "a"),
		} {
			if !errors.Is(err, edge.ErrUnavailable) {
				t.Errorf("%s: got %v, want unavailable", verb, err)
			}
		}
		waited := make(chan edge.Exit, 1)
		go func() {
			exit, _ := d.Wait(t.Context(), "a")
			waited <- exit
		}()
		d.Exit("a", edge.Exit{Code: 5})
		synctest.Wait()
		if len(waited) > 0 {
			t.Error("Wait told of an end while the daemon was away")
		}
		d.SetDaemon(true)
		if got := <-waited; got.Code != 5 {
			t.Errorf("code: got %d, want 5", got.Code)
		}
	})
}

func TestDriver_Events(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fake.Driver{Main: behave}
		defer d.Close()
		d.SetDaemon(false)
		ctx, cancel := context.WithCancel(t.Context())
		var heard []edge.InstanceEventKind
		ended := make(chan error, 1)
		go func() {
			ended <- d.Events(ctx, func(event edge.InstanceEvent) { heard = append(heard, event.Kind) })
		}()
		check := func(want ...edge.InstanceEventKind) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(heard, want) {
				t.Errorf("got %v, want %v", heard, want)
			}
		}
		check()
		d.SetDaemon(true)
		check(edge.InstanceEventGap)
		if _, err := d.Start(t.Context(), workload("known", "sleep"), "a"); err != nil {
			t.Fatal(err)
		}
		d.SetDaemon(false)
		d.Vanish("a") // nobody hears of it
		synctest.Wait()
		d.SetDaemon(true)
		check(edge.InstanceEventGap, edge.InstanceStarted, edge.InstanceEventGap)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("got %v from events whose context ended", err)
		}
	})
}

func TestDriver_Serve(t *testing.T) {
	dir, err := os.MkdirTemp("", "fake")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	model := func(w edge.Workload, _ string) http.Handler { return &fake.Model{Names: w.Serve.Models()} }
	for name, d := range map[string]*fake.Driver{"Memory": {Serve: model}, "Socket": {Serve: model, Dir: dir}} {
		t.Run(name, func(t *testing.T) {
			defer d.Close()
			w := workload("known", "sleep")
			w.Serve = &edge.Serve{Model: "m"}
			inst, err := d.Start(t.Context(), w, "a")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(inst.Socket); (err == nil) != (d.Dir != "") {
				t.Errorf("socket file: got %v", err)
			}
			if d.Dir != "" {
				return // the supervisor's tests speak to it
			}
			conn, err := d.Dial(t.Context(), inst.Socket)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, "GET /v2/models/m HTTP/1.0\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(conn); !strings.Contains(string(got), `"name":"m"`) {
				t.Errorf("metadata: got %q", got)
			}
			d.Exit("a", edge.Exit{})
			if _, err := d.Wait(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Dial(t.Context(), inst.Socket); err == nil {
				t.Error("dial of a dead server: got a connection")
			}
		})
	}
}
