package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"holdfast/edge"
	"holdfast/edge/localapi"
	"holdfast/edge/oip"
)

// door sends tasks to the agent. It reads no answers but what became of the task, as
// the processor it would use up for that is the agent's.
type door struct {
	base string
	http *http.Client
}

// maxIdle is how many connections stay open for the next tasks: more than any queue
// lets tasks in at once by default.
const maxIdle = 512

func newDoor(address string) *door {
	base, transport := localapi.Reach(address, maxIdle)
	return &door{base: base, http: &http.Client{Transport: transport}}
}

func (d *door) close() { d.http.CloseIdleConnections() }

// fire sends a task and returns when all of its answer has come, with what became of
// it and the reason where the agent gave one.
func (d *door) fire(ctx context.Context, q question) (edge.Outcome, edge.Reason, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.base+"/v2/models/"+url.PathEscape(q.model)+"/infer", bytes.NewReader(q.payload.Body))
	if err != nil {
		return edge.Failed, "", fmt.Errorf("cannot address model %q: %w", q.model, err)
	}
	q.write(r.Header)
	resp, err := d.http.Do(r)
	if err != nil {
		return edge.Failed, "", fmt.Errorf("cannot send task: %w", err)
	}
	defer resp.Body.Close()
	return become(resp)
}

// become reads what became of a task.
func become(resp *http.Response) (outcome edge.Outcome, reason edge.Reason, err error) {
	if err := outcome.UnmarshalText([]byte(resp.Header.Get(localapi.HeaderOutcome))); err != nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxErrorBody)) // to keep the connection
		return edge.Failed, "", fmt.Errorf("cannot read answer (%s): %w", resp.Status, err)
	}
	if outcome == edge.Completed {
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return edge.Failed, "", fmt.Errorf("cannot read answer: %w", err)
		}
		return outcome, "", nil
	}
	var body oip.ErrorBody
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err == nil {
		err = json.Unmarshal(text, &body)
	}
	if err != nil {
		return edge.Failed, "", fmt.Errorf("cannot read what became of task (%s): %w", resp.Status, err)
	}
	if outcome == edge.Failed {
		err = errors.New(body.Error)
	}
	return outcome, edge.Reason(body.Reason), err
}

// maxErrorBody bounds what is read of an error, in bytes.
const maxErrorBody = 64 << 10

// question is one task as it is sent.
type question struct {
	model    string
	class    edge.Class
	tenant   string
	deadline time.Duration
	payload  edge.Payload
}

func (q question) write(h http.Header) {
	h.Set(localapi.HeaderClass, q.class.String())
	// A generator that is late for the whole deadline still asks, to be told no.
	h.Set(localapi.HeaderDeadline, max(q.deadline, time.Microsecond).String())
	if q.tenant != "" {
		h.Set(localapi.HeaderTenant, q.tenant)
	}
	if q.payload.HeaderLength > 0 {
		h.Set("Content-Type", "application/octet-stream")
		h.Set(oip.HeaderLengthField, strconv.Itoa(q.payload.HeaderLength))
	}
}
