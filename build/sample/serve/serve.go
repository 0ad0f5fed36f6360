// Package serve answers the Open Inference Protocol, version 2, for small model
// servers: the sample server and the misbehaving one of the tests.
//
// It owns the protocol's paths, its errors and the socket, and promises that a
// request reaches a Model only when it fits what the model says of itself. It keeps
// nothing between requests and queues nothing: ordering tasks is the caller's work.
//
// # Concurrency
//
// Every request has its own goroutine, and models are called from all of them.
// Run alone starts goroutines and returns after all have ended.
//
// # Failure
//
// What is wrong with a request is a 400 naming the field, an unknown model a 404, a
// body over the limit a 413, a passed parameters.timeout a 504. A model stops
// working when its caller has gone.
//
// # Testing
//
// Through the handler with the real models, in build/sample/server; the socket here.
package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// Model answers the requests for one model name.
type Model interface {
	Metadata() oip.ModelMetadata
	// Infer answers a request that was checked against the metadata. Its errors
	// are *oip.FieldError where the request is at fault.
	Infer(ctx context.Context, req *oip.InferRequest) ([]oip.Tensor, error)
}

// Options say what a server is made of.
type Options struct {
	Name    string
	Version string // of the server and of each of its models
	Models  []Model
	Ready   func() bool // nil: ready as soon as it listens
	// MaxBody bounds a request in bytes.
	MaxBody int64
}

// handler answers the protocol's paths.
type handler struct {
	opts   Options
	models map[string]Model
}

// NewHandler makes the protocol's handler.
func NewHandler(opts Options) http.Handler {
	h := &handler{opts: opts, models: make(map[string]Model, len(opts.Models))}
	for _, m := range opts.Models {
		h.models[m.Metadata().Name] = m
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2", h.server)
	mux.HandleFunc("GET /v2/health/live", h.live)
	mux.HandleFunc("GET /v2/health/ready", h.ready)
	for _, model := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		mux.HandleFunc("GET "+model, h.named(h.metadata))
		mux.HandleFunc("GET "+model+"/ready", h.named(h.modelReady))
		mux.HandleFunc("POST "+model+"/infer", h.named(h.infer))
	}
	mux.HandleFunc("/", h.unknown)
	return mux
}

// server answers GET /v2.
func (h *handler) server(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, oip.ServerMetadata{
		Name: h.opts.Name, Version: h.opts.Version, Extensions: oip.Extensions,
	})
}

// live answers for the process.
func (h *handler) live(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]bool{"live": true})
}

// ready answers for the whole server.
func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	status, ready := h.readiness()
	answer(w, status, map[string]bool{"ready": ready})
}

// readiness asks the owner.
func (h *handler) readiness() (int, bool) {
	if h.opts.Ready != nil && !h.opts.Ready() {
		return http.StatusServiceUnavailable, false
	}
	return http.StatusOK, true
}

// named finds the model of the path before handing on.
func (h *handler) named(next func(http.ResponseWriter, *http.Request, Model)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		model, ok := h.models[r.PathValue("model")]
		if !ok {
			refuse(w, http.StatusNotFound, fmt.Errorf("there is no model %.64q", r.PathValue("model")))
			return
		}
		if version := r.PathValue("version"); version != "" && version != h.opts.Version {
			refuse(w, http.StatusNotFound, fmt.Errorf("model %q has version %s, not %.64q", r.PathValue("model"), h.opts.Version, version))
			return
		}
		next(w, r, model)
	}
}

// metadata answers for one model.
func (h *handler) metadata(w http.ResponseWriter, _ *http.Request, model Model) {
	meta := model.Metadata()
	meta.Versions = []string{h.opts.Version}
	answer(w, http.StatusOK, meta)
}

// modelReady answers for one model; all share the server's readiness.
func (h *handler) modelReady(w http.ResponseWriter, _ *http.Request, model Model) {
	status, ready := h.readiness()
	answer(w, status, map[string]any{"name": model.Metadata().Name, "ready": ready})
}

// unknown answers every other path and method.
func (h *handler) unknown(w http.ResponseWriter, r *http.Request) {
	refuse(w, http.StatusNotFound, fmt.Errorf("there is no %.16s %.128s", r.Method, r.URL.Path))
}

// answer writes a JSON body. A caller that has gone is not an error of ours.
func answer(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("answers are plain data and must encode: %v", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n'))
}

// refuse writes the protocol's error body, with the field when one is at fault.
func refuse(w http.ResponseWriter, status int, err error) {
	body := oip.ErrorBody{Error: err.Error(), Hint: edge.HintOf(err)}
	var field *oip.FieldError
	if errors.As(err, &field) {
		body.Field = field.Field
	}
	answer(w, status, body)
}
