package localapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// importPause is the longest the sender of an archive may pause.
const importPause = 30 * time.Second

// Bounds on how many log lines can be asked for.
const (
	defaultLogLines = 100
	maxLogLines     = 100_000
)

// events answers GET /v1/events, one JSON object a line.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	since, err := queryInt(r, "since", 0)
	if err != nil {
		s.fail(w, err)
		return
	}
	follow := queryBool(r, "follow")
	ctx, cancel := s.untilStopped(r)
	defer cancel()
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := flusher{w, http.NewResponseController(w)}
	for last := since; ; {
		batch := s.opts.Events.Since(last)
		lines, err := encodeLines(batch)
		if err != nil || out.send(lines) != nil || !follow {
			return
		}
		if len(batch) > 0 {
			last = batch[len(batch)-1].Seq
		}
		if s.opts.Events.Wait(ctx, last) != nil {
			return
		}
	}
}

func encodeLines(events []edge.Event) ([]byte, error) {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, e := range events {
		if err := enc.Encode(e); err != nil {
			return nil, fmt.Errorf("cannot encode event %d: %w", e.Seq, err)
		}
	}
	return lines.Bytes(), nil
}

// logs answers GET /v1/logs/{target}.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	lines, err := queryInt(r, "lines", defaultLogLines)
	if err == nil && lines > maxLogLines {
		err = field("lines", "must be at most %d", maxLogLines)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	ctx, cancel := s.untilStopped(r)
	defer cancel()
	output, err := s.opts.Logs.Logs(ctx, r.PathValue("target"), int(lines), queryBool(r, "follow"))
	if err != nil {
		s.fail(w, err)
		return
	}
	defer output.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := flusher{w, http.NewResponseController(w)}
	if out.send(nil) != nil {
		return
	}
	if _, err := io.Copy(out, output); err != nil && ctx.Err() == nil {
		panic(http.ErrAbortHandler) // the status is sent: a broken end is all that can still tell
	}
}

// images answers GET /v1/images.
func (s *Server) images(w http.ResponseWriter, r *http.Request) {
	images, err := s.opts.Images.Images(r.Context())
	if err != nil {
		s.fail(w, err)
		return
	}
	s.reply(w, http.StatusOK, list(images))
}

// importImages answers POST /v1/images. The archive streams through; imports take
// turns, since each fills disk and memory of the same node.
func (s *Server) importImages(w http.ResponseWriter, r *http.Request) {
	select {
	case s.importing <- struct{}{}:
		defer func() { <-s.importing }()
	default:
		s.fail(w, problem{status: http.StatusServiceUnavailable, retry: time.Second, hangUp: true, body: oip.ErrorBody{
			Error: "another import is running", Reason: reasonImporting,
		}})
		return
	}
	ctx, cancel := s.untilStopped(r)
	defer cancel()
	images, err := s.opts.Images.Import(ctx, patientReader{r.Body, w})
	if err != nil {
		s.fail(w, err)
		return
	}
	s.reply(w, http.StatusOK, list(images))
}

// patientReader lets a sender pause, but not for ever.
type patientReader struct {
	body io.Reader
	w    http.ResponseWriter
}

func (p patientReader) Read(b []byte) (int, error) {
	readUntil(p.w, time.Now().Add(importPause))
	return p.body.Read(b)
}

// flusher sends each piece at once and expects it to be taken in time.
type flusher struct {
	w    http.ResponseWriter
	conn *http.ResponseController
}

// Write makes a flusher fit for io.Copy.
func (f flusher) Write(b []byte) (int, error) { return len(b), f.send(b) }

func (f flusher) send(b []byte) error {
	_ = f.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := f.w.Write(b); err != nil {
		return fmt.Errorf("cannot send: %w", err)
	}
	return f.conn.Flush()
}

func queryInt(r *http.Request, name string, otherwise uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, field(name, "must be a whole number, not %.40q", text)
	}
	return n, nil
}

func queryBool(r *http.Request, name string) bool {
	on, err := strconv.ParseBool(r.URL.Query().Get(name))
	return err == nil && on
}
