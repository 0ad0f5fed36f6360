package otlp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"holdfast/edge"
)

// WarningFailing is the code of the warning that nothing reaches the collector.
const WarningFailing = "trace-export-failing"

const (
	// kept is how many tasks wait at most: a minute of a busy node of which a share is
	// sampled, and about a megabyte.
	kept = 2048
	// most is how many go in one request, some 1.5 KiB each.
	most = 256
	// every is for how long tasks are gathered.
	every = 2 * time.Second
	// within bounds one request, and atEnd the last one.
	within = 10 * time.Second
	atEnd  = time.Second
	// firstPause and longestPause are between attempts.
	firstPause, longestPause = time.Second, time.Minute
	// patience is how many failures in a row are a warning.
	patience = 3
	// maxReply bounds what is read of an answer, in bytes.
	maxReply = 64 << 10
)

// Options say where to send, and as whom.
type Options struct {
	URL     string // of the collector's traces: http://collector:4318/v1/traces
	Node    string
	Version string
	Warn    func(edge.Warning)
	Clear   func(code, subject string)
}

// Exporter sends what tasks the node has worked on to a collector.
type Exporter struct {
	options Options
	http    *http.Client
	wake    chan struct{} // capacity 1: a batch is full

	mu      sync.Mutex // guards what follows
	waiting []record
	report  edge.TraceReport

	failures int // in a row; Run's
}

// record is a task that has ended, without what was in it.
type record struct {
	edge.Settlement
	input int // bytes
}

// New prepares an exporter.
func New(o Options) *Exporter {
	return NewOver(o, &http.Transport{MaxIdleConns: 1, IdleConnTimeout: 2 * longestPause, ResponseHeaderTimeout: within})
}

// NewOver prepares an exporter that reaches its collector so.
func NewOver(o Options, road http.RoundTripper) *Exporter {
	return &Exporter{
		options: o, wake: make(chan struct{}, 1),
		http: &http.Client{Transport: road, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
}

// Settled takes note of a task, if it is sampled. It is called on the scheduler's loop.
func (e *Exporter) Settled(s edge.Settlement) {
	if !s.Task.Trace.Sampled {
		return
	}
	r := record{Settlement: s, input: len(s.Task.Input.Body)}
	r.Task.Input, r.Answer.Payload = edge.Payload{}, edge.Payload{} // as large as pictures
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) >= kept {
		e.report.Dropped++
		return
	}
	e.waiting = append(e.waiting, r)
	if len(e.waiting) == most {
		select {
		case e.wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// Report counts tasks.
func (e *Exporter) Report() edge.TraceReport {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.report
	r.Waiting = len(e.waiting)
	return r
}

// Run sends until ctx ends, and then once what is left.
func (e *Exporter) Run(ctx context.Context) error {
	defer e.http.CloseIdleConnections()
	pause := every
	for {
		timer := time.NewTimer(pause)
		wake := e.wake
		if e.failures > 0 {
			wake = nil // a full batch is no reason to ask sooner who does not answer
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			e.last()
			return nil
		case <-timer.C:
		case <-wake:
			timer.Stop()
		}
		pause = e.flush(ctx)
	}
}

// last gives what waits one more chance.
func (e *Exporter) last() {
	ctx, cancel := context.WithTimeout(context.Background(), atEnd)
	defer cancel()
	if e.failures == 0 {
		e.flush(ctx)
	}
}

// flush sends what waits, batch by batch, and returns the pause before the next time.
func (e *Exporter) flush(ctx context.Context) time.Duration {
	for {
		batch := e.next()
		if len(batch) == 0 {
			return every
		}
		lost, err := e.send(ctx, batch)
		var later retry
		if ctx.Err() != nil {
			return every // the agent ends, which says nothing of the collector
		}
		if errors.As(err, &later) {
			e.failed(err)
			return max(later.after, e.pause())
		}
		e.done(len(batch), lost, err)
		if err != nil {
			e.failed(err)
			return e.pause()
		}
		if e.failures > 0 {
			e.failures = 0
			e.options.Clear(WarningFailing, e.options.URL)
		}
	}
}

// next is the batch to send, which stays until it is done.
func (e *Exporter) next() []record {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.waiting[:min(most, len(e.waiting)):min(most, len(e.waiting))]
}

// done lets go of a batch.
func (e *Exporter) done(n, lost int, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting = append([]record(nil), e.waiting[n:]...)
	if err != nil {
		lost = n
	}
	e.report.Sent += uint64(n - lost)
	e.report.Dropped += uint64(lost)
}

// pause grows with every failure, and no two nodes have the same.
func (e *Exporter) pause() time.Duration {
	d := min(firstPause<<min(e.failures, 10), longestPause)
	return d/2 + rand.N(d/2)
}

func (e *Exporter) failed(err error) {
	if e.failures++; e.failures < patience {
		return
	}
	e.options.Warn(edge.Warning{
		Code: WarningFailing, Subject: e.options.URL, Detail: err.Error(),
		Remedy: "see whether the collector answers at trace.otlp (OTLP over HTTP, usually port 4318, path /v1/traces); tasks are not held up",
	})
}

// retry is a failure after which the same batch may be taken.
type retry struct {
	error
	after time.Duration // the collector has asked for it; 0: it has not
}

// send sends one batch; lost is how many of its tasks the collector would not have.
func (e *Exporter) send(ctx context.Context, batch []record) (lost int, err error) {
	body, spans, err := e.encode(batch)
	if err != nil {
		return 0, fmt.Errorf("cannot encode spans: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.options.URL, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("cannot ask collector: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "holdfast/"+e.options.Version)
	resp, err := e.http.Do(req)
	if err != nil {
		return 0, retry{error: fmt.Errorf("cannot reach collector: %w", err)}
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	switch {
	case err != nil:
		return 0, retry{error: fmt.Errorf("cannot read answer of collector: %w", err)}
	case resp.StatusCode == http.StatusOK:
		return rejected(said, spans, len(batch)), nil
	}
	err = fmt.Errorf("collector answers %s", resp.Status)
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return 0, retry{err, min(max(0, time.Duration(min(seconds, 3600))*time.Second), longestPause)}
	}
	return 0, err
}

// rejected is how many tasks' worth of spans a collector has not taken that took the rest.
func rejected(said []byte, spans, tasks int) int {
	var reply struct {
		PartialSuccess struct {
			RejectedSpans json.RawMessage `json:"rejectedSpans"` // a number, as a string or not
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(said, &reply) != nil {
		return 0
	}
	n, err := strconv.Atoi(string(bytes.Trim(reply.PartialSuccess.RejectedSpans, `"`)))
	if err != nil || n <= 0 {
		return 0
	}
	return (min(n, spans)*tasks + spans - 1) / spans
}
