package runtime_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/runtime"
	"holdfast/runtime/fake"
)

// realHouse runs one model server behind a real unix socket in real time and
// returns once it takes tasks. Every change of its lanes comes through the channel.
func realHouse(t testing.TB, infer http.HandlerFunc) (*runtime.Supervisor, *fake.Driver, <-chan int) {
	t.Helper()
	dir, err := os.MkdirTemp("", "rt") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d := &fake.Driver{Dir: dir, Serve: func(w edge.Workload, _ string) http.Handler {
		return quick{protocol: &fake.Model{Names: w.Serve.Models()}, infer: infer}
	}}
	t.Cleanup(d.Close)
	lanes := make(chan int, 100) // more than any test here changes them
	sup, err := runtime.New(runtime.Options{Driver: d, Pools: func(p []edge.Pool) { lanes <- p[0].Lanes }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sup.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	sup.Apply([]edge.Workload{modelServer("digits", 1)})
	awaitLanes(t, lanes, 1)
	return sup, d, lanes
}

// quick answers inference without the cost of routing.
type quick struct {
	protocol http.Handler
	infer    http.HandlerFunc
}

func (q quick) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if q.infer != nil && strings.HasSuffix(r.URL.Path, "/infer") {
		q.infer(w, r)
		return
	}
	q.protocol.ServeHTTP(w, r)
}

func awaitLanes(t testing.TB, lanes <-chan int, want int) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		select {
		case n := <-lanes:
			if n == want {
				return
			}
		case <-limit:
			t.Fatalf("did not come to %d lanes within a minute", want)
		}
	}
}

func TestSupervisor_RealSocket(t *testing.T) {
	t.Run("CrashToServingAgain", func(t *testing.T) {
		sup, d, lanes := realHouse(t, nil)
		crashed := time.Now()
		d.Exit(d.Running()[0], edge.Exit{Code: 137, Signal: "SIGKILL"})
		awaitLanes(t, lanes, 0)
		awaitLanes(t, lanes, 1)
		if _, err := sup.Execute(t.Context(), task("digits", "{}")); err != nil {
			t.Fatal(err)
		}
		t.Logf("answered again %v after the crash", time.Since(crashed))
	})
	t.Run("DiesMidRequest", func(t *testing.T) {
		asked := make(chan struct{}, 1)
		sup, d, _ := realHouse(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			asked <- struct{}{}
			<-r.Context().Done()
		})
		done := make(chan error, 1)
		go func() { _, err := sup.Execute(context.Background(), task("digits", "{}")); done <- err }()
		<-asked
		d.Exit(d.Running()[0], edge.Exit{Code: 137, Signal: "SIGKILL"})
		err := <-done
		if !errors.Is(err, edge.ErrModel) {
			t.Errorf("got %v, want a model error", err)
		}
		wantContains(t, err.Error(), "ended by SIGKILL")
	})
}

// The benchmarks below hold the lane against the standard library's transport, on
// the same server, with the same input: 64 numbers and 10 back, as a digit model
// has them.

var (
	benchInput  = `{"inputs":[{"name":"pixels","datatype":"FP32","shape":[1,64],"data":[` + strings.Repeat("0.5,", 63) + `0.5]}]}`
	benchAnswer = []byte(`{"model_name":"digits","outputs":[{"name":"scores","datatype":"FP32","shape":[1,10],"data":[` + strings.Repeat("0.1,", 9) + `0.1]}]}`)
)

func benchInfer(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = w.Write(benchAnswer)
}

func BenchmarkExecute(b *testing.B) {
	sup, _, _ := realHouse(b, benchInfer)
	input := task("digits", benchInput)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sup.Execute(context.Background(), input); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTransport(b *testing.B) {
	_, d, _ := realHouse(b, benchInfer)
	list, err := d.Instances(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", list[0].Socket)
	}}}
	defer client.CloseIdleConnections()
	b.ReportAllocs()
	for b.Loop() {
		response, err := client.Post("http://model/v2/models/digits/infer", "application/json", strings.NewReader(benchInput))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadAll(response.Body); err != nil {
			b.Fatal(err)
		}
		response.Body.Close()
	}
}
