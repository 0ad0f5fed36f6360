package fake

import (
	"encoding/json"
	"io"
	"net/http"

	"holdfast/edge/oip"
)

// Model is a model server that speaks the Open Inference Protocol. It answers
// every input with one output that tells the input's length.
type Model struct {
	Names   []string
	Version string // served by every model; empty: none is named
	// Ready says what health answers; nil is always ready.
	Ready func() bool
	// Metadata replaces the answer to a metadata request.
	Metadata http.HandlerFunc
	// Infer replaces the answer to an inference request.
	Infer http.HandlerFunc
}

// ServeHTTP answers the protocol's paths.
func (m *Model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/health/ready", m.health)
	mux.HandleFunc("GET /v2/models/{model}", m.metadata)
	mux.HandleFunc("POST /v2/models/{model}/infer", m.infer)
	mux.HandleFunc("POST /v2/models/{model}/versions/{version}/infer", m.infer)
	mux.ServeHTTP(w, r)
}

func (m *Model) health(w http.ResponseWriter, _ *http.Request) {
	if m.Ready != nil && !m.Ready() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (m *Model) metadata(w http.ResponseWriter, r *http.Request) {
	if m.Metadata != nil {
		m.Metadata(w, r)
		return
	}
	for _, name := range m.Names {
		if name == r.PathValue("model") {
			m.describe(w, name)
			return
		}
	}
	http.Error(w, `{"error":"no such model"}`, http.StatusNotFound)
}

func (m *Model) describe(w http.ResponseWriter, name string) {
	meta := oip.ModelMetadata{
		Name: name, Platform: "fake",
		Inputs:  []oip.TensorMetadata{{Name: "input", Datatype: "FP32", Shape: []int64{-1}}},
		Outputs: []oip.TensorMetadata{{Name: "length", Datatype: "INT64", Shape: []int64{1}}},
	}
	if m.Version != "" {
		meta.Versions = []string{m.Version}
	}
	_ = json.NewEncoder(w).Encode(meta) // the client is gone if this fails
}

func (m *Model) infer(w http.ResponseWriter, r *http.Request) {
	if m.Infer != nil {
		m.Infer(w, r)
		return
	}
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return // the client is gone
	}
	WriteAnswer(w, r.PathValue("model"), n)
}

// WriteAnswer writes the answer of a model whose output is n.
func WriteAnswer(w http.ResponseWriter, model string, n int64) {
	w.Header().Set("Content-Type", "application/json")
	data, _ := json.Marshal([]int64{n}) // integers always encode
	_ = json.NewEncoder(w).Encode(oip.InferResponse{
		ModelName: model,
		Outputs:   []oip.Tensor{{Name: "length", Datatype: "INT64", Shape: []int64{1}, Data: data}},
	})
}
