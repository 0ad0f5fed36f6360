package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"holdfast/edge"
	"holdfast/edge/localapi"
	"holdfast/edge/oip"
)

// sample is one held-out picture and what it shows.
type sample struct {
	index   string
	label   int64
	pixels  string // comma-separated
	request edge.Payload
}

// sheet is one request with the first n pictures.
func (s *show) sheet(n int) edge.Payload {
	pixels := make([]string, n)
	for i := range pixels {
		pixels[i] = s.samples[i].pixels
	}
	return request(n, strings.Join(pixels, ","))
}

func request(pictures int, pixels string) edge.Payload {
	return edge.Payload{Body: fmt.Appendf(nil,
		`{"inputs":[{"name":"pixels","shape":[%d,64],"datatype":"FP32","data":[%s]}]}`, pictures, pixels)}
}

func readSamples(path string) ([]sample, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read samples: %w", err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("cannot read samples: %w", err)
	}
	samples := make([]sample, 0, len(rows))
	for _, row := range rows[1:] {
		label, err := strconv.ParseInt(row[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("cannot read samples: %w", err)
		}
		pixels := strings.Join(row[2:], ",")
		samples = append(samples, sample{index: row[0], label: label, pixels: pixels, request: request(1, pixels)})
	}
	return samples, nil
}

// answer is what came back for one sample.
type answer struct {
	task   string // its id on the node
	label  int64
	params oip.Parameters
}

func (s *show) ask(ctx context.Context, model string, in sample, options localapi.InferOptions) (answer, error) {
	result, err := s.client.Infer(ctx, model, in.request, options)
	if err != nil {
		return answer{}, err
	}
	response, err := oip.ParseResponse(result.Payload)
	if err != nil {
		return answer{}, err
	}
	for _, output := range response.Outputs {
		var labels []int64
		if output.Name != "label" {
			continue
		}
		if err := json.Unmarshal(output.Data, &labels); err != nil || len(labels) != 1 {
			return answer{}, fmt.Errorf("cannot read label %s: %w", output.Data, edge.ErrModel)
		}
		return answer{task: result.Task, label: labels[0], params: response.Parameters}, nil
	}
	return answer{}, fmt.Errorf("answer has no label: %w", edge.ErrModel)
}
