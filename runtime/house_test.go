package runtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/runtime"
	"holdfast/runtime/fake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a supervisor on a fake driver, and everything it has told.
type house struct {
	t      testing.TB
	driver *fake.Driver
	sup    *runtime.Supervisor
	cancel context.CancelFunc
	done   chan error
	slow   time.Duration            // how long it takes to hear of pools
	port   func() (net.Conn, error) // what listens on the ports of instances; nil: nothing

	guarded atomic.Bool // somebody else takes versions back
	forbids string      // no version of this image may run again

	mu       sync.Mutex // guards what follows
	events   []edge.Event
	warnings map[string]edge.Warning // by code and subject
	raised   []edge.Warning
	pools    []edge.Pool
	kept     map[string]edge.Versions // what an agent would find after a power cut
	keeps    int
}

// newHouse starts a supervisor. It ends, before the driver does, with the test.
func newHouse(t testing.TB, driver *fake.Driver) *house {
	t.Helper()
	h := &house{t: t, driver: driver}
	h.begin(nil)
	t.Cleanup(h.end)
	return h
}

// begin starts a supervisor that finds what an earlier one has kept.
func (h *house) begin(kept map[string]edge.Versions) {
	h.t.Helper()
	t, driver := h.t, h.driver
	h.mu.Lock()
	h.warnings, h.done, h.kept = make(map[string]edge.Warning), make(chan error, 1), kept
	h.mu.Unlock()
	opts := runtime.Options{
		Driver: driver, Event: h.event, Warn: h.warn, Clear: h.clear, Pools: h.count,
		Versions: kept, Keep: h.keep, Permit: h.permit, Guarded: func(string) bool { return h.guarded.Load() },
		Jitter: func() float64 { return 0.5 },
	}
	opts.DialPort = func(context.Context, edge.Instance, int) (net.Conn, error) {
		if h.port == nil {
			return nil, syscall.ECONNREFUSED
		}
		return h.port()
	}
	if driver.Dir == "" {
		opts.Dial = driver.Dial
	}
	sup, err := runtime.New(opts)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	h.sup = sup
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	go func() { h.done <- sup.Run(ctx) }()
}

// again ends the supervisor and starts another, which finds what it has kept.
func (h *house) again() {
	h.t.Helper()
	h.end()
	h.mu.Lock()
	kept := h.kept
	h.mu.Unlock()
	h.begin(kept)
}

// keep takes what is to be kept through the encoding it is kept in.
func (h *house) keep(versions map[string]edge.Versions) {
	text, err := json.Marshal(versions)
	if err != nil {
		h.t.Errorf("encode versions: %v", err)
	}
	kept := make(map[string]edge.Versions)
	if err := json.Unmarshal(text, &kept); err != nil {
		h.t.Errorf("decode versions: %v", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept = kept
	h.keeps++
}

func (h *house) permit(w edge.Workload) error {
	if h.forbids != "" && w.Image == h.forbids {
		return errors.New("its image is not allowed")
	}
	return nil
}

// end ends Run and waits for it.
func (h *house) end() {
	if h.done == nil {
		return
	}
	h.cancel()
	if err := <-h.done; err != nil {
		h.t.Errorf("Run: got %v, want nil", err)
	}
	h.done = nil
}

func (h *house) event(e edge.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *house) warn(w edge.Warning) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.warnings[w.Code+" "+w.Subject] = w
	h.raised = append(h.raised, w)
}

func (h *house) clear(code, subject string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, raised := h.warnings[code+" "+subject]; !raised {
		h.t.Errorf("cleared %s of %s, which was not raised", code, subject)
	}
	delete(h.warnings, code+" "+subject)
}

func (h *house) count(pools []edge.Pool) {
	if h.slow > 0 {
		<-time.After(h.slow)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pools = pools
}

// lanes is what the pool counts, -1 when there is no such pool.
func (h *house) lanes(name string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, pool := range h.pools {
		if pool.Name == name {
			return pool.Lanes
		}
	}
	return -1
}

// kinds counts the events by kind.
func (h *house) kinds() map[edge.EventKind]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	kinds := make(map[edge.EventKind]int)
	for _, e := range h.events {
		kinds[e.Kind]++
	}
	return kinds
}

// warning returns the warning that stands, or an empty one.
func (h *house) warning(code, subject string) edge.Warning {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.warnings[code+" "+subject]
}

func (h *house) standing() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.warnings))
}

// view returns one workload's view.
func (h *house) view(key string) edge.WorkloadView {
	for _, view := range h.sup.Workloads() {
		if view.Workload.Key() == key {
			return view
		}
	}
	return edge.WorkloadView{}
}

// settle lets virtual time pass and everything that follows happen. Only for
// bubbles, where it takes no real time.
func settle(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (h *house) wantRunning(n int) {
	h.t.Helper()
	if got := h.driver.Running(); len(got) != n {
		h.t.Errorf("running: got %v, want %d", got, n)
	}
}

func (h *house) wantEvents(kind edge.EventKind, n int) {
	h.t.Helper()
	if got := h.kinds()[kind]; got != n {
		h.t.Errorf("%s: got %d events, want %d", kind, got, n)
	}
}

func (h *house) wantNoWarnings() {
	h.t.Helper()
	if got := h.standing(); len(got) > 0 {
		h.t.Errorf("warnings: got %v, want none", got)
	}
}

// bubble runs a test in virtual time with a driver that ends inside it.
func bubble(t *testing.T, test func(t *testing.T, d *fake.Driver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &fake.Driver{StartDelay: 100 * time.Millisecond}
		t.Cleanup(d.Close)
		test(t, d)
	})
}

// service is a plain workload.
func service(name string, replicas int) edge.Workload {
	return edge.Workload{App: "shop", Name: name, Image: "registry.test/" + name + ":1", Replicas: replicas}
}

// modelServer is a workload that serves a model of its own name.
func modelServer(name string, replicas int) edge.Workload {
	w := service(name, replicas)
	w.Serve = &edge.Serve{Model: name, Endpoint: "unix:///run/model/model.sock", Cost: 3 * time.Millisecond}
	return w
}

// honest serves every workload's models as they should be.
func honest(w edge.Workload, _ string) http.Handler {
	return &fake.Model{Names: w.Serve.Models(), Version: "1"}
}

func task(model, input string) edge.Task {
	return edge.Task{ID: "t", Model: model, Input: edge.Payload{Body: []byte(input)}}
}

func wantContains(t testing.TB, got string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want it to contain %q", got, want)
		}
	}
}

func describe(view edge.WorkloadView) string {
	var parts []string
	for _, inst := range view.Instances {
		parts = append(parts, fmt.Sprintf("%s %s (%s)", inst.ID, inst.State, inst.Detail))
	}
	return strings.Join(parts, ", ")
}
