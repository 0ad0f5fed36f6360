package agent

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/edge"
)

func TestHistory_Run(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, count := time.Now(), 0
		h := newHistory(func() edge.Sample {
			count++
			return edge.Sample{At: time.Now(), Running: count, Upstreams: map[string]edge.UpstreamState{"hq": edge.UpstreamUp}}
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- h.Run(ctx) }()
		time.Sleep(10*time.Second + time.Millisecond)
		if got, taken := h.Samples(0); len(got) != 10 || taken != 10 || got[0].Running != 1 || got[9].At.Sub(began) != 10*time.Second {
			t.Errorf("after 10s: got %d samples of %d, from %+v", len(got), taken, got[0])
		}
		time.Sleep(time.Hour)
		got, taken := h.Samples(0)
		if len(got) != keptSamples || taken != 3610 || got[0].Running != 3311 || got[keptSamples-1].Running != 3610 {
			t.Errorf("after an hour: got %d samples of %d, from %d to %d", len(got), taken, got[0].Running, got[len(got)-1].Running)
		}
		if got, _ := h.Samples(3608); len(got) != 2 || got[0].Running != 3609 {
			t.Errorf("after the 3608th: got %+v", got)
		}
		if got, _ := h.Samples(3610); len(got) != 0 {
			t.Errorf("after the last: got %+v", got)
		}
		if got, _ := h.Samples(1e6); len(got) != keptSamples {
			t.Errorf("after one that is to come: got %d, want all", len(got))
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestHistory_CostsLittle(t *testing.T) {
	upstreams := map[string]edge.UpstreamState{"hq": edge.UpstreamUp}
	h := newHistory(nil)
	for range keptSamples {
		h.add(edge.Sample{Upstreams: upstreams})
	}
	if got := testing.AllocsPerRun(100, func() { h.add(edge.Sample{Upstreams: upstreams}) }); got > 0 {
		t.Errorf("a sample costs %v allocations where it is kept", got)
	}
}

func TestSampler_Share(t *testing.T) {
	now := time.Now()
	var s sampler
	for i, step := range []struct {
		after time.Duration
		used  time.Duration
		want  float64
	}{
		{0, time.Second, 0},                                // the first has nothing before it
		{2 * time.Second, 2 * time.Second, .5},             //
		{2 * time.Second, 2 * time.Second, .5},             // the same vitals again
		{3 * time.Second, 2*time.Second + 1e7, .01},        //
		{4 * time.Second, time.Second, 0},                  // a clock that is out of order
		{5 * time.Second, time.Second + 250*1000*1e3, .25}, //
	} {
		got := s.share(edge.Vitals{At: now.Add(step.after), AgentCPU: step.used})
		if diff := got - step.want; diff > 1e-9 || diff < -1e-9 {
			t.Errorf("%d: got %v, want %v", i, got, step.want)
		}
	}
}

func TestEndedTasks(t *testing.T) {
	got := endedTasks([]edge.ClassReport{
		{Class: edge.Urgent, Settled: map[string]uint64{"completed": 7, "missed": 2, "refused": 1, "cancelled": 5}},
		{Class: edge.Batch, Settled: map[string]uint64{"evicted": 3, "failed": 1}},
	})
	if want := (edge.EndedTasks{Urgent: edge.EndedCount{7, 10, 1, 2}, Batch: edge.EndedCount{0, 4, 3, 0}}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
