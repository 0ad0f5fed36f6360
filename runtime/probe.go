package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"holdfast/edge/oip"
)

// probeWithin bounds one probe request. A server that is up answers in well under
// a millisecond; two seconds is a starved CPU, and beyond that nobody is served.
const probeWithin = 2 * time.Second

// datatypes are those of the Open Inference Protocol.
var datatypes = [...]string{
	"BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
	"FP16", "FP32", "FP64", "BF16", "BYTES",
}

// checkHealth asks whether the server is ready to answer.
func checkHealth(l *lane) error {
	answer, failure := l.do(request{method: http.MethodGet, path: "/v2/health/ready", limit: maxMetadata}, probeWithin)
	if failure != nil {
		return fmt.Errorf("cannot ask for readiness: %w", failure)
	}
	if answer.status != http.StatusOK {
		return fmt.Errorf("/v2/health/ready answers %d", answer.status)
	}
	return nil
}

// checkReady asks whether the server is ready and describes every model.
func checkReady(l *lane, models []string) (map[string]oip.ModelMetadata, error) {
	if err := checkHealth(l); err != nil {
		return nil, err
	}
	metas := make(map[string]oip.ModelMetadata, len(models))
	for _, model := range models {
		path := "/v2/models/" + url.PathEscape(model)
		answer, failure := l.do(request{method: http.MethodGet, path: path, limit: maxMetadata}, probeWithin)
		if failure != nil {
			return nil, fmt.Errorf("cannot ask for the metadata of model %q: %w", model, failure)
		}
		meta, err := readMetadata(model, answer)
		if err != nil {
			return nil, fmt.Errorf("metadata of model %q: %w", model, err)
		}
		metas[model] = meta
	}
	return metas, nil
}

// readMetadata decodes and checks a model's description.
func readMetadata(model string, answer reply) (oip.ModelMetadata, error) {
	var meta oip.ModelMetadata
	if answer.status != http.StatusOK {
		return meta, fmt.Errorf("answers %d%s", answer.status, oip.ErrorText(answer.body))
	}
	if err := json.Unmarshal(answer.body, &meta); err != nil {
		return meta, fmt.Errorf("not JSON of the protocol: %w", err)
	}
	if meta.Name != model {
		return meta, fmt.Errorf("describes %q", meta.Name)
	}
	return meta, errors.Join(checkTensors("inputs", meta.Inputs), checkTensors("outputs", meta.Outputs))
}

// checkTensors lets an empty list pass: its model is not held to any tensors.
func checkTensors(field string, tensors []oip.TensorMetadata) error {
	if tensors == nil {
		return fmt.Errorf("%s is missing", field)
	}
	for i, tensor := range tensors {
		switch {
		case tensor.Name == "":
			return fmt.Errorf("%s[%d].name is empty", field, i)
		case !slices.Contains(datatypes[:], tensor.Datatype):
			return fmt.Errorf("%s[%d].datatype %q is unknown", field, i, tensor.Datatype)
		case slices.ContainsFunc(tensor.Shape, func(d int64) bool { return d < -1 }):
			return fmt.Errorf("%s[%d].shape %v has a negative dimension", field, i, tensor.Shape)
		}
	}
	return nil
}

// maxMessage bounds how much of what a command says goes into an error.
const maxMessage = 300

// pollAfter is the pause before the next probe of a server that has been starting
// for so long: an eighth of that, so that readiness is noticed at most an eighth
// late, and within what neither burns CPU nor makes a slow start slower.
func pollAfter(starting time.Duration) time.Duration {
	return min(max(starting/8, 2*time.Millisecond), 250*time.Millisecond)
}
