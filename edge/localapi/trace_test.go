package localapi_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"holdfast/edge"
	"holdfast/edge/localapi"
	"holdfast/edge/oip"
)

const (
	caller   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	answered = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
)

// traced is a node that works on tasks under a name of its own, as the hall does.
func traced() *node {
	n := newNode()
	answer := n.infer
	n.infer = func(ctx context.Context, t edge.Task) edge.Settlement {
		settled := answer(ctx, t)
		settled.Task.Trace = t.Trace
		settled.Task.Trace.Span = edge.SpanID{0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7}
		return settled
	}
	return n
}

func TestServer_Trace(t *testing.T) {
	n := traced()
	r := start(t, n)
	t.Run("Given", func(t *testing.T) {
		for range 3 { // the first request of a connection is net/http's
			got := r.post(t, inferPath, question, "traceparent: "+caller, "tracestate: a=1")
			if header := got.header.Get(oip.HeaderTraced); got.status != http.StatusOK || header != answered {
				t.Errorf("status %d, %s is %q, want %q", got.status, oip.HeaderTraced, header, answered)
			}
		}
		for _, task := range n.submitted() {
			if task.Trace.Parent.String() != caller[36:52] || task.Trace.State != "a=1" || !task.Trace.Sampled {
				t.Errorf("the task is part of %+v", task.Trace)
			}
		}
	})
	for name, headers := range map[string][]string{
		"None": nil, "Malformed": {"traceparent: 00-xyz"},
		"OnlyState": {"tracestate: a=1"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := r.post(t, inferPath, question, headers...); got.status != http.StatusOK {
				t.Errorf("status %d", got.status)
			}
			n.wantUntraced(t)
		})
	}
	t.Run("Client", func(t *testing.T) {
		options := localapi.InferOptions{Traceparent: caller, Tracestate: "b=2"}
		if _, err := r.client(t).Infer(t.Context(), "digits", edge.Payload{Body: []byte(question)}, options); err != nil {
			t.Fatal(err)
		}
		tasks := n.submitted()
		if got := tasks[len(tasks)-1].Trace; got.Parent.String() != caller[36:52] || got.State != "b=2" {
			t.Errorf("the task is part of %+v", got)
		}
	})
	t.Run("Twice", func(t *testing.T) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x"+inferPath, strings.NewReader(question))
		if err != nil {
			t.Fatal(err)
		}
		req.Header["Traceparent"] = []string{caller, caller}
		resp, err := r.http(t).Do(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("got %v, %v", resp, err)
		}
		resp.Body.Close()
		n.wantUntraced(t)
	})
}

// wantUntraced wants the latest task to be part of nothing.
func (n *node) wantUntraced(t *testing.T) {
	t.Helper()
	tasks := n.submitted()
	if got := tasks[len(tasks)-1].Trace; got != (edge.Trace{}) {
		t.Errorf("the task is part of %+v, want none", got)
	}
}
