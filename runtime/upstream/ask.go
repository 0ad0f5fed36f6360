package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/sony/gobreaker"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// maxAnswer bounds what an upstream may answer: as much as a model of the node may.
const maxAnswer = 16 << 20

// errBreaker: the upstream was not asked.
var errBreaker = errors.New("its breaker is open")

// Ask has the upstream answer a task under the name its model has there. Why ctx ended says whose
// fault it was: edge.ErrCancelled is nobody's, all else is the upstream's.
func (u *Upstream) Ask(ctx context.Context, t edge.Task, model string) (edge.Answer, error) {
	done, err := u.allow(t.Class)
	if err != nil {
		u.note(err)
		return edge.Answer{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, u.options.Timeout, edge.ErrDeadline)
	defer cancel()
	answer, err := u.infer(ctx, t, model)
	u.note(err) // first: who is told of a loss is told why
	switch ours := errors.Is(err, edge.ErrCancelled); {
	case !ours:
		done(!isFault(err))
	case u.breaker.State() != gobreaker.StateClosed:
		done(false) // the place of a probe must be given back, and nothing was found out
	}
	return answer, err
}

// allow asks the breaker for an attempt, which done ends.
func (u *Upstream) allow(class edge.Class) (done func(good bool), err error) {
	if class == edge.Batch || u.breaker.State() == gobreaker.StateClosed {
		done, err = u.breaker.Allow()
	}
	if err != nil || done == nil {
		return nil, fmt.Errorf("upstream %q was not asked: %w: %w", u.options.Name, errBreaker, edge.ErrUnavailable)
	}
	return done, nil
}

// isFault tells whether an error says something against the upstream. That it refuses an input, or has no
// room just now, does not.
func isFault(err error) bool {
	_, refused := edge.AsRefusal(err)
	return err != nil && !refused && !errors.Is(err, edge.ErrInvalid)
}

func (u *Upstream) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, u.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("cannot ask upstream %q: %w: %w", u.options.Name, edge.ErrInvalid, err)
	}
	r.Header.Set("User-Agent", "holdfast")
	if u.options.Token == "" {
		return r, nil
	}
	token, err := u.options.Secret(u.options.Token)
	if err != nil {
		return nil, fmt.Errorf("cannot ask upstream %q without its token %q (%v): %w", u.options.Name, u.options.Token, err, edge.ErrUnavailable)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return r, nil
}

func (u *Upstream) infer(ctx context.Context, t edge.Task, model string) (edge.Answer, error) {
	path := "/v2/models/" + url.PathEscape(model)
	if t.Version != "" {
		path += "/versions/" + url.PathEscape(t.Version)
	}
	r, err := u.request(ctx, http.MethodPost, path+"/infer", t.Input.Body)
	if err != nil {
		return edge.Answer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	if t.Input.HeaderLength > 0 {
		r.Header.Set("Content-Type", "application/octet-stream")
		r.Header.Set(oip.HeaderLengthField, strconv.Itoa(t.Input.HeaderLength))
	}
	if left := time.Until(t.Deadline); t.HasDeadline() && left > 0 {
		r.Header.Set(oip.HeaderDeadline, left.Round(time.Microsecond).String())
	}
	r.Header.Set(oip.HeaderClass, t.Class.String())
	if !t.Trace.ID.IsZero() {
		r.Header.Set(oip.HeaderTrace, t.Trace.Traceparent())
		if t.Trace.State != "" {
			r.Header.Set(oip.HeaderTraceState, t.Trace.State)
		}
	}
	resp, err := u.http.Do(r)
	if err != nil {
		return edge.Answer{}, u.unreached(ctx, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return edge.Answer{}, u.unreached(ctx, err)
	case len(body) > maxAnswer:
		return edge.Answer{}, fmt.Errorf("upstream %q answered more than %d bytes: %w", u.options.Name, maxAnswer, edge.ErrModel)
	case resp.StatusCode != http.StatusOK:
		return edge.Answer{}, u.said(resp, body)
	}
	return u.answer(t, model, resp.Header.Get(oip.HeaderLengthField), body)
}

// answer holds what came against the protocol: a wrong answer in time is worth less than none, where
// another could still be had.
func (u *Upstream) answer(t edge.Task, model, headerLength string, body []byte) (edge.Answer, error) {
	payload := edge.Payload{Body: body}
	var err error
	if headerLength != "" {
		payload.HeaderLength, err = strconv.Atoi(headerLength)
		if err == nil && (payload.HeaderLength < 0 || payload.HeaderLength > len(body)) {
			err = fmt.Errorf("header of %d in %d bytes", payload.HeaderLength, len(body))
		}
	}
	var parsed *oip.InferResponse
	if err == nil {
		parsed, err = oip.ParseResponse(payload)
	}
	if err == nil {
		err = parsed.Check()
	}
	if err != nil {
		return edge.Answer{}, fmt.Errorf("upstream %q answered what is not of the protocol (%v): %w", u.options.Name, err, edge.ErrModel)
	}
	version := t.Version
	if version == "" {
		version = parsed.ModelVersion
	}
	return edge.Answer{Payload: payload, Model: model, Version: version, Instance: u.options.Name, Route: edge.AnsweredUpstream}, nil
}

// said makes an error of a reply that is no answer.
func (u *Upstream) said(resp *http.Response, body []byte) error {
	text := fmt.Sprintf("upstream %q says %s%s", u.options.Name, resp.Status, oip.ErrorText(body))
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return fmt.Errorf("%s: %w", text, edge.ErrInvalid)
	case http.StatusTooManyRequests:
		refusal := &edge.Refusal{Reason: edge.ReasonQueueFull, Detail: text}
		if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
			refusal.RetryAfter = time.Duration(min(seconds, 3600)) * time.Second
		}
		return refusal
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout: // it may be there again soon
		return fmt.Errorf("%s: %w", text, edge.ErrUnavailable)
	}
	return fmt.Errorf("%s: %w", text, edge.ErrModel)
}

// unreached names an attempt that brought no reply by why its context ended, if it has.
func (u *Upstream) unreached(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return fmt.Errorf("cannot reach upstream %q: %w: %w", u.options.Name, edge.ErrUnavailable, err)
	case errors.Is(cause, edge.ErrDeadline), errors.Is(cause, context.DeadlineExceeded):
		return fmt.Errorf("upstream %q did not answer in time: %w", u.options.Name, edge.ErrDeadline)
	default:
		return fmt.Errorf("upstream %q was not waited for: %w", u.options.Name, edge.ErrCancelled)
	}
}
