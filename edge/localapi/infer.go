package localapi

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// infer runs one task: everything that can be found wrong with a request is
// found before it is submitted, so that the scheduler plans with sound ones only.
func (s *Server) infer(w http.ResponseWriter, r *http.Request) {
	task := edge.Task{ID: s.nextID(), Arrived: time.Now()}
	w.Header().Set(HeaderTask, task.ID)
	in := intake{budget: &s.budget}
	defer in.release()
	if err := s.receive(w, r, &task, &in); err != nil {
		s.fail(w, err)
		return
	}
	settled := s.opts.Inference.Infer(r.Context(), task)
	if r.Context().Err() != nil {
		return // nobody is there to be answered
	}
	in.release() // the request has served
	if size := len(settled.Answer.Payload.Body); size > smallAnswer {
		if err := in.hold(int64(size)); err != nil {
			s.fail(w, err)
			return
		}
	}
	s.answer(w, settled)
}

// receive fills the task from the request. What can be refused by the header is
// refused before the body is read.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, task *edge.Task, in *intake) error {
	meta, err := s.model(r)
	if err != nil {
		return err
	}
	task.Model, task.Version = r.PathValue("model"), r.PathValue("version")
	task.Trace = traceOf(r.Header)
	asked, err := headerWish(r.Header)
	if err != nil {
		return err
	}
	headerLength, err := readHeader(r)
	if err != nil {
		return err
	}
	wait := s.opts.BodyTimeout
	if asked.deadline > 0 {
		wait = min(wait, asked.deadline)
	}
	if err := s.readBody(w, r, in, task.Arrived.Add(wait)); err != nil {
		return lateBody(err, task.Arrived, asked.deadline)
	}
	task.Input = edge.Payload{Body: in.body, HeaderLength: headerLength}
	return s.examine(task, asked, meta)
}

// smallAnswer is up to where answers do not count against the bytes in flight: all
// connections together hold no more than 64 MiB of them, and it would be a pity to
// throw away what has been computed.
const smallAnswer = 64 << 10

// heavyBody is from where on bodies are examined one at a time. Reading one this
// size takes a millisecond or two; several large ones side by side would keep the
// processor from telling anybody else no in time.
const heavyBody = 256 << 10

// examine reads and checks the body.
func (s *Server) examine(task *edge.Task, asked wish, meta oip.ModelMetadata) error {
	if len(task.Input.Body) > heavyBody {
		s.heavy.Lock()
		defer s.heavy.Unlock()
	}
	req, err := oip.ParseRequest(task.Input.Body, task.Input.HeaderLength)
	if err != nil {
		return err
	}
	source := "parameters.timeout"
	if asked.hasDeadline {
		source = HeaderDeadline
	}
	if err := asked.merge(req.Parameters); err != nil {
		return err
	}
	if err := asked.apply(task, source, s.opts.DefaultDeadline); err != nil {
		return err
	}
	// A model that was never ready has not said what it takes. The scheduler will
	// refuse the task; its instance would check again anyway.
	return req.Check(meta)
}

// readHeader reads what the header says about the body's form.
func readHeader(r *http.Request) (headerLength int, err error) {
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return 0, problem{status: http.StatusUnsupportedMediaType, hangUp: true, body: oip.ErrorBody{
			Error:  fmt.Sprintf("bodies are taken as they are, not in encoding %.40q", encoding),
			Reason: reasonEncoding, Field: "Content-Encoding",
		}}
	}
	text := r.Header.Get(oip.HeaderLengthField)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		return 0, field(oip.HeaderLengthField, "must be the length of the JSON part in bytes, not %.40q", text)
	}
	return n, nil
}

// answer writes what became of the task.
func (s *Server) answer(w http.ResponseWriter, settled edge.Settlement) {
	w.Header().Set(HeaderOutcome, settled.Outcome.String())
	if trace := &settled.Task.Trace; !trace.ID.IsZero() {
		w.Header()[oip.HeaderTraced] = []string{trace.Traceparent()}
	}
	if settled.Outcome != edge.Completed {
		s.fail(w, unanswered(settled))
		return
	}
	payload, err := oip.Annotate(settled.Answer.Payload, annotations(settled))
	if err != nil {
		s.fail(w, fmt.Errorf("%w: model %q gave what is no answer: %w", edge.ErrModel, settled.Task.Model, err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if payload.HeaderLength > 0 {
		h.Set("Content-Type", "application/octet-stream")
		h.Set(oip.HeaderLengthField, strconv.Itoa(payload.HeaderLength))
	}
	h.Set("Content-Length", strconv.Itoa(len(payload.Body)))
	allowWriting(w)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(payload.Body)
}

// unanswered is the error of a task without an answer; its outcome decides what
// its error leaves open.
func unanswered(settled edge.Settlement) error {
	err := settled.Err
	if err == nil {
		err = fmt.Errorf("task %s was %s", settled.Task.ID, settled.Outcome)
	}
	want := map[edge.Outcome]error{
		edge.Missed: edge.ErrDeadline, edge.Cancelled: edge.ErrCancelled, edge.Failed: edge.ErrModel,
	}[settled.Outcome]
	if want == nil || slices.ContainsFunc(sentinels[:], func(s sentinel) bool { return errors.Is(err, s.err) }) {
		return err
	}
	return fmt.Errorf("%w: %w", want, err)
}

// annotations are what the node adds to an answer's parameters. Times are whole
// microseconds.
func annotations(settled edge.Settlement) oip.Notes {
	var notes oip.Notes
	notes.Text("task", settled.Task.ID)
	notes.Text("class", settled.Task.Class.String())
	notes.Int("queue_us", settled.Queue.Microseconds())
	notes.Int("compute_us", settled.Compute.Microseconds())
	notes.Bool("deadline_met", settled.Slack() >= 0)
	if settled.Task.HasDeadline() {
		notes.Int("slack_us", settled.Slack().Microseconds())
	}
	for _, note := range [...]struct{ name, text string }{
		{"route", settled.Answer.Route}, {"route_why", string(settled.RouteWhy)},
		{"variant", settled.Variant()}, {"variant_why", string(settled.VariantWhy)},
		{"version", settled.Answer.Version},
	} {
		if note.text != "" {
			notes.Text(note.name, note.text)
		}
	}
	return notes
}
