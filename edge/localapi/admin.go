package localapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"holdfast/edge"
)

// status answers GET /v1/status.
func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	status := s.opts.Node.Status()
	status.Workloads, status.Warnings = s.visible(r, status.Workloads), list(status.Warnings)
	s.reply(w, http.StatusOK, status)
}

// metrics answers GET /metrics.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	s.opts.Metrics.Handler().ServeHTTP(w, r)
}

// vitals answers GET /v1/vitals.
func (s *Server) vitals(w http.ResponseWriter, _ *http.Request) {
	s.reply(w, http.StatusOK, s.opts.Node.Vitals())
}

// tasks answers GET /v1/tasks.
func (s *Server) tasks(w http.ResponseWriter, _ *http.Request) {
	s.reply(w, http.StatusOK, list(s.opts.Node.Tasks()))
}

// workloads answers GET /v1/workloads.
func (s *Server) workloads(w http.ResponseWriter, r *http.Request) {
	s.reply(w, http.StatusOK, s.visible(r, s.opts.Node.Workloads()))
}

// visible is what a caller may see of the workloads: who came by the port sees
// no values of environments.
func (s *Server) visible(r *http.Request, views []edge.WorkloadView) []edge.WorkloadView {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && addr.Network() == "unix" {
		return list(views)
	}
	return masked(views)
}

// cancel answers POST /v1/tasks/{id}/cancel.
func (s *Server) cancel(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !s.opts.Inference.Cancel(id) {
		s.fail(w, fmt.Errorf("cannot cancel task %.100q: %w", id, edge.ErrNotFound))
		return
	}
	s.done(w, nil)
}

// restart answers POST /v1/restart.
func (s *Server) restart(w http.ResponseWriter, r *http.Request) {
	target := r.URL.Query().Get("target")
	if target == "" {
		s.fail(w, field("target", "is missing: name a workload (app/service) or an instance"))
		return
	}
	ctx, cancel := s.untilStopped(r)
	defer cancel()
	s.done(w, s.opts.Node.Restart(ctx, target))
}

// drain answers POST /v1/drain once the tasks inside have settled.
func (s *Server) drain(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := s.untilStopped(r)
	defer cancel()
	s.done(w, s.opts.Node.Drain(ctx))
}

// undrain answers POST /v1/undrain.
func (s *Server) undrain(w http.ResponseWriter, _ *http.Request) {
	s.opts.Node.Undrain()
	s.done(w, nil)
}

// done answers a verb that has nothing to tell but whether it worked.
func (s *Server) done(w http.ResponseWriter, err error) {
	if err != nil {
		s.fail(w, err)
		return
	}
	s.reply(w, http.StatusOK, struct{}{})
}

// Question asks what would become of a task.
type Question struct {
	Model    string `json:"model"`
	Class    string `json:"class,omitempty"`    // empty: normal
	Deadline string `json:"deadline,omitempty"` // a duration; empty: the class's
	Tenant   string `json:"tenant,omitempty"`
}

// maxQuestion bounds the body of a question, in bytes.
const maxQuestion = 4 << 10

// explain answers POST /v1/explain: accepted, or the error that inference would
// have given.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	task := edge.Task{ID: s.nextID(), Arrived: time.Now()}
	err := s.question(w, r, &task)
	if err == nil {
		err = s.opts.Inference.Explain(task)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	s.reply(w, http.StatusOK, map[string]bool{"accepted": true})
}

func (s *Server) question(w http.ResponseWriter, r *http.Request, task *edge.Task) error {
	readUntil(w, time.Now().Add(s.opts.BodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQuestion))
	if err != nil {
		return bodyProblem(err, len(body))
	}
	var q Question
	if err := json.Unmarshal(body, &q); err != nil {
		return field("", "must be {\"model\", \"class\", \"deadline\", \"tenant\"} in JSON: %v", err)
	}
	if q.Model == "" {
		return field("model", "is missing")
	}
	header := http.Header{}
	header.Set(HeaderDeadline, q.Deadline)
	header.Set(HeaderClass, q.Class)
	header.Set(HeaderTenant, q.Tenant)
	asked, err := headerWish(header)
	if err != nil {
		return err
	}
	task.Model = q.Model
	return asked.apply(task, "deadline", s.opts.DefaultDeadline)
}

// untilStopped is the request's context, which also ends when the server stops.
func (s *Server) untilStopped(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	forget := context.AfterFunc(s.stopping, cancel)
	return ctx, func() {
		forget()
		cancel()
	}
}
