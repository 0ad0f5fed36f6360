package oneshot_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/edge/oip"
	"holdfast/runtime/oneshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What things take on the fake driver: as on a small gateway.
const (
	making   = 100 * time.Millisecond
	removing = 50 * time.Millisecond
	working  = 20 * time.Millisecond
)

// fakeDriver makes containers that answer with their input.
type fakeDriver struct {
	mu      sync.Mutex // guards what follows
	there   map[string]*fakeContainer
	left    []string // of an earlier agent
	made    int
	most    int // containers there at once
	atWork  int // programs that run
	worked  int // most programs at once
	removed []string

	// Knobs.
	work      time.Duration
	makeErr   error
	removeErr error
	listErr   error
	stubborn  time.Duration // how long it takes until what is killed is dead
	result    oneshot.Result
	runErr    error
}

func newDriver() *fakeDriver {
	return &fakeDriver{there: map[string]*fakeContainer{}, work: working}
}

type fakeContainer struct {
	driver *fakeDriver
	id     string
	hash   string
	runs   int
	closed bool
}

func (d *fakeDriver) Ready(ctx context.Context, w edge.Workload, id string) (oneshot.Container, error) {
	d.mu.Lock()
	if d.there[id] != nil {
		d.mu.Unlock()
		return nil, fmt.Errorf("%q is there: %w", id, edge.ErrExists)
	}
	d.made++
	err := d.makeErr
	d.mu.Unlock()
	if !sleep(ctx, making) {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.there[id] = &fakeContainer{driver: d, id: id, hash: w.SpecHash()}
	d.most = max(d.most, len(d.there))
	return d.there[id], nil
}

func (d *fakeDriver) Remnants(context.Context) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listErr != nil {
		return nil, d.listErr
	}
	ids := slices.Clone(d.left)
	for id := range d.there {
		ids = append(ids, id)
	}
	return ids, nil
}

func (d *fakeDriver) Remove(ctx context.Context, id string) error {
	if !sleep(ctx, removing) {
		return ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.removeErr != nil {
		return d.removeErr
	}
	if c := d.there[id]; c != nil && !c.closed {
		return errors.New("it was not let go of first")
	}
	delete(d.there, id)
	d.left = slices.DeleteFunc(d.left, func(other string) bool { return other == id })
	d.removed = append(d.removed, id)
	return nil
}

func (c *fakeContainer) Run(ctx context.Context, order oneshot.Order) (oneshot.Result, error) {
	d := c.driver
	d.mu.Lock()
	c.runs++
	if c.runs > 1 {
		d.mu.Unlock()
		return oneshot.Result{}, errors.New("it has run before")
	}
	if d.there[c.id] == nil {
		d.mu.Unlock()
		return oneshot.Result{}, fmt.Errorf("%q: %w", c.id, edge.ErrNotFound)
	}
	d.atWork++
	d.worked = max(d.worked, d.atWork)
	work, stubborn, result, err := d.work, d.stubborn, d.result, d.runErr
	d.mu.Unlock()
	whole := sleep(ctx, work)
	if !whole {
		time.Sleep(stubborn)
		result.Exit = edge.Exit{Code: 137, Signal: "SIGKILL"}
	}
	d.mu.Lock()
	d.atWork--
	d.mu.Unlock()
	result.Begun = true
	if result.Output == nil {
		result.Output = order.Input
	}
	return result, err
}

func (c *fakeContainer) Close() error {
	c.driver.mu.Lock()
	defer c.driver.mu.Unlock()
	c.closed = true
	return nil
}

// sleep tells whether ctx lived so long.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// set turns a knob.
func (d *fakeDriver) set(turn func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	turn()
}

// see reads what is counted.
func see[T any](d *fakeDriver, what func() T) T {
	d.mu.Lock()
	defer d.mu.Unlock()
	return what()
}

// rig is a keeper that runs.
type rig struct {
	*oneshot.Keeper
	driver  *fakeDriver
	changes int
	busy    bool // no core is free
	stop    func()
}

// run runs a test in virtual time on a keeper.
func run(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newDriver())
		test(t, r)
		r.stop()
	})
}

func start(t *testing.T, driver *fakeDriver) *rig {
	t.Helper()
	r := &rig{driver: driver}
	names := 0
	keeper, err := oneshot.New(oneshot.Options{
		Driver:  driver,
		Name:    func(w edge.Workload) string { names++; return fmt.Sprintf("%s-%d", w.Name, names) }, // under the keeper's lock
		Changed: func() { r.changes++ },
		Idle:    func(int) bool { return !see(driver, func() bool { return r.busy }) },
		Jitter:  func() float64 { return 0.5 },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Keeper = keeper
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- keeper.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// tool is a workload of two tasks at once.
func tool() edge.Workload {
	return edge.Workload{
		App: "line", Name: "report", Image: "tool:1", Replicas: 2,
		Serve: &edge.Serve{Model: "report", Timeout: 5 * time.Second, OneShot: &edge.OneShot{Warm: 4}},
	}
}

// want applies and lets everything settle.
func (r *rig) want(workloads ...edge.Workload) {
	r.Apply(workloads)
	r.settle()
}

// settle lets the background do what it has to.
func (r *rig) settle() {
	time.Sleep(3 * time.Second)
	synctest.Wait()
}

// warm is how many stand ready.
func (r *rig) warm() int { return r.view().Warm }

func (r *rig) view() edge.OneShotView {
	for _, view := range r.Views() {
		return *view.OneShot
	}
	return edge.OneShotView{}
}

func (r *rig) ready() bool {
	tools := r.Tools()
	return len(tools) == 1 && tools[0].Ready
}

// ask is a task whose answer is of use for so long; 0: for ever.
func ask(text string, within time.Duration) edge.Task {
	input, ok := oip.BytesTensor("input", []int64{1}, [][]byte{[]byte(text)}, false)
	if !ok {
		panic("the tests write UTF-8")
	}
	payload, err := oip.InferRequest{ID: "q", Inputs: []oip.Tensor{input}}.Payload()
	if err != nil {
		panic(err)
	}
	t := edge.Task{ID: "t", Model: "report", Class: edge.Normal, Arrived: time.Now(), Input: payload}
	if within > 0 {
		t.Deadline = time.Now().Add(within)
	}
	return t
}

// task runs one to its end and says how long that took.
func (r *rig) task(text string, within time.Duration) (answer string, took time.Duration, err error) {
	begun := time.Now()
	got, err := r.Execute(context.Background(), ask(text, within))
	took = time.Since(begun)
	if err != nil {
		return "", took, err
	}
	return textOf(got), took, nil
}

// textOf is what an answer holds.
func textOf(answer edge.Answer) string {
	parsed, err := oip.ParseResponse(answer.Payload)
	if err == nil {
		err = parsed.Check()
	}
	if err != nil {
		return err.Error()
	}
	values, err := parsed.Outputs[0].Strings()
	if err != nil {
		return err.Error()
	}
	return string(values[0])
}
