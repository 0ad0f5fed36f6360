package localapi_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/edge/localapi"
	"holdfast/edge/oip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// digits is what the fake node serves.
var digits = oip.ModelMetadata{
	Name: "digits", Versions: []string{"1"}, Platform: "test",
	Inputs:  []oip.TensorMetadata{{Name: "image", Datatype: "FP32", Shape: []int64{-1, 2}}},
	Outputs: []oip.TensorMetadata{{Name: "sum", Datatype: "FP32", Shape: []int64{-1}}},
}

const question = `{"id":"mine","inputs":[{"name":"image","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`

// node fakes everything behind the server. Its knobs are set before it is used.
type node struct {
	infer     func(ctx context.Context, t edge.Task) edge.Settlement
	explain   error
	importing func(ctx context.Context, archive io.Reader) ([]edge.Image, error)
	pulling   func(ctx context.Context, ref string, told func(done, total int64)) (edge.Image, int64, error)
	update    func(folder string, told func(edge.Progress)) (edge.AgentUpdate, error)
	leaving   func() // once an update was answered

	updateSystem func(wanted edge.SystemPolicy, told func(edge.Progress)) (edge.SystemUpdate, error)
	logs         func(ctx context.Context, target string, lines int, follow bool) (io.ReadCloser, error)
	control      error // what Restart and Drain answer
	unready      bool
	drains       func(ctx context.Context) error

	mu       sync.Mutex // guards what follows
	tasks    []edge.Task
	events   []edge.Event
	more     chan struct{} // closed and renewed at each event
	draining bool
	did      []string
	samples  []edge.Sample
	changes  uint64
	runs     []edge.TaskView
	ended    []edge.TaskView
	asked    int // for tasks
}

// figures are a node's for Prometheus.
type figures struct{}

func (figures) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "tasks_total 3") })
}

func newNode() *node {
	n := &node{more: make(chan struct{})}
	n.infer = func(_ context.Context, t edge.Task) edge.Settlement { return completed(t, sum(3)) }
	return n
}

// sum is a model's answer.
func sum(v float32) edge.Payload {
	p, err := oip.InferResponse{ModelName: "digits", ModelVersion: "1", ID: "mine", Outputs: []oip.Tensor{
		oip.FP32Tensor("sum", []int64{1}, []float32{v}, false),
	}}.Payload()
	if err != nil {
		panic(err)
	}
	return p
}

func completed(t edge.Task, p edge.Payload) edge.Settlement {
	return edge.Settlement{
		Task: t, Outcome: edge.Completed, At: t.Arrived.Add(5 * time.Millisecond),
		Queue: 2 * time.Millisecond, Compute: 3 * time.Millisecond,
		Answer: edge.Answer{Payload: p, Model: t.Model, Route: "local"},
	}
}

func (n *node) Infer(ctx context.Context, t edge.Task) edge.Settlement {
	n.mu.Lock()
	n.tasks = append(n.tasks, t)
	n.mu.Unlock()
	return n.infer(ctx, t)
}

// submitted returns the tasks so far.
func (n *node) submitted() []edge.Task {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.tasks)
}

func (n *node) Cancel(id string) bool {
	n.note("cancel " + id)
	return id == "known"
}

func (n *node) Explain(t edge.Task) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tasks = append(n.tasks, t)
	return n.explain
}

func (n *node) Model(name string) (oip.ModelMetadata, bool, bool) {
	switch name {
	case "digits":
		return digits, !n.unready, true
	case "silent": // served, never ready yet
		return oip.ModelMetadata{}, false, true
	}
	return oip.ModelMetadata{}, false, false
}

func (n *node) Models() []string { return []string{"digits", "silent"} }

func (n *node) Status() edge.Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	return edge.Status{Node: "gw-1", Draining: n.draining, Workloads: n.Workloads()}
}

func (n *node) Vitals() edge.Vitals    { return edge.Vitals{Cores: 4} }
func (n *node) Tasks() []edge.TaskView { return nil }
func (n *node) Undrain()               { n.note("undrain") }

func (n *node) drainingNow(yes bool) { n.mu.Lock(); n.draining = yes; n.mu.Unlock() }
func (n *node) Workloads() []edge.WorkloadView {
	return []edge.WorkloadView{{Workload: edge.Workload{App: "line", Name: "digits", Env: []string{"PASSWORD=secret"}}, Ready: 1}}
}

func (n *node) Policy() (edge.PolicyView, error) {
	return edge.PolicyView{PolicyReport: edge.PolicyReport{Governed: true, Name: "line-3", Version: 7}, Document: []byte(`{"kind":"Policy"}`)}, n.control
}

func (n *node) ApplyPolicy(_ context.Context, envelope []byte) (edge.PolicyReport, error) {
	n.note("apply " + string(envelope))
	return edge.PolicyReport{Governed: true, Version: 8}, n.control
}

func (n *node) UpdateSystem(_ context.Context, wanted edge.SystemPolicy, again bool, told func(edge.Progress)) (edge.SystemUpdate, func(), error) {
	n.note(fmt.Sprint("update-system ", wanted, " again=", again))
	to, err := n.updateSystem(wanted, told)
	return to, n.leaving, err
}

func (n *node) Update(_ context.Context, folder string, again bool, told func(edge.Progress)) (edge.AgentUpdate, func(), error) {
	n.note(fmt.Sprint("update again=", again))
	to, err := n.update(folder, told)
	return to, n.leaving, err
}

func (n *node) Restart(_ context.Context, target string) error {
	n.note("restart " + target)
	return n.control
}

func (n *node) Drain(ctx context.Context) error {
	n.note("drain")
	if n.drains != nil {
		return n.drains(ctx)
	}
	return n.control
}

func (n *node) note(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.did = append(n.did, what)
}

func (n *node) deeds() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.did, ", ")
}

func (n *node) happen(kind edge.EventKind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.events = append(n.events, edge.Event{Seq: uint64(len(n.events) + 1), Kind: kind})
	close(n.more)
	n.more = make(chan struct{})
}

func (n *node) Since(seq uint64) []edge.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.events[min(int(seq), len(n.events)):])
}

func (n *node) Wait(ctx context.Context, seq uint64) error {
	for {
		n.mu.Lock()
		more, enough := n.more, len(n.events) > int(seq)
		n.mu.Unlock()
		if enough {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (n *node) Import(ctx context.Context, archive io.Reader) ([]edge.Image, error) {
	return n.importing(ctx, archive)
}

func (n *node) Images(context.Context) ([]edge.Image, error) {
	return []edge.Image{{Name: "a/b:1"}}, nil
}

func (n *node) Pull(ctx context.Context, ref string, told func(done, total int64)) (edge.Image, int64, error) {
	return n.pulling(ctx, ref, told)
}

func (n *node) Prune(context.Context) (localapi.Pruned, error) {
	return localapi.Pruned{Gone: []edge.Image{{Name: "old"}}, Freed: 7, Kept: 2}, nil
}

func (n *node) Volumes(context.Context) ([]edge.VolumeView, error) {
	return []edge.VolumeView{{App: "line", Name: "data", Path: "/state/volumes/line/data", Size: 4096, Used: []string{"line/digits"}}}, nil
}

func (n *node) RemoveVolume(_ context.Context, app, name string) error {
	if app != "line" || name != "old" {
		return fmt.Errorf("cannot remove volume %q: %w", app+"/"+name, edge.ErrExists)
	}
	return nil
}

func (n *node) Logs(ctx context.Context, target string, lines int, follow bool) (io.ReadCloser, error) {
	return n.logs(ctx, target, lines, follow)
}

// Samples are as many as the test has made.
func (n *node) Samples(after uint64) ([]edge.Sample, uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	taken := uint64(len(n.samples))
	return slices.Clone(n.samples[min(after, taken):]), taken
}

// LiveTasks are as the test has them.
func (n *node) LiveTasks(since localapi.TaskMark) (edge.LiveTasks, localapi.TaskMark) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	now := localapi.TaskMark{Changes: n.changes, Ended: uint64(len(n.ended))}
	if now == since {
		return edge.LiveTasks{}, now
	}
	return edge.LiveTasks{Running: n.runs, Ended: slices.Clone(n.ended[since.Ended:])}, now
}

// rig is a running server over a fake node.
type rig struct {
	*node
	server *localapi.Server
	socket string
	stop   func() error // ends the server and returns what Run returned
}

// start runs a server on a socket and a port until the test ends.
func start(t testing.TB, n *node, change ...func(*localapi.Options)) *rig {
	t.Helper()
	r := &rig{node: n, socket: filepath.Join(socketDir(t), "hf", "api.sock")}
	opts := options(n)
	opts.Socket, opts.Listen = r.socket, "127.0.0.1:0"
	for _, c := range change {
		c(&opts)
	}
	var err error
	if r.server, err = localapi.New(opts); err != nil {
		t.Fatal(err)
	}
	if err := r.server.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.server.Run(ctx) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("run: got %v", err)
		}
	})
	return r
}

func options(n *node) localapi.Options {
	return localapi.Options{
		NodeName: "gw-1", Version: "1.2.3",
		Inference: n, Models: n, Node: n, Metrics: figures{}, Events: n, Images: n, Volumes: n, Logs: n, Policies: n, Updates: n, Live: n,
	}
}

// socketDir is a folder with a name short enough for a socket.
func socketDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// client speaks to the socket.
func (r *rig) client(t testing.TB) *localapi.Client {
	c := localapi.Dial(r.socket)
	t.Cleanup(c.Close)
	return c
}

// port speaks to the port.
func (r *rig) port(t testing.TB) *localapi.Client {
	c := localapi.Dial("http://" + r.server.Addr())
	t.Cleanup(c.Close)
	return c
}

// dial opens a bare connection to the socket.
func (r *rig) dial(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// http is a plain client for the socket.
func (r *rig) http(t testing.TB) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 2000, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", r.socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
