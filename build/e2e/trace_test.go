package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"holdfast/edge/localapi"
	"holdfast/edge/oip"
)

// spans are what a collector was told, by the name of the span.
type spans struct {
	mu     sync.Mutex // guards byName
	byName map[string]map[string]any
}

func (s *spans) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var sent struct {
		ResourceSpans []struct {
			ScopeSpans []struct{ Spans []map[string]any }
		}
	}
	_ = json.NewDecoder(r.Body).Decode(&sent) // what cannot be read is missed below
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range sent.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				s.byName[fmt.Sprint(span["name"])] = span
			}
		}
	}
}

// TestTrace follows one task from its caller to the collector.
func TestTrace(t *testing.T) {
	const trace, caller = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	told := &spans{byName: map[string]map[string]any{}}
	collector := httptest.NewServer(told)
	defer collector.Close()
	n := newNode(t, "trace.otlp="+collector.URL+"/v1/traces", "trace.share=0")
	n.deploy(digitsService(1))
	instance := n.awaitReady("digits", 1)[0]
	n.ask(patient) // of no trace, and so not sampled

	answer := n.askTraced("00-" + trace + "-" + caller + "-01")
	parts := strings.Split(answer.Header.Get(oip.HeaderTraced), "-")
	if answer.StatusCode != http.StatusOK || len(parts) != 4 || parts[1] != trace || parts[2] == caller || parts[3] != "01" {
		t.Fatalf("status %s, %s is %q", answer.Status, oip.HeaderTraced, parts)
	}
	tasks, err := n.Client().Tasks(t.Context())
	if err != nil || len(tasks) != 2 || tasks[0].Trace.String() != trace || tasks[1].Trace.IsZero() || tasks[1].Trace == tasks[0].Trace {
		t.Errorf("the tasks are %+v, %v", tasks, err)
	}
	n.await("the collector to be told", func(context.Context) error {
		told.mu.Lock()
		defer told.mu.Unlock()
		if told.byName["compute"] == nil {
			return errors.New("it was told of " + fmt.Sprint(told.byName))
		}
		return nil
	})
	told.mu.Lock()
	defer told.mu.Unlock()
	whole, compute := told.byName["task digits"], told.byName["compute"]
	if whole["traceId"] != trace || whole["parentSpanId"] != caller || whole["spanId"] != parts[2] || compute["parentSpanId"] != parts[2] {
		t.Errorf("it was told of %v and %v", whole, compute)
	}
	if text := fmt.Sprint(compute["attributes"]); !strings.Contains(text, instance.ID) {
		t.Errorf("the model's part is of %s, want instance %s", text, instance.ID)
	}
	// It counts what was told once the collector has said that it has it.
	n.await("the agent to count it", func(ctx context.Context) error {
		status, err := n.Client().Status(ctx)
		if err == nil && (status.Traces == nil || status.Traces.Sent != 1 || status.Traces.Dropped != 0) {
			err = fmt.Errorf("its report is %+v", status.Traces)
		}
		return err
	})
}

// askTraced asks for a sample as part of a trace.
func (n *node) askTraced(parent string) *http.Response {
	n.t.Helper()
	inputs, err := samples()
	if err != nil {
		n.t.Fatal(err)
	}
	payload := inputs[0].request
	base, transport := localapi.Reach(n.Socket(), 1)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(n.t.Context(), http.MethodPost, base+"/v2/models/digits/infer", bytes.NewReader(payload.Body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set(oip.HeaderTrace, parent)
	req.Header.Set(oip.HeaderDeadline, "10s")
	if payload.HeaderLength > 0 {
		req.Header.Set(oip.HeaderLengthField, strconv.Itoa(payload.HeaderLength))
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		n.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		n.t.Error(err)
	}
	return resp
}
