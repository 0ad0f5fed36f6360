package runtime_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
	"holdfast/runtime/fake"
)

// health is what commands inside containers answer, by their last word.
type health struct {
	mu    sync.Mutex // guards what follows
	bad   map[string]bool
	asked map[string]int
}

func (h *health) set(name string, bad bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bad == nil {
		h.bad = map[string]bool{}
	}
	h.bad[name] = bad
}

func (h *health) count(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.asked[name]
}

func (h *health) command(_ context.Context, _ string, args []string) (edge.Exit, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asked == nil {
		h.asked = map[string]int{}
	}
	name := args[len(args)-1]
	h.asked[name]++
	if h.bad[name] {
		return edge.Exit{Code: 3}, "not well\n"
	}
	return edge.Exit{}, ""
}

// by is a probe that runs a command, every second and with two failures allowed.
func by(name string) *edge.Probe {
	return &edge.Probe{Exec: []string{"check", name}, Period: time.Second, Failures: 3}
}

// probed is a plain service that is started again always.
func probed(p edge.Probes) edge.Workload {
	w := service("till", 1)
	w.Restart, w.Probes = edge.RestartAlways, p
	return w
}

func (h *house) state(key string) edge.InstanceView {
	h.t.Helper()
	view := h.view(key)
	if len(view.Instances) != 1 {
		h.t.Fatalf("got %s, want one instance", describe(view))
	}
	return view.Instances[0]
}

func (h *house) wantState(key string, want edge.InstanceState) {
	h.t.Helper()
	if got := h.state(key); got.State != want {
		h.t.Errorf("%s: got %s (%s), want %s", key, got.State, got.Detail, want)
	}
}

func TestProbes_Startup(t *testing.T) {
	t.Run("GoesFirst", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			well := &health{}
			d.Command = well.command
			well.set("start", true)
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{probed(edge.Probes{Startup: by("start"), Readiness: by("ready"), Liveness: by("live")})})
			settle(1500 * time.Millisecond)
			h.wantState("shop/till", edge.InstanceStarting)
			wantContains(t, h.state("shop/till").Detail, "startup probe (check start): exited with code 3: not well")
			if well.count("ready")+well.count("live") != 0 {
				t.Error("others were asked before it")
			}
			well.set("start", false)
			settle(time.Second)
			h.wantState("shop/till", edge.InstanceReady)
			asked := well.count("start")
			settle(time.Minute)
			if got := well.count("start"); got != asked {
				t.Errorf("asked for its start %d times more", got-asked)
			}
			h.wantEvents(edge.EventInstanceReady, 1)
			h.wantEvents(edge.EventInstanceExited, 0)
		})
	})
	t.Run("GivenUpIsStartedAgain", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			well := &health{}
			d.Command = well.command
			well.set("start", true)
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{probed(edge.Probes{Startup: by("start")})})
			settle(time.Minute)
			if got := h.kinds()[edge.EventInstanceExited]; got < 3 {
				t.Errorf("got %d ends, want it to be started again and again", got)
			}
			wantContains(t, h.warning("crash-loop", "shop/till").Detail, "startup probe (check start)")
		})
	})
}

func TestProbes_Readiness(t *testing.T) {
	t.Run("GatesAPlainService", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			well := &health{}
			d.Command = well.command
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{probed(edge.Probes{Readiness: by("ready")})})
			settle(time.Second)
			h.wantState("shop/till", edge.InstanceReady)
			well.set("ready", true)
			settle(1900 * time.Millisecond)
			h.wantState("shop/till", edge.InstanceReady)
			settle(2 * time.Second)
			h.wantState("shop/till", edge.InstanceUnready)
			well.set("ready", false)
			settle(1100 * time.Millisecond)
			h.wantState("shop/till", edge.InstanceReady)
			settle(time.Hour)
			h.wantEvents(edge.EventInstanceUnready, 1)
			h.wantEvents(edge.EventInstanceExited, 0)
		})
	})
	t.Run("GatesTasks", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			well := &health{}
			d.Command, d.Serve = well.command, honest
			well.set("ready", true)
			h := newHouse(t, d)
			w := modelServer("digits", 1)
			w.Probes.Readiness = by("ready")
			h.sup.Apply([]edge.Workload{w})
			settle(5 * time.Minute) // it is its probe, and not its protocol, that keeps it out
			h.wantEvents(edge.EventInstanceExited, 0)
			if got := h.lanes("shop/digits"); got != 0 {
				t.Errorf("not ready: got %d lanes, want 0", got)
			}
			well.set("ready", false)
			settle(2 * time.Second)
			if _, err := h.sup.Execute(t.Context(), task("digits", "{}")); err != nil || h.lanes("shop/digits") != 1 {
				t.Errorf("ready: got %v and %d lanes, want an answer and 1", err, h.lanes("shop/digits"))
			}
			well.set("ready", true)
			settle(5 * time.Second)
			if got := h.lanes("shop/digits"); got != 0 {
				t.Errorf("not ready again: got %d lanes, want 0", got)
			}
		})
	})
	t.Run("GatesAnUpdate", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			well := &health{}
			d.Command = well.command
			h := newHouse(t, d)
			w := probed(edge.Probes{Readiness: by("ready")})
			h.sup.Apply([]edge.Workload{w})
			settle(time.Second)
			old := d.Running()[0]
			w.Image, w.Probes.Readiness = "registry.test/till:2", by("other")
			well.set("other", true)
			h.sup.Apply([]edge.Workload{w})
			settle(20 * time.Second) // after thirty it would be taken back
			if got := d.Running(); len(got) != 2 || len(d.Stopped()) != 0 {
				t.Errorf("not ready: got %v running and %v stopped, want %s beside the new one", got, d.Stopped(), old)
			}
			well.set("other", false)
			settle(2 * time.Second)
			if got := d.Stopped(); len(got) != 1 || got[0] != old {
				t.Errorf("ready: got %v stopped, want %s", got, old)
			}
		})
	})
}

func TestProbes_Liveness(t *testing.T) {
	t.Run("FailureStartsAgain", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			well := &health{}
			d.Command = well.command
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{probed(edge.Probes{Liveness: by("live")})})
			settle(20 * time.Second)
			first := d.Running()[0]
			well.set("live", true)
			settle(2500 * time.Millisecond)
			well.set("live", false) // a moment after the third failure the new one is asked
			settle(10 * time.Second)
			h.wantEvents(edge.EventInstanceExited, 1)
			if got := d.Running(); len(got) != 1 || got[0] == first || h.state("shop/till").Restarts != 1 {
				t.Errorf("got %v, want another than %s", got, first)
			}
			if got := d.Stopped(); len(got) != 1 {
				t.Errorf("got %v stopped, want it asked to end", got)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			for _, e := range h.events {
				if e.Kind == edge.EventInstanceExited {
					wantContains(t, e.Cause, "liveness probe (check live): exited with code 3: not well")
				}
			}
		})
	})
	t.Run("OneNotToBeRestartedIsKept", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			well := &health{}
			d.Command = well.command
			h := newHouse(t, d)
			w := probed(edge.Probes{Startup: by("live"), Liveness: by("live")})
			w.Restart = edge.RestartNo
			well.set("live", true)
			h.sup.Apply([]edge.Workload{w})
			settle(time.Minute)
			h.wantState("shop/till", edge.InstanceStarting)
			well.set("live", false)
			settle(2 * time.Second)
			h.wantState("shop/till", edge.InstanceReady)
			well.set("live", true)
			settle(time.Minute)
			h.wantState("shop/till", edge.InstanceUnready)
			well.set("live", false)
			settle(2 * time.Second)
			h.wantState("shop/till", edge.InstanceReady)
			h.wantEvents(edge.EventInstanceExited, 0)
		})
	})
	t.Run("AbsenceOfTheDaemonIsNoFailure", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			well := &health{}
			d.Command = well.command
			h := newHouse(t, d)
			h.sup.Apply([]edge.Workload{probed(edge.Probes{Liveness: by("live")})})
			settle(time.Second)
			d.SetDaemon(false)
			settle(time.Hour)
			d.SetDaemon(true)
			h.sup.DaemonChanged(edge.DaemonReport{Connected: true})
			settle(time.Minute)
			h.wantEvents(edge.EventInstanceExited, 0)
		})
	})
	t.Run("HaltedIsNotAsked", func(t *testing.T) {
		bubble(t, func(t *testing.T, d *fake.Driver) {
			well := &health{}
			d.Command = well.command
			h, id := suspending(t, d, nil)
			w := h.view("shop/digits").Workload
			w.Probes.Liveness = by("live") // in place: nothing is started anew
			h.sup.Apply([]edge.Workload{w})
			settle(5 * time.Second)
			asked := well.count("live")
			if asked == 0 {
				t.Fatal("the new probe was not asked")
			}
			one := task("digits", "{}")
			ended := h.execute(one)
			if err := h.sup.Suspend(t.Context(), one); err != nil {
				t.Fatal(err)
			}
			well.set("live", true)
			settle(time.Minute)
			if got := well.count("live"); got > asked+1 {
				t.Errorf("halted: asked %d times", got-asked)
			}
			h.wantHalted(id, true)
			well.set("live", false)
			h.sup.Resume(t.Context(), one)
			if got := <-ended; got.err != nil {
				t.Errorf("got %v, want an answer", got.err)
			}
			settle(time.Minute)
			h.wantEvents(edge.EventInstanceExited, 0)
			h.wantEvents(edge.EventInstanceStarted, 1)
		})
	})
}

// TestProbes_Change: other questions are asked of the same instance.
func TestProbes_Change(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		well := &health{}
		d.Command = well.command
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{probed(edge.Probes{Readiness: by("a")})})
		settle(time.Second)
		well.set("b", true)
		h.sup.Apply([]edge.Workload{probed(edge.Probes{Readiness: by("b")})})
		synctest.Wait()
		h.wantState("shop/till", edge.InstanceReady)
		settle(time.Minute)
		h.wantState("shop/till", edge.InstanceUnready)
		asked := well.count("a")
		h.sup.Apply([]edge.Workload{probed(edge.Probes{})})
		settle(time.Minute)
		h.wantState("shop/till", edge.InstanceReady)
		if well.count("a") != asked {
			t.Error("the former question is still asked")
		}
		h.wantEvents(edge.EventInstanceStarted, 1)
	})
}

// TestProbes_ChangeMeanwhile: an instance that stood in for another version is asked what
// the workload asks by now.
func TestProbes_ChangeMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		well := &health{}
		d.Command = well.command
		d.StartError = func(w edge.Workload) error {
			if w.Image == broken {
				return errors.New("there is no such image")
			}
			return nil
		}
		well.set("a", true)
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{probed(edge.Probes{Readiness: by("a")})})
		settle(time.Minute)
		h.wantState("shop/till", edge.InstanceStarting)
		other := probed(edge.Probes{Readiness: by("a")})
		other.Image = broken
		h.sup.Apply([]edge.Workload{other})
		settle(time.Minute)
		h.sup.Apply([]edge.Workload{probed(edge.Probes{})})
		settle(time.Minute)
		h.wantState("shop/till", edge.InstanceReady)
		h.wantEvents(edge.EventInstanceStarted, 1)
	})
}

// TestProbes_Ways asks by HTTP and TCP.
func TestProbes_Ways(t *testing.T) {
	for name, c := range map[string]struct {
		probe  edge.Probe
		status int32
		closed bool
		want   edge.InstanceState
		detail string
	}{
		"HTTPGood":     {edge.Probe{HTTP: "/healthz", Port: 8080}, 204, false, edge.InstanceReady, ""},
		"HTTPRedirect": {edge.Probe{HTTP: "/healthz", Port: 8080}, 302, false, edge.InstanceReady, ""},
		"HTTPBad":      {edge.Probe{HTTP: "/healthz", Port: 8080}, 503, false, edge.InstanceStarting, "readiness probe (GET :8080/healthz): answers 503"},
		"HTTPNobody":   {edge.Probe{HTTP: "/healthz", Port: 8080}, 200, true, edge.InstanceStarting, "connection refused"},
		"HTTPElse":     {edge.Probe{HTTP: "/other", Port: 8080}, 200, false, edge.InstanceStarting, "answers 404"},
		"HTTPSilent":   {edge.Probe{HTTP: "/silent", Port: 8080}, 200, false, edge.InstanceStarting, "no answer within 1s"},
		"TCPGood":      {edge.Probe{Port: 8080}, 500, false, edge.InstanceReady, ""},
		"TCPBad":       {edge.Probe{Port: 8080}, 200, true, edge.InstanceStarting, "readiness probe (TCP port 8080): connection refused"},
		"ExecSlow":     {edge.Probe{Exec: []string{"slow"}}, 200, false, edge.InstanceStarting, "readiness probe (slow): no answer within 1s"},
		"NoSocket":     {edge.Probe{HTTP: "/healthz"}, 200, false, edge.InstanceStarting, "no socket"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, d *fake.Driver) {
				d.Command = func(ctx context.Context, _ string, _ []string) (edge.Exit, string) {
					<-ctx.Done()
					return edge.Exit{}, ""
				}
				var status atomic.Int32
				status.Store(c.status)
				h := newHouse(t, d)
				h.port = func() (net.Conn, error) {
					if c.closed {
						return nil, errors.New("connection refused")
					}
					ours, theirs := net.Pipe()
					go serveOnce(theirs, &status)
					return ours, nil
				}
				h.sup.Apply([]edge.Workload{probed(edge.Probes{Readiness: &c.probe})})
				settle(5 * time.Second)
				h.wantState("shop/till", c.want)
				wantContains(t, h.state("shop/till").Detail, c.detail)
			})
		})
	}
}

// serveOnce answers one request at /healthz.
func serveOnce(conn net.Conn, status *atomic.Int32) {
	defer conn.Close()
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		return
	}
	code := http.StatusNotFound
	switch request := string(buf[:n]); {
	case len(request) > 12 && request[:12] == "GET /healthz":
		code = int(status.Load())
	case len(request) > 11 && request[:11] == "GET /silent":
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 "+strconv.Itoa(code)+" x\r\nContent-Length: 0\r\n\r\n")
}

// TestProbes_Server asks a model server at its socket, on its lane.
func TestProbes_Server(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		var alive atomic.Bool
		alive.Store(true)
		d.Serve = func(w edge.Workload, id string) http.Handler {
			model, mux := honest(w, id), http.NewServeMux()
			mux.HandleFunc("/live", func(w http.ResponseWriter, _ *http.Request) {
				if !alive.Load() {
					w.WriteHeader(http.StatusInternalServerError)
				}
			})
			mux.Handle("/", model)
			return mux
		}
		h := newHouse(t, d)
		w := modelServer("digits", 1)
		w.Restart = edge.RestartAlways
		w.Probes.Liveness = &edge.Probe{HTTP: "/live", Period: time.Second}
		h.sup.Apply([]edge.Workload{w})
		settle(time.Minute)
		h.wantState("shop/digits", edge.InstanceReady)
		h.wantEvents(edge.EventInstanceExited, 0)
		alive.Store(false)
		settle(10 * time.Second)
		if got := h.kinds()[edge.EventInstanceExited]; got == 0 {
			t.Error("got no end, want it started again")
		}
	})
}
