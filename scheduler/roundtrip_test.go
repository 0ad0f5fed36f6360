package scheduler_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/scheduler"
)

// instantly is an executor that answers at once, so that what remains is overhead.
type instantly struct{}

func (instantly) Execute(context.Context, edge.Task) (edge.Answer, error) { return edge.Answer{}, nil }

func started(b *testing.B) *scheduler.Scheduler {
	b.Helper()
	s, err := scheduler.New(scheduler.Options{Slots: 2, Executor: instantly{}})
	if err != nil {
		b.Fatal(err)
	}
	s.Serve([]edge.Pool{pool("m", 2)})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = s.Run(ctx); close(ended) }()
	b.Cleanup(func() { cancel(); <-ended })
	for {
		if err := s.Explain(task("x", "m", edge.Batch, 0)); err == nil {
			return s
		}
	}
}

// BenchmarkScheduler_RoundTrip is submit to settlement through the loop and both
// goroutines, with a model that takes no time: the scheduler's share of the
// dispatch overhead.
func BenchmarkScheduler_RoundTrip(b *testing.B) {
	s := started(b)
	took := make([]time.Duration, 0, 1<<20)
	ctx := context.Background()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		begun := time.Now()
		ticket, err := s.Submit(ctx, edge.Task{ID: strconv.Itoa(i), Model: "m", Class: edge.Normal, Arrived: begun, Deadline: begun.Add(time.Second)})
		if err != nil {
			b.Fatal(err)
		}
		s.Wait(ctx, ticket)
		took = append(took, time.Since(begun))
	}
	reportQuantiles(b, took)
}

func reportQuantiles(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/1e3, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100])/1e3, "p99-µs")
}
