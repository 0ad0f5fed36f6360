package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"holdfast/edge"
	"holdfast/edge/oip"
)

// infer answers POST …/infer.
func (h *handler) infer(w http.ResponseWriter, r *http.Request, model Model) {
	if status, ready := h.readiness(); !ready {
		refuse(w, status, errors.New("the server is not ready"))
		return
	}
	req, err := h.request(w, r, model)
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	resp, err := h.run(r.Context(), req, model)
	if err != nil {
		refuse(w, statusOf(err), err)
		return
	}
	if err := writeResponse(w, resp); err != nil {
		refuse(w, http.StatusInternalServerError, err)
	}
}

// request reads a request and holds it against the model's metadata.
func (h *handler) request(w http.ResponseWriter, r *http.Request, model Model) (*oip.InferRequest, error) {
	length, err := headerLength(r.Header.Get(oip.HeaderLengthField))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.opts.MaxBody))
	if err != nil {
		return nil, fmt.Errorf("cannot read request body: %w", err)
	}
	req, err := oip.ParseRequest(body, length)
	if err != nil {
		return nil, err
	}
	if _, _, err := req.Parameters.Class(); err != nil {
		return nil, err
	}
	if err := req.Check(model.Metadata()); err != nil {
		return nil, err
	}
	return req, nil
}

// headerLength reads the header of the binary extension.
func headerLength(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	length, err := strconv.ParseUint(text, 10, 31)
	if err != nil || length == 0 {
		return 0, &oip.FieldError{Field: oip.HeaderLengthField, Problem: fmt.Sprintf("is %.32q, want the length of the JSON part in bytes", text)}
	}
	return int(length), nil
}

// run lets the model work, for as long as the request allows, and makes the
// answer.
func (h *handler) run(ctx context.Context, req *oip.InferRequest, model Model) (oip.InferResponse, error) {
	timeout, given, err := req.Parameters.Timeout()
	if err != nil {
		return oip.InferResponse{}, err
	}
	if given && timeout != 0 { // 0 is the protocol's "none"
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	outputs, err := model.Infer(ctx, req)
	if err != nil {
		return oip.InferResponse{}, err
	}
	return oip.InferResponse{
		ModelName: model.Metadata().Name, ModelVersion: h.opts.Version, ID: req.ID, Outputs: outputs,
	}, nil
}

// statusOf maps an error to the protocol's status.
func statusOf(err error) int {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, edge.ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	case errors.Is(err, context.Canceled), errors.Is(err, io.ErrUnexpectedEOF):
		return http.StatusBadRequest // the caller has gone; nobody reads this
	}
	return http.StatusInternalServerError
}

// writeResponse writes the answer, raw tensor data behind the JSON.
func writeResponse(w http.ResponseWriter, resp oip.InferResponse) error {
	payload, err := resp.Payload()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	if payload.HeaderLength > 0 {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set(oip.HeaderLengthField, strconv.Itoa(payload.HeaderLength))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(payload.Body)))
	_, _ = w.Write(payload.Body) // a caller that has gone is not an error of ours
	return nil
}
