package e2e_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/build/sample/digits"
	"holdfast/edge"
	"holdfast/edge/localapi"
	"holdfast/edge/oip"
)

// sample is a held-out picture and what the model says of it, right or wrong.
type sample struct {
	request edge.Payload
	label   int64
}

// samples reads the held-out pictures and has the model answer them in this
// process: the oracle of what must come back through the agent.
var samples = sync.OnceValues(func() ([]sample, error) {
	file, err := os.Open("../../testdata/digits/heldout.csv")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, err
	}
	model, err := digits.Open("digits")
	if err != nil {
		return nil, err
	}
	var read []sample
	for _, row := range rows[1:] { // index, label, pixels
		pixels := make([]float32, digits.Pixels)
		for i, text := range row[2:] {
			v, err := strconv.ParseFloat(text, 32)
			if err != nil {
				return nil, err
			}
			pixels[i] = float32(v)
		}
		label := digits.Classify(model, make([]float32, digits.Classes), pixels)
		body := fmt.Sprintf(`{"inputs":[{"name":"pixels","shape":[1,64],"datatype":"FP32","data":[%s]}]}`, strings.Join(row[2:], ","))
		read = append(read, sample{edge.Payload{Body: []byte(body)}, int64(label)})
	}
	return read, nil
})

// wrongAnswer is an answer that is not the model's.
type wrongAnswer struct{ got, want int64 }

func (w wrongAnswer) Error() string { return fmt.Sprintf("answered %d, want %d", w.got, w.want) }

// askDigits has one sample answered and holds the answer against the oracle.
func askDigits(ctx context.Context, client *localapi.Client, s sample, o localapi.InferOptions) (localapi.Result, error) {
	return askAs(ctx, client, "digits", s, o)
}

// askAs asks a model that reads digits, whatever it is called.
func askAs(ctx context.Context, client *localapi.Client, model string, s sample, o localapi.InferOptions) (localapi.Result, error) {
	result, err := client.Infer(ctx, model, s.request, o)
	if err != nil {
		return result, err
	}
	answer, err := oip.ParseResponse(result.Payload)
	if err != nil {
		return result, err
	}
	for _, out := range answer.Outputs {
		var labels []int64
		if out.Name != "label" {
			continue
		}
		if err := json.Unmarshal(out.Data, &labels); err != nil || len(labels) != 1 {
			return result, fmt.Errorf("label is %s", out.Data)
		}
		if labels[0] != s.label {
			return result, wrongAnswer{labels[0], s.label}
		}
		return result, nil
	}
	return result, errors.New("the answer has no label")
}

// stream is a number of clients that ask one task after another.
type stream struct {
	t       testing.TB
	client  *localapi.Client
	ask     localapi.InferOptions
	insists func(error) bool // after which errors a task is sent again
	machine *control         // nil: nothing is blamed on the machine

	stopping chan struct{}
	clients  sync.WaitGroup

	mu       sync.Mutex // guards what follows
	answered int
	retried  int
	last     time.Time // of the latest answer
	gap      time.Duration
	excused  int     // failures while the machine stood still
	failures []error // what no client may see
}

// pace is between two tasks of one client: it leaves time to whatever else the
// test does on this machine.
const pace = 4 * time.Millisecond

// startStream sends tasks until stop.
func (n *node) startStream(clients int, insists func(error) bool, ask localapi.InferOptions) *stream {
	n.t.Helper()
	inputs, err := samples()
	if err != nil {
		n.t.Fatal(err)
	}
	s := &stream{
		t: n.t, client: localapi.Dial(n.Socket()), ask: ask, insists: insists,
		stopping: make(chan struct{}), last: time.Now(),
	}
	s.start(inputs, clients)
	return s
}

// countOnDeadlines sends tasks of which every one has to be answered within a second,
// unless the machine itself stood still.
func (n *node) countOnDeadlines(model edge.InstanceView) *stream {
	n.t.Helper()
	inputs, err := samples()
	if err != nil {
		n.t.Fatal(err)
	}
	s := &stream{
		t: n.t, client: localapi.Dial(n.Socket()), ask: localapi.InferOptions{Deadline: time.Second},
		insists: never, machine: startControl(model.Socket),
		stopping: make(chan struct{}), last: time.Now(),
	}
	s.start(inputs, 2)
	return s
}

func (s *stream) start(inputs []sample, clients int) {
	for client := range clients {
		s.clients.Go(func() { s.run(inputs, client, clients) })
	}
}

// run is one client: every task is carried to its end, however often asked.
func (s *stream) run(inputs []sample, first, step int) {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for i := first; ; i += step {
		for !s.one(inputs[i%len(inputs)]) {
			<-ticker.C
		}
		select {
		case <-s.stopping:
			return
		case <-ticker.C:
		}
	}
}

// one sends one task; false when it is to be sent again.
func (s *stream) one(in sample) (done bool) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	begun := time.Now()
	result, err := askDigits(ctx, s.client, in, s.ask)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil && !result.OnTime:
		s.failures = append(s.failures, fmt.Errorf("task %s was answered late: %+v", result.Task, result))
	case err == nil:
		s.answered++
		s.gap = max(s.gap, time.Since(s.last))
		s.last = time.Now()
	case s.insists(err):
		s.retried++
		return false
	case s.machine != nil && isLate(err) && s.machine.blames(begun, time.Now()):
		s.excused++
	default:
		s.failures = append(s.failures, err)
	}
	return true
}

// isLate tells whether a task failed for want of time.
func isLate(err error) bool {
	refusal, refused := edge.AsRefusal(err)
	return errors.Is(err, edge.ErrDeadline) || refused &&
		(refusal.Reason == edge.ReasonDeadlineUnreachable || refusal.Reason == edge.ReasonHopeless)
}

// never is for callers who count on every deadline.
func never(error) bool { return false }

// isAway tells whether an error says that agent or model are gone for now. An
// answer that broke off in the middle is what a killed agent leaves its callers.
func isAway(err error) bool {
	refusal, refused := edge.AsRefusal(err)
	return errors.Is(err, edge.ErrUnavailable) || errors.Is(err, io.ErrUnexpectedEOF) ||
		refused && (refusal.Reason == edge.ReasonModelNotReady || refusal.Reason == edge.ReasonDraining)
}

// isAwayOrCrashed also sends a task again whose instance died under it.
func isAwayOrCrashed(err error) bool { return isAway(err) || errors.Is(err, edge.ErrModel) }

// count is how many tasks have been answered.
func (s *stream) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered
}

// more returns once so many more tasks have been answered.
func (s *stream) more(tasks int) {
	s.t.Helper()
	want := s.count() + tasks
	look(s.t, fmt.Sprintf("%d more answers", tasks), func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.answered < want {
			return fmt.Errorf("%d are missing; failures: %v", want-s.answered, errors.Join(s.failures...))
		}
		return nil
	})
}

// stop lets every client end the task it is at, and wants none of them to have
// seen what it must not.
func (s *stream) stop() {
	s.t.Helper()
	failures := s.end()
	if s.answered == 0 {
		s.t.Error("no task was answered at all")
	}
	for i, err := range failures {
		if i == 5 {
			s.t.Errorf("… and %d more", len(failures)-i)
			break
		}
		s.t.Errorf("a client saw: %v", err)
	}
	s.t.Logf("%d tasks answered, %d asked again, longest gap %v, %d failed, %d more while the machine stood still",
		s.answered, s.retried, s.gap.Round(time.Millisecond), len(failures), s.excused)
}

// end lets every client end the task it is at and returns what failed.
func (s *stream) end() []error {
	close(s.stopping)
	s.clients.Wait()
	s.client.Close()
	if s.machine != nil {
		s.machine.end()
	}
	return s.failures
}
