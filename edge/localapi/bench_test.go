package localapi_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"holdfast/edge/oip"
)

// BenchmarkInfer compares a request through the whole door with the same request
// to a bare net/http server that reads it and writes the same answer: what lies
// between is what the door costs.
func BenchmarkInfer(b *testing.B) {
	values := make([]float32, 64)
	for i := range values {
		values[i] = float32(i % 17)
	}
	p, err := oip.InferRequest{Inputs: []oip.Tensor{oip.FP32Tensor("image", []int64{32, 2}, values, false)}}.Payload()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Bare", func(b *testing.B) { roundTrips(b, bare(b), p.Body) })
	b.Run("Door", func(b *testing.B) { roundTrips(b, start(b, newNode()).socket, p.Body) })
}

// bare serves the answer of the fake node without the door and returns its socket.
func bare(b *testing.B) string {
	path := filepath.Join(socketDir(b), "bare.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(sum(3).Body)
	})}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	b.Cleanup(func() {
		server.Close()
		<-ended
	})
	return path
}

func roundTrips(b *testing.B, socket string, body []byte) {
	r := &rig{socket: socket}
	client := r.http(b)
	var took []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		resp, err := client.Post("http://x"+inferPath, "application/json", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			b.Fatalf("got %s", resp.Status)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
}

// BenchmarkShort is the door's short path, as BenchmarkInfer's Door, where the node tells of
// the trace that each task is part of.
func BenchmarkShort(b *testing.B) {
	values := make([]float32, 64)
	p, err := oip.InferRequest{Inputs: []oip.Tensor{oip.FP32Tensor("image", []int64{32, 2}, values, false)}}.Payload()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Untraced", func(b *testing.B) { roundTrips(b, start(b, newNode()).socket, p.Body) })
	b.Run("Traced", func(b *testing.B) { roundTrips(b, start(b, traced()).socket, p.Body) })
}
