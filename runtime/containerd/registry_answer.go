package containerd

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"time"

	"holdfast/edge"
)

// later is a registry that cannot answer now and may say when it can.
type later struct {
	status string
	after  time.Duration // 0: it does not say
}

func (l *later) Error() string {
	if l.after == 0 {
		return fmt.Sprintf("it answers %q", l.status)
	}
	return fmt.Sprintf("it answers %q and wants to be asked again after %v", l.status, l.after)
}

func (*later) Unwrap() error { return edge.ErrUnavailable }

// statusError says what an answer means that is not what was asked for.
func (r *registry) statusError(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code == http.StatusOK, code == http.StatusPartialContent:
		return pageError(resp)
	case code == http.StatusNotFound:
		return edge.WithHint(fmt.Errorf("it has no such image or no part of it: %w", edge.ErrNotFound), "push it there under this digest")
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		return r.unwelcome(fmt.Sprintf("it does not give the image to everybody (%s)", resp.Status))
	case code >= http.StatusInternalServerError, code == http.StatusTooManyRequests, code == http.StatusRequestTimeout:
		return &later{status: resp.Status, after: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	}
	return fmt.Errorf("it answers %q: %w", resp.Status, edge.ErrInvalid)
}

// pageError refuses a page for people where content was to come.
func pageError(resp *http.Response) error {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "text/html" && kind != "application/xhtml+xml" {
		return nil
	}
	return edge.WithHint(fmt.Errorf("it answers with a web page instead of content: %w", edge.ErrInvalid),
		"is there a proxy, or a network that wants somebody to log in, between the node and the registry?")
}

// retryAfter reads how long to wait, in seconds or until a date.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now)).Round(time.Second)
	}
	return 0
}

// explain says whose fault an error is, and what to do about it.
func (r *registry) explain(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errStalled):
		err = fmt.Errorf("%w for %v: %w", errStalled, r.stall, edge.ErrUnavailable)
	case cause != nil:
		return cause
	case errors.Is(err, edge.ErrNoRoom):
		return err // nothing that a registry could help
	}
	if !isOurs(err) {
		err = fmt.Errorf("%w: %w", edge.ErrUnavailable, err)
	}
	hint := edge.HintOf(err)
	if hint == "" && errors.Is(err, edge.ErrUnavailable) {
		hint = "is it to be reached from the node? what has come so far is kept for a day; pull again"
	}
	err = fmt.Errorf("registry %s: %w", r.host, err)
	if hint == "" {
		return err
	}
	return edge.WithHint(err, hint)
}
