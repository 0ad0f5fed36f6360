package load_test

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/edge/load"
	"holdfast/edge/localapi"
	"holdfast/edge/oip"
	"holdfast/scheduler/sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// agent is the local API of a real agent, with what a test wants behind it.
type agent struct {
	localapi.Node // nil, as the next one: only what is overwritten is asked for
	localapi.Events
	socket string
	pid    int
	// infer is what tasks become, and alone what those become that are measured alone;
	// nil: they are answered at once.
	infer, alone func(ctx context.Context, t edge.Task) edge.Settlement

	mu    sync.Mutex // guards what follows
	tasks []edge.Task
	extra uint64 // tasks of others, as the agent counts them
}

// images, logs and volumes are by names that are not their methods' too.
type (
	images  = localapi.Images
	logs    = localapi.Logs
	volumes = localapi.Volumes
)

// startAgent serves models that take a tensor ms: u, n and b; and digits that takes rows.
func startAgent(t *testing.T) *agent {
	t.Helper()
	a := &agent{socket: filepath.Join(t.TempDir(), "s"), pid: os.Getpid()}
	server, err := localapi.New(localapi.Options{
		Socket: a.socket, NodeName: "test", Inference: a, Models: a, Node: a,
		Events: a, Images: struct{ images }{}, Logs: struct{ logs }{}, Policies: struct{ localapi.Policies }{},
		Volumes: struct{ volumes }{}, Live: struct{ localapi.Live }{},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return a
}

// Infer notes the task and has it become what the test wants.
func (a *agent) Infer(ctx context.Context, t edge.Task) edge.Settlement {
	a.mu.Lock()
	a.tasks = append(a.tasks, t)
	a.mu.Unlock()
	become := a.infer
	if isAlone(t) {
		become = a.alone
	}
	if become == nil {
		return done(t)
	}
	return become(ctx, t)
}

// isAlone tells tasks that are measured alone by their deadline, which no other has.
func isAlone(t edge.Task) bool { return t.Deadline.Sub(t.Arrived) > 30*time.Second }

// done answers a task.
func done(t edge.Task) edge.Settlement {
	return edge.Settlement{
		Task: t, Outcome: edge.Completed, At: time.Now(),
		Answer: edge.Answer{Payload: edge.Payload{Body: []byte(`{"model_name":"m","outputs":[]}`)}},
	}
}

func (a *agent) Cancel(string) bool      { return false }
func (a *agent) Explain(edge.Task) error { return nil }
func (a *agent) Models() []string        { return []string{"u", "n", "b", "digits"} }

func (a *agent) Model(name string) (oip.ModelMetadata, bool, bool) {
	meta := oip.ModelMetadata{Name: name, Platform: "test", Inputs: []oip.TensorMetadata{{Name: "ms", Datatype: "FP32", Shape: []int64{1}}}}
	switch name {
	case "digits":
		meta.Inputs = []oip.TensorMetadata{{Name: "pixels", Datatype: "FP32", Shape: []int64{-1, 64}}}
	case "text":
		meta.Inputs = []oip.TensorMetadata{{Name: "text", Datatype: "BYTES", Shape: []int64{-1}}}
	case "u", "n", "b":
	default:
		return oip.ModelMetadata{}, false, false
	}
	return meta, true, true
}

func (a *agent) Status() edge.Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return edge.Status{PID: a.pid, Scheduler: edge.QueueReport{
		Slots:   2,
		Classes: []edge.ClassReport{{Class: edge.Normal, Submitted: uint64(len(a.tasks)) + a.extra}},
		Models:  []edge.ModelReport{{Model: "u", Estimate: 3 * time.Millisecond, Firm: 4 * time.Millisecond}},
	}}
}

// sent are the tasks that were not measured alone.
func (a *agent) sent() []edge.Task {
	a.mu.Lock()
	defer a.mu.Unlock()
	var sent []edge.Task
	for _, t := range a.tasks {
		if !isAlone(t) {
			sent = append(sent, t)
		}
	}
	return sent
}

// crowd is so many arrivals at the very start, and then none.
type crowd int

func (crowd) Name() string { return "crowd" }

func (c crowd) Gaps(*rand.Rand, time.Duration) func() float64 {
	n := 0
	return func() float64 {
		if n++; n > int(c) {
			return 1e9
		}
		return 0
	}
}

// options ask for three kinds of burners, some hundred tasks in a fifth of a second.
func options(a *agent) load.Options {
	const ms = time.Millisecond
	return load.Options{
		Address: a.socket, Arrivals: []sim.Arrivals{sim.Poisson{}}, Loads: []float64{0.9},
		Length: 200 * ms, Alone: ms, Seed: 7, Noise: 0.1, Order: "test",
		Kinds: []load.Kind{
			{Model: "u", Rows: 1, Class: edge.Urgent, Share: 0.5, Work: 2 * ms, Shortest: 1000 * ms, Longest: 2000 * ms},
			{Model: "n", Rows: 1, Class: edge.Normal, Share: 0.3, Work: 3 * ms, Shortest: 1000 * ms, Longest: 2000 * ms},
			{Model: "b", Rows: 1, Class: edge.Batch, Share: 0.2, Work: 4 * ms, Shortest: 1000 * ms, Longest: 2000 * ms},
		},
	}
}

// run sends the load and returns the only report.
func run(t *testing.T, o load.Options) load.Report {
	t.Helper()
	reports, err := runAll(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(reports) != 1 {
		t.Fatalf("%d reports, want 1", len(reports))
	}
	return reports[0]
}

func runAll(ctx context.Context, o load.Options) (reports []load.Report, err error) {
	g, err := load.New(o)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	err = g.Run(ctx, func(r load.Report) error {
		reports = append(reports, r)
		return nil
	})
	return reports, err
}
