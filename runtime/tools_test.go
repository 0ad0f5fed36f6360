package runtime_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
	"holdfast/runtime/fake"
	"holdfast/runtime/oneshot"
)

// shot is a workload whose tasks are containers of their own.
func shot(name string, replicas int) edge.Workload {
	w := service(name, replicas)
	w.Serve = &edge.Serve{Model: name, Cost: 3 * time.Millisecond, OneShot: &edge.OneShot{}}
	return w
}

// request is what a tool is asked.
func request(t *testing.T, text string) string {
	t.Helper()
	input, _ := oip.BytesTensor("input", []int64{1}, [][]byte{[]byte(text)}, false) // the tests write UTF-8
	payload, err := oip.InferRequest{Inputs: []oip.Tensor{input}}.Payload()
	if err != nil {
		t.Fatal(err)
	}
	return string(payload.Body)
}

func TestSupervisor_Tool(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{shot("report", 2), modelServer("digits", 1)})
		settle(5 * time.Second)
		meta, ready, known := h.sup.Model("report")
		if !ready || !known || meta.Name != "report" || meta.Inputs[0].Datatype != "BYTES" {
			t.Errorf("got %+v, ready %v, known %v", meta, ready, known)
		}
		if got := h.lanes("shop/report"); got != 2 {
			t.Errorf("got %d lanes, want one for each replica", got)
		}
		answer, err := h.sup.Execute(t.Context(), task("report", request(t, "data")))
		if err != nil {
			t.Fatal(err)
		}
		wantContains(t, string(answer.Payload.Body), `"data":["data"]`, `"exit_code":0`)
		view := h.view("shop/report")
		if view.Ready != 2 || view.OneShot == nil || view.OneShot.Runs != 1 || view.OneShot.Cold != 0 {
			t.Errorf("got %+v, %+v", view, view.OneShot)
		}
		if err := h.sup.Restart(t.Context(), "shop/report"); err != nil {
			t.Error(err)
		}
		h.wantNoWarnings()
		h.end()
		if left, err := d.Remnants(context.Background()); err != nil || len(left) > 0 {
			t.Errorf("got %v, %v left behind", left, err)
		}
	})
}

func TestSupervisor_ToolThatCannotBeMade(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		broken := errors.New("no such image")
		d.StartError = func(edge.Workload) error { return broken }
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{shot("report", 1)})
		settle(5 * time.Second)
		if got := h.warning("start-failed", "shop/report"); got.Detail == "" || h.lanes("shop/report") != 0 {
			t.Errorf("got %+v and %d lanes, want why it is not ready", got, h.lanes("shop/report"))
		}
		if _, ready, known := h.sup.Model("report"); ready || !known {
			t.Errorf("got ready %v, known %v", ready, known)
		}
		broken = nil
		h.sup.Retry()
		settle(time.Second)
		if h.lanes("shop/report") != 1 {
			t.Error("not ready after a retry that succeeded")
		}
		h.wantNoWarnings()
	})
}

func TestSupervisor_ToolIsNoServer(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		d.Serve = honest
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{modelServer("report", 1)})
		settle(5 * time.Second)
		h.wantRunning(1)
		h.sup.Apply([]edge.Workload{shot("report", 1)})
		settle(20 * time.Second)
		h.wantRunning(0)
		if left, _ := d.Remnants(t.Context()); len(left) != 1 || h.lanes("shop/report") != 1 {
			t.Errorf("got %v that stand ready, %d lanes", left, h.lanes("shop/report"))
		}
		bad := shot("report", 3)
		bad.Serve.Endpoint = "unix:///run/model/model.sock"
		h.sup.Apply([]edge.Workload{bad})
		settle(5 * time.Second)
		if got := h.warning("spec-invalid", "shop/report"); got.Detail == "" || h.lanes("shop/report") != 1 {
			t.Errorf("got %+v and %d lanes, want the last usable spec in force", got, h.lanes("shop/report"))
		}
		h.sup.Apply([]edge.Workload{modelServer("report", 1)})
		settle(20 * time.Second)
		h.wantRunning(1)
		if left, _ := d.Remnants(t.Context()); len(left) != 0 || h.view("shop/report").OneShot != nil {
			t.Errorf("got %v that stand ready, %+v", left, h.view("shop/report"))
		}
		h.wantNoWarnings()
	})
}

func TestSupervisor_ToolWithoutDaemon(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{shot("report", 1)})
		settle(5 * time.Second)
		d.SetDaemon(false)
		h.sup.DaemonChanged(edge.DaemonReport{})
		settle(time.Second)
		if h.lanes("shop/report") != 0 {
			t.Error("it counts while nothing can be run")
		}
		d.SetDaemon(true)
		h.sup.DaemonChanged(edge.DaemonReport{Connected: true})
		settle(time.Second)
		if h.lanes("shop/report") != 1 {
			t.Error("it does not count when the daemon is back")
		}
		h.wantNoWarnings()
	})
}

// A tool that is late is killed, and a model that two workloads are to serve is neither's.
func TestSupervisor_ToolLate(t *testing.T) {
	bubble(t, func(t *testing.T, d *fake.Driver) {
		d.Tool = func(ctx context.Context, _ edge.Workload, _ oneshot.Order) oneshot.Result {
			<-ctx.Done()
			return oneshot.Result{}
		}
		h := newHouse(t, d)
		h.sup.Apply([]edge.Workload{shot("report", 1), modelServer("other", 1)})
		settle(5 * time.Second)
		late := task("report", request(t, "data"))
		late.Deadline = time.Now().Add(time.Second)
		begun := time.Now()
		if _, err := h.sup.Execute(t.Context(), late); !errors.Is(err, edge.ErrDeadline) || time.Since(begun) != time.Second {
			t.Errorf("got %v after %v, want %v at the deadline", err, time.Since(begun), edge.ErrDeadline)
		}
		twice := shot("twice", 1)
		twice.Serve.Model = "other"
		h.sup.Apply([]edge.Workload{modelServer("other", 1), twice})
		settle(time.Second)
		wantContains(t, h.warning("spec-invalid", "shop/twice").Detail, "already served")
	})
}
