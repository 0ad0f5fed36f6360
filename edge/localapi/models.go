package localapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// serverMetadata answers GET /v2.
func (s *Server) serverMetadata(w http.ResponseWriter, _ *http.Request) {
	s.reply(w, http.StatusOK, oip.ServerMetadata{Name: "holdfast", Version: s.opts.Version, Extensions: oip.Extensions})
}

// live answers GET /v2/health/live.
func (s *Server) live(w http.ResponseWriter, _ *http.Request) {
	s.reply(w, http.StatusOK, map[string]bool{"live": true})
}

// ready answers GET /v2/health/ready: whether a task sent now could be taken.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	models := s.opts.Models.Models()
	some := slices.ContainsFunc(models, func(name string) bool {
		_, ready, _ := s.opts.Models.Model(name)
		return ready
	})
	switch {
	case s.opts.Node.Status().Draining:
		s.fail(w, &edge.Refusal{Reason: edge.ReasonDraining})
	case !some:
		s.fail(w, &edge.Refusal{Reason: edge.ReasonModelNotReady, Detail: "no model is ready"})
	default:
		s.reply(w, http.StatusOK, map[string]bool{"ready": true})
	}
}

// modelMetadata answers GET /v2/models/{model}.
func (s *Server) modelMetadata(w http.ResponseWriter, r *http.Request) {
	meta, err := s.model(r)
	if err == nil && meta.Name == "" {
		err = notReady(r)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	s.reply(w, http.StatusOK, meta)
}

// modelReady answers GET /v2/models/{model}/ready.
func (s *Server) modelReady(w http.ResponseWriter, r *http.Request) {
	if _, err := s.model(r); err != nil {
		s.fail(w, err)
		return
	}
	name := r.PathValue("model")
	if _, ready, _ := s.opts.Models.Model(name); !ready {
		s.fail(w, notReady(r))
		return
	}
	s.reply(w, http.StatusOK, map[string]any{"name": name, "ready": true})
}

// models answers GET /v1/models.
func (s *Server) models(w http.ResponseWriter, _ *http.Request) {
	s.reply(w, http.StatusOK, list(s.opts.Models.Models()))
}

// model finds the model a path names, and holds its version against those the
// model serves once it has told them.
func (s *Server) model(r *http.Request) (oip.ModelMetadata, error) {
	name, version := r.PathValue("model"), r.PathValue("version")
	meta, _, known := s.opts.Models.Model(name)
	if !known {
		return meta, &edge.Refusal{Reason: edge.ReasonUnknownModel, Detail: fmt.Sprintf("no workload serves model %.100q; %s", name, s.served())}
	}
	if version != "" && len(meta.Versions) > 0 && !slices.Contains(meta.Versions, version) {
		return meta, &edge.Refusal{
			Reason: edge.ReasonUnknownModel,
			Detail: fmt.Sprintf("model %q has no version %.40q; it has %s", name, version, strings.Join(meta.Versions, ", ")),
		}
	}
	return meta, nil
}

func (s *Server) served() string {
	models := s.opts.Models.Models()
	if len(models) == 0 {
		return "this node serves none"
	}
	return "this node serves " + strings.Join(models, ", ")
}

func notReady(r *http.Request) error {
	return &edge.Refusal{
		Reason: edge.ReasonModelNotReady,
		Detail: fmt.Sprintf("no instance of model %q is ready", r.PathValue("model")),
	}
}

// list makes nothing an empty JSON array, not null.
func list[T any](values []T) []T {
	if values == nil {
		return []T{}
	}
	return values
}
