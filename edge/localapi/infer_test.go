package localapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
	"holdfast/edge/oip"
)

// reply is an answer of the API, read whole.
type reply struct {
	status int
	header http.Header
	body   []byte
	oip.ErrorBody
}

// post sends a request to the path with header lines "Key: value".
func (r *rig) post(t testing.TB, path, body string, header ...string) reply {
	t.Helper()
	return r.send(t, http.MethodPost, path, strings.NewReader(body), header...)
}

func (r *rig) send(t testing.TB, method, path string, body io.Reader, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://localhost"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header {
		key, value, _ := strings.Cut(line, ": ")
		req.Header.Set(key, value)
	}
	resp, err := r.http(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return readReply(t, resp)
}

func readReply(t testing.TB, resp *http.Response) reply {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := reply{status: resp.StatusCode, header: resp.Header, body: text}
	if got.status != http.StatusOK {
		if err := json.Unmarshal(text, &got.ErrorBody); err != nil || got.Error == "" {
			t.Errorf("status %d: body is no error: %s", got.status, text)
		}
	}
	return got
}

// want holds an error against its status, reason, field and a part of its text.
func (got reply) want(t testing.TB, status int, reason, field, text string) {
	t.Helper()
	if got.status != status || got.Reason != reason || got.Field != field || !strings.Contains(got.Error, text) {
		t.Errorf("got %d %s, field %q: %s\nwant %d %s, field %q: …%s…", got.status, got.Reason, got.Field, got.Error, status, reason, field, text)
	}
}

const inferPath = "/v2/models/digits/infer"

func TestServer_Infer(t *testing.T) {
	for name, dial := range map[string]func(*rig, testing.TB) *localapi.Client{"Socket": (*rig).client, "Port": (*rig).port} {
		t.Run(name, func(t *testing.T) {
			r := start(t, newNode())
			urgent := edge.Urgent
			result, err := dial(r, t).Infer(t.Context(), "digits", edge.Payload{Body: []byte(question)},
				localapi.InferOptions{Deadline: 80 * time.Millisecond, Class: &urgent, Tenant: "vision", Version: "1"})
			if err != nil {
				t.Fatal(err)
			}
			task := r.submitted()[0]
			if got := task.Deadline.Sub(task.Arrived); got != 80*time.Millisecond || task.Class != edge.Urgent || task.Tenant != "vision" || task.Version != "1" {
				t.Errorf("task: got %+v", task)
			}
			if string(task.Input.Body) != question {
				t.Errorf("input: got %s", task.Input.Body)
			}
			answer, err := oip.ParseResponse(result.Payload)
			if err != nil || answer.ID != "mine" || string(answer.Outputs[0].Data) != "[3]" {
				t.Errorf("answer: got %s, %v", result.Payload.Body, err)
			}
			result.Payload = edge.Payload{}
			want := localapi.Result{
				Task: task.ID, Class: edge.Urgent, Queue: 2 * time.Millisecond, Compute: 3 * time.Millisecond,
				Slack: 75 * time.Millisecond, OnTime: true, Route: "local",
			}
			if fmt.Sprint(result) != fmt.Sprint(want) {
				t.Errorf("result: got %+v, want %+v", result, want)
			}
		})
	}
}

// TestServer_Infer_Way: every answer says by which way it came, by which model and version, and why.
func TestServer_Infer_Way(t *testing.T) {
	n := newNode()
	n.infer = func(_ context.Context, t edge.Task) edge.Settlement {
		s := completed(t, sum(3))
		s.Answer.Model, s.Answer.Version, s.Answer.Route = "digits-small", "7", edge.AnsweredLocally
		s.RouteWhy, s.VariantWhy = edge.WhyUpstreamDown, edge.WhyLoad
		return s
	}
	got, err := start(t, n).client(t).Infer(t.Context(), "digits", edge.Payload{Body: []byte(question)}, localapi.InferOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Route != "local" || got.RouteWhy != edge.WhyUpstreamDown || got.Variant != "digits-small" || got.VariantWhy != edge.WhyLoad || got.Version != "7" {
		t.Errorf("got %+v", got)
	}
	for _, note := range []string{`"route":"local"`, `"route_why":"upstream-down"`, `"variant":"digits-small"`, `"variant_why":"load"`, `"version":"7"`} {
		if !strings.Contains(string(got.Payload.Body), note) {
			t.Errorf("the answer %s does not say %s", got.Payload.Body, note)
		}
	}
}

func TestServer_Infer_Binary(t *testing.T) {
	n := newNode()
	n.infer = func(_ context.Context, task edge.Task) edge.Settlement {
		p, err := oip.InferResponse{Outputs: []oip.Tensor{oip.FP32Tensor("sum", []int64{2}, []float32{4, 5}, true)}}.Payload()
		if err != nil {
			t.Error(err)
		}
		settled := completed(task, p)
		settled.Answer.Model = "digits-lite"
		return settled
	}
	r := start(t, n)
	p, err := oip.InferRequest{Inputs: []oip.Tensor{oip.FP32Tensor("image", []int64{1, 2}, []float32{1, 2}, true)}}.Payload()
	if err != nil {
		t.Fatal(err)
	}
	result, err := r.client(t).Infer(t.Context(), "digits", p, localapi.InferOptions{})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := oip.ParseResponse(result.Payload)
	if err != nil {
		t.Fatal(err)
	}
	values, err := answer.Outputs[0].Float32s()
	if err != nil || fmt.Sprint(values) != "[4 5]" || result.Variant != "digits-lite" || result.Class != edge.Normal {
		t.Errorf("got %v, %+v, %v", values, result, err)
	}
	if got := r.submitted()[0].Input; got.HeaderLength != p.HeaderLength || !bytes.Equal(got.Body, p.Body) {
		t.Errorf("input: got header %d of %d bytes", got.HeaderLength, len(got.Body))
	}
}

func TestServer_Infer_Schedule(t *testing.T) {
	with := func(params string) string { return `{"parameters":{` + params + `},` + question[1:] }
	passed := map[string]struct {
		body     string
		header   []string
		class    edge.Class
		deadline time.Duration
	}{
		"Defaults":         {question, nil, edge.Normal, time.Second},
		"ClassDefault":     {question, []string{"X-Holdfast-Class: urgent"}, edge.Urgent, 100 * time.Millisecond},
		"Timeout":          {with(`"timeout":80000`), nil, edge.Normal, 80 * time.Millisecond},
		"Priority":         {with(`"priority":3`), nil, edge.Batch, 10 * time.Minute},
		"PriorityDefault":  {with(`"priority":0`), []string{"X-Holdfast-Class: batch"}, edge.Batch, 10 * time.Minute},
		"Agreeing":         {with(`"timeout":80000,"priority":1`), []string{"X-Holdfast-Deadline: 80ms", "X-Holdfast-Class: urgent"}, edge.Urgent, 80 * time.Millisecond},
		"Day":              {question, []string{"X-Holdfast-Deadline: 24h"}, edge.Normal, 24 * time.Hour},
		"PastIsSubmitted":  {question, []string{"X-Holdfast-Deadline: -5ms"}, edge.Normal, -5 * time.Millisecond},
		"PastInParameters": {with(`"timeout":-5000`), nil, edge.Normal, -5 * time.Millisecond},
	}
	for name, c := range passed {
		t.Run(name, func(t *testing.T) {
			r := start(t, newNode())
			if got := r.post(t, inferPath, c.body, c.header...); got.status != http.StatusOK {
				t.Fatalf("got %d: %s", got.status, got.body)
			}
			task := r.submitted()[0]
			if got := task.Deadline.Sub(task.Arrived); got != c.deadline || task.Class != c.class {
				t.Errorf("got %v, %v", got, task.Class)
			}
		})
	}
	refused := map[string]struct {
		body, header string
		field, text  string
	}{
		"ZeroHeader":    {question, "X-Holdfast-Deadline: 0s", "X-Holdfast-Deadline", "must be positive; leave it out for the default of class normal, 1s"},
		"ZeroTimeout":   {with(`"timeout":0,"priority":1`), "A: b", "parameters.timeout", "default of class urgent, 100ms"},
		"YearHeader":    {question, "X-Holdfast-Deadline: 8760h", "X-Holdfast-Deadline", "at most 24h0m0s"},
		"YearTimeout":   {with(`"timeout":31536000000000`), "A: b", "parameters.timeout", "at most 24h0m0s"},
		"HugeTimeout":   {with(`"timeout":99999999999999999999`), "A: b", "parameters.timeout", "at most 24h0m0s"},
		"TimeoutText":   {with(`"timeout":"80ms"`), "A: b", "parameters.timeout", "whole number of microseconds"},
		"NoDuration":    {question, "X-Holdfast-Deadline: soon", "X-Holdfast-Deadline", "such as 80ms"},
		"NoClass":       {question, "X-Holdfast-Class: vip", "X-Holdfast-Class", "urgent, normal or batch"},
		"NoPriority":    {with(`"priority":7`), "A: b", "parameters.priority", "3 (batch)"},
		"Tenant":        {question, "X-Holdfast-Tenant: a b", "X-Holdfast-Tenant", "letters"},
		"DeadlineTwice": {with(`"timeout":90000`), "X-Holdfast-Deadline: 80ms", "parameters.timeout", "X-Holdfast-Deadline says 80ms"},
		"ClassTwice":    {with(`"priority":1`), "X-Holdfast-Class: batch", "parameters.priority", "X-Holdfast-Class says batch"},
	}
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			r := start(t, newNode())
			r.post(t, inferPath, c.body, c.header).want(t, http.StatusBadRequest, "invalid_request", c.field, c.text)
			if n := len(r.submitted()); n != 0 {
				t.Errorf("got %d tasks submitted", n)
			}
		})
	}
}

func TestServer_Infer_BadInput(t *testing.T) {
	cases := map[string]struct {
		path, body, header  string
		status              int
		reason, field, text string
	}{
		"Empty":        {inferPath, "", "A: b", 400, "invalid_request", "", "not JSON"},
		"Truncated":    {inferPath, question[:40], "A: b", 400, "invalid_request", "inputs[0]", "not JSON"},
		"Shape":        {inferPath, strings.Replace(question, "[1,2]", "[1,3]", 1), "A: b", 400, "invalid_request", "inputs[0].shape[1]", "is 3"},
		"Elements":     {inferPath, strings.Replace(question, `"data":[1,2]`, `"data":[1]`, 1), "A: b", 400, "invalid_request", "inputs[0].data", "needs 2"},
		"UnknownModel": {"/v2/models/nobody/infer", question, "A: b", 404, "unknown_model", "", "this node serves digits, silent"},
		"Version":      {"/v2/models/digits/versions/9/infer", question, "A: b", 404, "unknown_model", "", "it has 1"},
		"Gzip":         {inferPath, question, "Content-Encoding: gzip", 415, "unsupported_encoding", "Content-Encoding", "gzip"},
		"HeaderLength": {inferPath, question, oip.HeaderLengthField + ": x", 400, "invalid_request", oip.HeaderLengthField, "must be the length"},
		"HeaderBeyond": {inferPath, question, oip.HeaderLengthField + ": 9999", 400, "invalid_request", oip.HeaderLengthField, "the body has"},
	}
	r := start(t, newNode())
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r.post(t, c.path, c.body, c.header).want(t, c.status, c.reason, c.field, c.text)
			if n := len(r.submitted()); n != 0 {
				t.Errorf("got %d tasks submitted", n)
			}
		})
	}
}

func TestServer_Infer_Outcomes(t *testing.T) {
	refusal := func(r edge.Reason, earliest, retry time.Duration) error {
		return &edge.Refusal{Reason: r, Detail: "because", Earliest: earliest, RetryAfter: retry}
	}
	cases := map[string]struct {
		outcome edge.Outcome
		err     error
		status  int
		reason  string
		retry   string
	}{
		"Unreachable":      {edge.Refused, refusal(edge.ReasonDeadlineUnreachable, 120*time.Millisecond, 0), 429, "deadline_unreachable", ""},
		"UnreachableRetry": {edge.Refused, refusal(edge.ReasonDeadlineUnreachable, 0, 1200*time.Millisecond), 429, "deadline_unreachable", "2"},
		"QueueFull":        {edge.Refused, refusal(edge.ReasonQueueFull, 0, 0), 429, "queue_full", "1"},
		"Passed":           {edge.Refused, refusal(edge.ReasonDeadlinePassed, 0, 0), 504, "deadline_passed", ""},
		"Hopeless":         {edge.Evicted, refusal(edge.ReasonHopeless, 0, 0), 504, "hopeless", ""},
		"NotReady":         {edge.Refused, refusal(edge.ReasonModelNotReady, 0, 0), 503, "model_not_ready", "1"},
		"Draining":         {edge.Refused, refusal(edge.ReasonDraining, 0, 0), 503, "draining", "1"},
		"Unknown":          {edge.Refused, refusal(edge.ReasonUnknownModel, 0, 0), 404, "unknown_model", ""},
		"Denied":           {edge.Refused, refusal(edge.ReasonDenied, 0, 0), 403, "denied", ""},
		"Missed":           {edge.Missed, fmt.Errorf("late: %w", edge.ErrDeadline), 504, "deadline_missed", ""},
		"MissedBare":       {edge.Missed, errors.New("late"), 504, "deadline_missed", ""},
		"Cancelled":        {edge.Cancelled, edge.ErrCancelled, 409, "cancelled", ""},
		"Model":            {edge.Failed, fmt.Errorf("%w: it said: %w", edge.ErrModel, edge.ErrInvalid), 502, "model_error", ""},
		"Unexplained":      {edge.Failed, nil, 502, "model_error", ""},
		"ModelSaysInvalid": {edge.Failed, fmt.Errorf("bad: %w", edge.ErrInvalid), 400, "invalid_request", ""},
		"InstanceGone":     {edge.Failed, fmt.Errorf("gone: %w", edge.ErrUnavailable), 503, "unavailable", "1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := newNode()
			n.infer = func(_ context.Context, task edge.Task) edge.Settlement {
				return edge.Settlement{Task: task, Outcome: c.outcome, Err: c.err, At: time.Now()}
			}
			r := start(t, n)
			got := r.post(t, inferPath, question)
			got.want(t, c.status, c.reason, "", "")
			if retry := got.header.Get("Retry-After"); retry != c.retry {
				t.Errorf("Retry-After: got %q, want %q", retry, c.retry)
			}
			if got.header.Get(localapi.HeaderTask) != r.submitted()[0].ID {
				t.Errorf("task header: got %q", got.header.Get(localapi.HeaderTask))
			}
			if outcome := got.header.Get(localapi.HeaderOutcome); outcome != c.outcome.String() {
				t.Errorf("outcome header: got %q, want %q", outcome, c.outcome)
			}
			sameError(t, r, c.err)
		})
	}
}

// sameError holds that the client has the error the node had.
func sameError(t *testing.T, r *rig, want error) {
	t.Helper()
	_, err := r.client(t).Infer(t.Context(), "digits", edge.Payload{Body: []byte(question)}, localapi.InferOptions{})
	if wanted, ok := edge.AsRefusal(want); ok {
		got, ok := edge.AsRefusal(err)
		if !ok || got.Reason != wanted.Reason || got.Detail != wanted.Detail || got.Earliest != wanted.Earliest {
			t.Errorf("client: got %v, want %v", err, want)
		}
		return
	}
	for _, sentinel := range []error{edge.ErrModel, edge.ErrDeadline, edge.ErrCancelled, edge.ErrUnavailable, edge.ErrInvalid} {
		if errors.Is(want, sentinel) {
			if !errors.Is(err, sentinel) {
				t.Errorf("client: got %v, want %v", err, want)
			}
			return
		}
	}
}

func TestServer_Infer_ModelGarbage(t *testing.T) {
	for name, body := range map[string]string{"Text": "oops", "NoOutputs": "{}", "Nothing": ""} {
		t.Run(name, func(t *testing.T) {
			n := newNode()
			n.infer = func(_ context.Context, task edge.Task) edge.Settlement {
				return completed(task, edge.Payload{Body: []byte(body)})
			}
			start(t, n).post(t, inferPath, question).want(t, http.StatusBadGateway, "model_error", "", "no answer")
		})
	}
}

func TestServer_Infer_CallerGone(t *testing.T) {
	n := newNode()
	inside, gaveUp := make(chan struct{}), make(chan struct{})
	n.infer = func(ctx context.Context, task edge.Task) edge.Settlement {
		close(inside)
		<-ctx.Done()
		close(gaveUp)
		return edge.Settlement{Task: task, Outcome: edge.Cancelled, Err: edge.ErrCancelled}
	}
	r := start(t, n)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	client := r.client(t)
	go func() {
		_, err := client.Infer(ctx, "digits", edge.Payload{Body: []byte(question)}, localapi.InferOptions{})
		failed <- err
	}()
	<-inside
	cancel()
	<-gaveUp
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestServer_Infer_NamesNodeAndTask(t *testing.T) {
	if got := start(t, newNode()).post(t, inferPath, question).header.Get(localapi.HeaderNode); got != "gw-1" {
		t.Errorf("node: got %q", got)
	}
	r, other := start(t, newNode()), start(t, newNode())
	seen := map[string]bool{}
	for _, r := range []*rig{r, r, other} {
		id := r.post(t, inferPath, question).header.Get(localapi.HeaderTask)
		if id == "" || seen[id] {
			t.Errorf("got %q again", id)
		}
		seen[id] = true
	}
}
