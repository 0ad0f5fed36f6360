package sitelink_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"sync"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
	"holdfast/mqtt"
	"holdfast/mqtt/sitelink"
)

// tasks is a Tasks with knobs.
type tasks struct {
	takes  time.Duration                                        // before it settles
	hold   chan struct{}                                        // if there is one, until it is closed
	settle func(t edge.Task) (edge.Answer, edge.Outcome, error) // nil: completed with answer

	forgets bool // the tasks it has seen

	mu     sync.Mutex // guards the rest
	seen   []edge.Task
	inside int
	most   int
}

// answer is what the fake answers.
const answer = `{"model_name":"vector","outputs":[{"name":"out","shape":[1],"datatype":"INT64","data":[3]}]}`

func (f *tasks) Infer(ctx context.Context, t edge.Task) edge.Settlement {
	f.mu.Lock()
	if !f.forgets {
		f.seen = append(f.seen, t)
	}
	f.inside++
	f.most = max(f.most, f.inside)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.inside--
		f.mu.Unlock()
	}()
	s := edge.Settlement{Task: t, Queue: 40 * time.Microsecond, Compute: 350 * time.Microsecond}
	switch waited := f.wait(ctx); {
	case !waited:
		s.Outcome, s.Err = edge.Cancelled, edge.ErrCancelled
	case f.settle != nil:
		s.Answer, s.Outcome, s.Err = f.settle(t)
	default:
		s.Answer = edge.Answer{Payload: edge.Payload{Body: []byte(answer)}, Model: t.Model, Route: "local"}
	}
	s.At = time.Now()
	return s
}

func (f *tasks) wait(ctx context.Context) bool {
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return false
		}
	}
	if f.takes > 0 {
		timer := time.NewTimer(f.takes)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (f *tasks) all() []edge.Task {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]edge.Task{}, f.seen...)
}

// board is a Warnings.
type board struct {
	mu       sync.Mutex // guards standing
	standing map[string]edge.Warning
}

func (b *board) Raise(w edge.Warning) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.standing == nil {
		b.standing = map[string]edge.Warning{}
	}
	b.standing[w.Code+" "+w.Subject] = w
}

func (b *board) Clear(code, subject string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.standing, code+" "+subject)
}

func (b *board) list() map[string]edge.Warning {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[string]edge.Warning{}
	for k, w := range b.standing {
		all[k] = w
	}
	return all
}

var (
	_ sitelink.Tasks    = (*tasks)(nil)
	_ sitelink.Warnings = (*board)(nil)
)

// running is a link whose Run has begun.
type running struct {
	*sitelink.Link
	stop func()
}

// start runs a link until the test ends or stop is called.
func start(tb testing.TB, o sitelink.Options, triggers ...edge.Trigger) running {
	tb.Helper()
	if o.Link.Broker == "" {
		o.Link.Broker = "tcp://site.test"
	}
	if o.Link.ClientID == "" {
		o.Link.ClientID = "holdfast-n1"
	}
	if o.Models == nil {
		o.Models = catalogue()
	}
	l, err := sitelink.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	l.Triggers(triggers)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("Run returned %v, want nil", err)
		}
	})
	tb.Cleanup(stop)
	return running{l, stop}
}

// await waits, with a real broker, until the status is as asked.
func (r running) await(tb testing.TB, asked func(sitelink.Status) bool) {
	tb.Helper()
	tick, timeout := time.NewTicker(time.Millisecond), time.After(60*time.Second)
	defer tick.Stop()
	for !asked(r.Status()) {
		select {
		case <-tick.C:
		case <-timeout:
			tb.Fatalf("status is %+v", r.Status())
		}
	}
}

func isUp(s sitelink.Status) bool { return s.Link.Phase == mqtt.Up }

// readVerdict reads a verdict as a program would.
func readVerdict(tb testing.TB, payload []byte) map[string]any {
	tb.Helper()
	var v map[string]any
	if err := json.Unmarshal(payload, &v); err != nil {
		tb.Fatalf("verdict is no JSON: %v\n%s", err, payload)
	}
	return v
}

// request is a request with an id, for the model vector.
func request(id string) []byte {
	p, err := oip.InferRequest{ID: id, Inputs: []oip.Tensor{oip.FP32Tensor("in", []int64{1, 4}, []float32{1, 2, 3, 4}, false)}}.Payload()
	if err != nil {
		panic(err)
	}
	return p.Body
}

// camera is the trigger most tests use.
func camera() edge.Trigger {
	return edge.Trigger{MQTT: "cam/+/frame", Model: "vector", Class: edge.Urgent, Deadline: edge.Duration(80 * time.Millisecond), Reply: "cam/+/verdict"}
}

// linkOptions are the least a session asks for.
func linkOptions() mqtt.Options {
	return mqtt.Options{Broker: "tcp://site.test", ClientID: "holdfast-n1"}
}

// models is a Models made of declarations.
type models map[string]oip.ModelMetadata

func (m models) Model(name string) (oip.ModelMetadata, bool, bool) {
	meta, known := m[name]
	return meta, known && meta.Name != "", known
}

// input declares a model with one input.
func input(name, datatype string, shape ...int64) oip.ModelMetadata {
	return oip.ModelMetadata{Name: name, Inputs: []oip.TensorMetadata{{Name: "in", Datatype: datatype, Shape: shape}}}
}

func catalogue() models {
	return models{
		"vector": input("vector", "FP32", -1, 4), "free": input("free", "FP32", -1), "image": input("image", "UINT8", 1, 2, 3),
		"file": input("file", "BYTES", -1), "silent": {Name: "silent"}, "unready": {},
		"two": {Name: "two", Inputs: []oip.TensorMetadata{{Name: "a", Datatype: "FP32", Shape: []int64{1}}, {Name: "b", Datatype: "FP32", Shape: []int64{1}}}},
	}
}

func floats(values ...float32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}
