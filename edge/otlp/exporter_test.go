package otlp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/edge"
	"holdfast/edge/otlp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector reads what it is sent as the protocol's JSON mapping has it.
type collector struct {
	t      *testing.T
	answer func(w http.ResponseWriter, n int) // n: how many times it was asked before
	mu     sync.Mutex                         // guards what follows
	asked  int
	spans  []map[string]any
	taken  chan struct{} // one for each request that was read
}

// gather starts a collector and an exporter that tells it, and returns how to end that.
func gather(t *testing.T, answer func(http.ResponseWriter, int)) (*collector, *otlp.Exporter, *warnings) {
	t.Helper()
	c := &collector{t: t, answer: answer, taken: make(chan struct{}, 1000)}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	w := &warnings{standing: map[string]edge.Warning{}, changed: make(chan struct{}, 1000)}
	return c, otlp.New(otlp.Options{URL: server.URL + "/v1/traces", Node: "gw-1", Version: "1.2", Warn: w.raise, Clear: w.clear}), w
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var sent struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes []map[string]any }
			ScopeSpans []struct {
				Scope map[string]string
				Spans []map[string]any
			}
		}
	}
	body, err := io.ReadAll(r.Body)
	if err = errors.Join(err, json.Unmarshal(body, &sent)); err != nil || r.Header.Get("Content-Type") != "application/json" {
		c.t.Errorf("it was sent %q, %v", body, err)
		return
	}
	c.mu.Lock()
	n := c.asked
	c.asked++
	for _, resource := range sent.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
	c.mu.Unlock()
	if c.answer != nil {
		c.answer(w, n)
	}
	c.taken <- struct{}{}
}

// warnings are those that stand.
type warnings struct {
	mu       sync.Mutex // guards standing
	standing map[string]edge.Warning
	changed  chan struct{}
}

func (w *warnings) raise(v edge.Warning) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.standing[v.Code] = v
	w.changed <- struct{}{}
}

func (w *warnings) clear(code, _ string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.standing, code)
	w.changed <- struct{}{}
}

func (w *warnings) all() map[string]edge.Warning {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.standing)
}

// task is one that was answered.
func task(id string) edge.Settlement {
	arrived := time.Now()
	trace, _ := edge.ParseTrace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1")
	trace.Span = edge.SpanID{1, 2, 3, 4, 5, 6, 7, 8}
	return edge.Settlement{
		Task: edge.Task{
			ID: id, Model: "digits", Class: edge.Urgent, Tenant: "vision", Arrived: arrived, Deadline: arrived.Add(80 * time.Millisecond),
			Trace: trace, Input: edge.Payload{Body: []byte("a secret picture")},
		},
		Outcome: edge.Completed, At: arrived.Add(30 * time.Millisecond), Queue: 10 * time.Millisecond, Compute: 20 * time.Millisecond,
		Answer: edge.Answer{Model: "digits", Instance: "line-digits-1", Route: edge.AnsweredLocally, Payload: edge.Payload{Body: []byte("a secret answer")}},
	}
}

// run starts the exporter; end ends it and waits.
func run(t *testing.T, e *otlp.Exporter) (end func()) {
	t.Helper()
	ctx, cancel := contextOf(t)
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func (c *collector) await(t *testing.T) {
	t.Helper()
	select {
	case <-c.taken:
	case <-time.After(20 * time.Second):
		t.Fatal("the collector is not asked")
	}
}

func TestExporter_Spans(t *testing.T) {
	c, e, _ := gather(t, nil)
	upstream, refused, unsampled := task("t-2"), task("t-3"), task("t-4")
	upstream.Answer.Route = edge.AnsweredUpstream
	refused.Outcome, refused.Err, refused.Compute = edge.Refused, &edge.Refusal{Reason: edge.ReasonQueueFull, Detail: "a secret detail"}, 0
	refused.Task.Trace.Parent = edge.SpanID{}
	unsampled.Task.Trace.Sampled = false
	for _, s := range []edge.Settlement{task("t-1"), upstream, refused, unsampled} {
		e.Settled(s)
	}
	end := run(t, e)
	end() // what waits at the end is told
	if len(c.spans) != 3+3+2 {
		t.Fatalf("it was told of %d spans, want 8: %v", len(c.spans), c.spans)
	}
	whole, queue, compute := c.spans[0], c.spans[1], c.spans[2]
	for key, want := range map[string]any{
		"traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "0102030405060708", "parentSpanId": "b7ad6b7169203331",
		"traceState": "a=1", "name": "task digits", "kind": 2.0, "flags": 1.0,
	} {
		if whole[key] != want {
			t.Errorf("%s is %v, want %v", key, whole[key], want)
		}
	}
	if queue["name"] != "queue" || compute["name"] != "compute" || queue["parentSpanId"] != "0102030405060708" || compute["startTimeUnixNano"] != queue["endTimeUnixNano"] {
		t.Errorf("below it are %v and %v", queue, compute)
	}
	if took := nanos(t, whole["endTimeUnixNano"]) - nanos(t, whole["startTimeUnixNano"]); took != 30_000_000 {
		t.Errorf("it took %d ns, want 30 ms", took)
	}
	if name, kind := c.spans[5]["name"], c.spans[5]["kind"]; name != "upstream" || kind != 3.0 {
		t.Errorf("the upstream's part is %v of kind %v", name, kind)
	}
	if status := fmt.Sprint(c.spans[6]["status"]); status != "map[code:2 message:queue_full]" || c.spans[6]["parentSpanId"] != nil {
		t.Errorf("of the refused one %v", c.spans[6])
	}
	text, _ := json.Marshal(c.spans)
	for _, want := range []string{`{"key":"holdfast.class","value":{"stringValue":"urgent"}}`, `{"key":"holdfast.slack_ms","value":{"doubleValue":50}}`,
		`{"key":"holdfast.input_bytes","value":{"intValue":"16"}}`, `{"key":"container.id","value":{"stringValue":"line-digits-1"}}`, `{"key":"error.type","value":{"stringValue":"queue_full"}}`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is missing in %s", want, text)
		}
	}
	if strings.Contains(string(text), "secret") {
		t.Errorf("it tells what was in a task: %s", text)
	}
	if got := e.Report(); got != (edge.TraceReport{Sent: 3}) {
		t.Errorf("the report is %+v", got)
	}
}

// nanos reads an instant, which JSON has as digits in a string.
func nanos(t *testing.T, v any) int64 {
	t.Helper()
	text, _ := v.(string)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !regexp.MustCompile(`^\d{19}$`).MatchString(text) {
		t.Errorf("%v is no instant", v)
	}
	return n
}

func TestExporter_FullBatchIsSentAtOnce(t *testing.T) {
	c, e, _ := gather(t, nil)
	defer run(t, e)()
	began := time.Now()
	for range 256 {
		e.Settled(task("t"))
	}
	c.await(t)
	if took := time.Since(began); took > 1900*time.Millisecond {
		t.Errorf("it took %v", took)
	}
}

func TestExporter_Dropped(t *testing.T) {
	t.Run("NoRoom", func(t *testing.T) {
		_, e, _ := gather(t, nil)
		for range 2048 + 5 {
			e.Settled(task("t"))
		}
		if got := e.Report(); got != (edge.TraceReport{Waiting: 2048, Dropped: 5}) {
			t.Errorf("the report is %+v", got)
		}
	})
	t.Run("NotTaken", func(t *testing.T) {
		_, e, _ := gather(t, func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusBadRequest) })
		e.Settled(task("t"))
		run(t, e)()
		if got := e.Report(); got != (edge.TraceReport{Dropped: 1}) {
			t.Errorf("the report is %+v", got)
		}
	})
	t.Run("TakenInPart", func(t *testing.T) {
		_, e, _ := gather(t, func(w http.ResponseWriter, _ int) {
			_, _ = io.WriteString(w, `{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no"}}`)
		})
		e.Settled(task("t"))
		e.Settled(task("u"))
		run(t, e)()
		if got := e.Report(); got != (edge.TraceReport{Sent: 1, Dropped: 1}) {
			t.Errorf("the report is %+v", got)
		}
	})
	t.Run("Redirected", func(t *testing.T) {
		_, e, _ := gather(t, func(w http.ResponseWriter, _ int) {
			w.Header().Set("Location", "http://elsewhere.invalid/")
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
		e.Settled(task("t"))
		run(t, e)()
		if got := e.Report(); got.Dropped != 1 {
			t.Errorf("the report is %+v", got)
		}
	})
}
